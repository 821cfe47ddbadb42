//! Changing one's password.

use std::sync::Arc;

use serde_json::json;
use tokenhouse::base::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{NewUser, Secret};

use crate::on_both_engines;
use crate::support::api::{Api, contend, count, faults};

const NEW: &str = "another long password";

on_both_engines! {
    async fn ends_every_other_session_and_keeps_this_one(place: &Place) {
        let api = Api::on(place).await;
        let here = api.signup("ada@example.org").await;
        let there = api.login("ada@example.org").await;
        api.change_password(&here.access, PASSWORD, NEW).await.is(204);
        api.me(&here.access).await.is(200);
        api.refresh(&here.refresh).await.is(200);
        api.me(&there.access).await.problem(401, "token_revoked");
        api.refresh(&there.refresh).await.problem(401, "refresh_invalid");
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        api.guess("ada@example.org", NEW).await.is(200);
    }

    async fn needs_the_current_one(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        for wrong in ["", "wrong password", NEW] {
            api.change_password(&ada.access, wrong, NEW).await.problem(401, "invalid_credentials");
        }
        let eve = api.post("/auth/signup", None, json!({ "email": "eve@example.org", "password": NEW })).await.is(201);
        let eve = eve.json()["access_token"].as_str().unwrap().to_owned();
        // The password of somebody else is none.
        api.change_password(&eve, PASSWORD, "yet another password").await.problem(401, "invalid_credentials");
        api.post("/users/me/password", None, json!({ "current_password": PASSWORD, "new_password": NEW })).await.problem(401, "token_missing");
        let answer = api.post("/users/me/password", Some(&ada.access), json!({ "new_password": NEW })).await;
        assert_eq!(faults(&answer), [("/current_password".to_owned(), "missing".to_owned())]);
        api.login("ada@example.org").await;
    }

    async fn keeps_to_the_rules_for_new_ones(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada.lovelace@example.org").await;
        for (new, code) in [("short", "password_too_short"), ("password123", "password_breached"), ("ada.lovelace", "password_resembles_account")] {
            let answer = api.change_password(&ada.access, PASSWORD, new).await;
            assert!(faults(&answer).contains(&("/new_password".to_owned(), code.to_owned())), "{answer:?}");
        }
        api.login("ada.lovelace@example.org").await;
    }

    async fn of_sixteen_at_once_one_succeeds(place: &Place) {
        let api = Arc::new(Api::unbraked(place).await);
        let ada = api.signup("ada@example.org").await;
        let answers = contend(16, |number| {
            let (api, token) = (Arc::clone(&api), ada.access.clone());
            async move { api.change_password(&token, PASSWORD, &format!("another password {number}")).await }
        })
        .await;
        assert_eq!((count(&answers, 204), count(&answers, 401)), (1, 15), "{answers:?}");
        let winner = answers.iter().position(|answer| answer.status == 204).unwrap();
        api.guess("ada@example.org", &format!("another password {winner}")).await.is(200);
    }

    async fn is_noted_with_its_time(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        let first = api.house().password_changed_at(user.id).await.unwrap().unwrap();
        api.test.advance(std::time::Duration::from_secs(60));
        api.change_password(&ada.access, PASSWORD, NEW).await.is(204);
        let second = api.house().password_changed_at(user.id).await.unwrap().unwrap();
        assert_eq!(second.duration_since(first).as_secs(), 60);
        let kinds: Vec<(String,)> = api.rows(query("SELECT kind FROM events ORDER BY at, kind")).await;
        assert!(kinds.contains(&("password.changed".to_owned(),)), "{kinds:?}");
    }

    async fn by_the_operator_ends_every_session(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_password(&user, &Secret::from(NEW)).await.unwrap();
        api.me(&ada.access).await.problem(401, "token_revoked");
        api.refresh(&ada.refresh).await.problem(401, "refresh_invalid");
        api.guess("ada@example.org", NEW).await.is(200);
        let bad = api.house().set_password(&user, &Secret::from("short")).await.unwrap_err();
        assert_eq!(bad.fields()[0].pointer, "/password");
        // Somebody imported without one gets one.
        let new = NewUser { email: Some(tokenhouse::Email::parse("bob@example.org").unwrap()), ..NewUser::default() };
        let bob = api.house().create_user(&new, None).await.unwrap();
        assert_eq!(api.house().password_changed_at(bob.id).await.unwrap(), None);
        api.house().set_password(&bob, &Secret::from(NEW)).await.unwrap();
        api.guess("bob@example.org", NEW).await.is(200);
    }
}
