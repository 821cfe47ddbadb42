//! Wrong passwords as their account's owner sees them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::second_factors::set_up_app;
use crate::support::api::{Api, Tokens, contend, count};
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";
const HOUR: Duration = Duration::from_secs(3600);

async fn guess_from(api: &Api, address: &str, name: &str, times: usize) {
    for _ in 0..times {
        let body = json!({ "email": name, "password": "a wrong password" });
        api.post_from(address, "/auth/login", body)
            .await
            .problem(401, "invalid_credentials");
    }
}

async fn noted(api: &Api) -> Vec<(Value, Option<String>)> {
    let rows: Vec<(String, Option<String>)> = api
        .rows(query(
            "SELECT data, address FROM events WHERE kind = 'login.failed'",
        ))
        .await;
    // Those of one instant have no order.
    let mut noted: Vec<(Value, Option<String>)> = rows
        .into_iter()
        .map(|(data, address)| (serde_json::from_str(&data).unwrap(), address))
        .collect();
    noted.sort_by_key(|(data, _)| std::cmp::Reverse(data["times"].as_u64()));
    noted
}

on_both_engines! {
    async fn are_noted_with_their_account_once_an_hour_and_not_one_by_one(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup(ADA).await;
        guess_from(&api, "192.0.2.1", ADA, 11).await;
        guess_from(&api, "192.0.2.9", ADA, 1).await;
        assert!(noted(&api).await.is_empty(), "a guess writes nothing");
        api.house().note_wrong_passwords().await.unwrap();
        let first = (json!({ "times": 12 }), Some("192.0.2.9".to_owned()));
        assert_eq!(noted(&api).await, std::slice::from_ref(&first));
        guess_from(&api, "192.0.2.1", ADA, 3).await;
        api.test.advance(HOUR - Duration::from_secs(1));
        api.house().note_wrong_passwords().await.unwrap();
        assert_eq!(noted(&api).await.len(), 1, "within the hour");
        api.test.advance(Duration::from_secs(1));
        for _ in 0..2 {
            api.house().note_wrong_passwords().await.unwrap();
        }
        assert_eq!(noted(&api).await, [first, (json!({ "times": 3 }), Some("192.0.2.1".to_owned()))]);
        // Right ones are none, whoever typed wrong ones before.
        api.test.advance(HOUR);
        api.login(ADA).await;
        api.house().note_wrong_passwords().await.unwrap();
        assert_eq!(noted(&api).await.len(), 2);
    }

    async fn are_noted_of_nobody_where_there_is_no_account(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup(ADA).await;
        guess_from(&api, "192.0.2.1", "nobody@example.org", 3).await;
        api.house().note_wrong_passwords().await.unwrap();
        assert!(noted(&api).await.is_empty());
    }

    async fn count_at_every_door_that_asks_for_one_and_outlive_the_house(place: &Place) {
        let api = Api::unbraked(place).await;
        let ada = api.signup(ADA).await;
        api.change_password(&ada.access, "a wrong password", "another long password").await.problem(401, "invalid_credentials");
        let wrong = json!({ "password": "a wrong password" });
        api.post("/auth/reauthenticate/password", Some(&ada.access), wrong.clone()).await.problem(401, "invalid_credentials");
        api.delete("/users/me", Some(&ada.access), wrong).await.problem(401, "invalid_credentials");
        api.house().close().await;
        let again = Api::unbraked(place).await;
        assert_eq!(noted(&again).await, [(json!({ "times": 3 }), None)]);
    }

    async fn are_told_on_the_account_page_with_their_number(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup(ADA).await;
        guess_from(&api, "192.0.2.7", ADA, 4).await;
        api.house().note_wrong_passwords().await.unwrap();
        let mut browser = Browser::new(&api);
        browser.sign_in(ADA, PASSWORD).await;
        let page = browser.get("/account").await.html();
        assert!(page.contains("Wrong passwords were typed: 4") && page.contains("192.0.2.7"), "{page}");
    }

    async fn before_a_right_one_are_told_by_mail(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        api.mails().await;
        let kinds = async || -> Vec<_> { api.mails().await.into_iter().map(|mail| mail.kind).collect() };
        let right = async |address: &str| {
            let body = json!({ "email": ADA, "password": PASSWORD });
            api.post_from(address, "/auth/login", body).await.is(200);
        };
        right("192.0.2.1").await;
        kinds().await;
        // A person who mistypes is not told that they did.
        guess_from(&api, "192.0.2.1", ADA, 4).await;
        right("192.0.2.1").await;
        assert_eq!(kinds().await, [""; 0]);
        guess_from(&api, "192.0.2.1", ADA, 5).await;
        right("192.0.2.1").await;
        assert_eq!(kinds().await, ["after_wrong_passwords"]);
        right("192.0.2.1").await;
        assert_eq!(kinds().await, [""; 0]);
        // A stranger elsewhere who guesses in vain has no mail sent, however the owner logs in.
        guess_from(&api, "198.51.100.1", ADA, 9).await;
        right("192.0.2.1").await;
        assert_eq!(kinds().await, [""; 0]);
        // Also where a second factor stops whoever knows the password now.
        let app = set_up_app(&api, Tokens::of(&api.post("/auth/login", None, json!({ "email": ADA, "password": PASSWORD })).await.is(200))).await;
        drop(app);
        kinds().await;
        guess_from(&api, "192.0.2.1", ADA, 6).await;
        api.post_from("192.0.2.1", "/auth/login", json!({ "email": ADA, "password": PASSWORD })).await.problem(401, "mfa_required");
        assert_eq!(kinds().await, ["after_wrong_passwords"]);
    }

    async fn a_crowd_of_right_ones_is_not_taken_for_wrong_ones(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        api.signup(ADA).await;
        api.mails().await;
        let answers = contend(16, |_| {
            let api = Arc::clone(&api);
            async move { api.guess(ADA, PASSWORD).await }
        })
        .await;
        assert_eq!(count(&answers, 200), 16);
        assert!(api.mails().await.iter().all(|mail| mail.kind != "after_wrong_passwords"));
    }
}
