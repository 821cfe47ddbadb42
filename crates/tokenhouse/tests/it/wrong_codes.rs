//! Codes of a second factor that are guessed: who is told, and when guessing ends.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::Settings;
use tokenhouse::features::totp::code_of_app;
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;

use crate::factor_pages::go_on;
use crate::on_both_engines;
use crate::passkeys::{enrol, log_in};
use crate::second_factors::{App, half_way, mfa_token, second_step, with_app};
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, contend, count};
use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";
const DAY: Duration = Duration::from_secs(86_400);

/// Shows a code in a session, which spares the login.
async fn show(api: &Api, app: &App, code: &str) -> Answer {
    api.post(
        "/auth/reauthenticate",
        Some(&app.tokens.access),
        json!({ "code": code }),
    )
    .await
}

async fn guess(api: &Api, app: &App, times: usize) {
    for _ in 0..times {
        show(api, app, "00000x").await.problem(401, "mfa_invalid");
    }
}

/// What was told since the last call, but for what setting up the app tells.
async fn told(api: &Api) -> Vec<(String, String)> {
    let mails = api.mails().await;
    mails
        .into_iter()
        .filter(|mail| ["wrong_codes", "codes_stopped"].contains(&mail.kind.as_str()))
        .map(|mail| (mail.kind, mail.to))
        .collect()
}

async fn events(api: &Api, kind: &'static str) -> usize {
    api.rows::<(String,)>(query("SELECT data FROM events WHERE kind = $1").bind(kind))
        .await
        .len()
}

fn unbraked(settings: &mut Settings) {
    settings.rate_limit.account_enabled = false;
    // A day is waited for, in one session.
    settings.tokens.access_lifetime = tokenhouse::settings::Period::days(3);
}

async fn unbraked_api(place: &Place) -> Api {
    Api::with(place, |builder| builder.configure(unbraked)).await
}

async fn factors(api: &Api) -> Value {
    api.guess(ADA, PASSWORD).await.problem(401, "mfa_required")["factors"].clone()
}

on_both_engines! {
    async fn the_owner_is_told_of_five_and_once_a_day(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        guess(&api, &app, 4).await;
        assert_eq!(told(&api).await, []);
        guess(&api, &app, 1).await;
        assert_eq!(told(&api).await, [("wrong_codes".to_owned(), ADA.to_owned())]);
        guess(&api, &app, 10).await;
        api.test.advance(DAY - Duration::from_secs(60));
        guess(&api, &app, 1).await;
        assert_eq!(told(&api).await, []);
        api.test.advance(Duration::from_secs(60));
        guess(&api, &app, 1).await;
        assert_eq!(told(&api).await, [("wrong_codes".to_owned(), ADA.to_owned())]);
        // A few wrong ones between right ones are a person.
        api.test.advance(DAY);
        for _ in 0..3 {
            let code = app.fresh_code(&api);
            show(&api, &app, &code).await.is(204);
            guess(&api, &app, 4).await;
        }
        assert_eq!(told(&api).await, []);
    }

    async fn after_a_hundred_in_a_row_none_is_looked_at_until_a_recovery_code_was_right(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        guess(&api, &app, 99).await;
        assert_eq!(factors(&api).await, json!(["totp", "recovery_code"]));
        assert_eq!(told(&api).await.len(), 1);
        guess(&api, &app, 1).await;
        assert_eq!(told(&api).await, [("codes_stopped".to_owned(), ADA.to_owned())]);
        assert_eq!(events(&api, "second_factor.stopped").await, 1);
        // At every door, right ones too, and however long one waits.
        let code = app.fresh_code(&api);
        show(&api, &app, &code).await.problem(403, "mfa_blocked");
        api.test.advance(2 * DAY);
        let code = app.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(403, "mfa_blocked");
        assert_eq!(factors(&api).await, json!(["recovery_code"]));
        // The second step is due all the same.
        let token = mfa_token(&api.guess(ADA, PASSWORD).await);
        let body = json!({ "mfa_token": token, "recovery_code": "AAAA-AAAA-AAAA-AAAA" });
        api.post("/auth/mfa", None, body).await.problem(401, "mfa_invalid");
        second_step(&api, &token, &code).await.problem(403, "mfa_blocked");
        let body = json!({ "mfa_token": token, "recovery_code": app.recovery_codes[0] });
        api.post("/auth/mfa", None, body).await.is(200);
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
        assert_eq!(factors(&api).await, json!(["totp", "recovery_code"]));
    }

    async fn a_right_code_begins_the_count_anew_and_a_password_does_not(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        guess(&api, &app, 99).await;
        let code = app.fresh_code(&api);
        show(&api, &app, &code).await.is(204);
        guess(&api, &app, 99).await;
        half_way(&api, ADA).await;
        api.change_password(&app.tokens.access, PASSWORD, "another long password").await.is(204);
        guess(&api, &app, 1).await;
        let code = app.fresh_code(&api);
        show(&api, &app, &code).await.problem(403, "mfa_blocked");
    }

    async fn a_passkey_or_an_operator_lets_codes_be_looked_at_again(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        let mut device = Authenticator::es256();
        enrol(&api, &app.tokens.access, &mut device).await.is(201);
        guess(&api, &app, 100).await;
        assert_eq!(factors(&api).await, json!(["passkey", "recovery_code"]));
        Tokens::of(&log_in(&api, &mut device).await.is(200));
        guess(&api, &app, 100).await;
        let code = app.fresh_code(&api);
        show(&api, &app, &code).await.problem(403, "mfa_blocked");
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().allow_codes(&user).await.unwrap();
        assert_eq!(events(&api, "second_factor.allowed_by_operator").await, 1);
        show(&api, &app, &code).await.is(204);
        // Only of this account.
        let eve = with_app(&api, "eve@example.org").await;
        guess(&api, &eve, 100).await;
        api.house().allow_codes(&user).await.unwrap();
        let code = eve.fresh_code(&api);
        show(&api, &eve, &code).await.problem(403, "mfa_blocked");
    }

    async fn another_app_has_a_count_of_its_own(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        let begun = api.post("/users/me/totp", Some(&app.tokens.access), Value::Null).await.is(200).json();
        guess(&api, &app, 100).await;
        let secret = tokenhouse::Secret::from(begun["secret"].as_str().unwrap());
        let body = json!({ "code": code_of_app(&secret, api.house().clock().now()) });
        api.post("/users/me/totp/confirm", Some(&app.tokens.access), body).await.is(200);
        api.test.advance(Duration::from_secs(30));
        let code = code_of_app(&secret, api.house().clock().now());
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
    }

    async fn of_sixteen_at_once_only_those_up_to_the_hundredth_are_looked_at(place: &Place) {
        let api = Arc::new(unbraked_api(place).await);
        let app = Arc::new(with_app(&api, ADA).await);
        guess(&api, &app, 95).await;
        let answers = contend(16, |_| {
            let (api, app) = (api.clone(), app.clone());
            async move { show(&api, &app, "00000x").await }
        })
        .await;
        assert_eq!((count(&answers, 401), count(&answers, 403)), (5, 11), "{answers:?}");
        assert_eq!(events(&api, "second_factor.stopped").await, 1);
    }

    async fn nobody_waits_for_the_brake_in_vain(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        api.change(query("INSERT INTO wrong_codes (user_id, in_a_row) SELECT id, 95 FROM users")).await;
        guess(&api, &app, 5).await;
        for _ in 0..8 {
            show(&api, &app, "00000x").await.problem(403, "mfa_blocked");
        }
        // What is not looked at is not counted.
        let counts: Vec<(i64,)> = api.rows(query("SELECT in_a_row FROM wrong_codes")).await;
        assert_eq!(counts, [(100,)]);
    }

    async fn the_pages_say_so_and_offer_what_is_left(place: &Place) {
        let api = unbraked_api(place).await;
        let app = with_app(&api, ADA).await;
        let guessed = async || api.change(query("INSERT INTO wrong_codes (user_id, in_a_row) SELECT id, 100 FROM users")).await;
        guessed().await;
        let words = "codes are no longer looked at";
        let mut browser = Browser::new(&api);
        let page = browser.sign_in(ADA, PASSWORD).await.is(200);
        let html = page.html();
        assert!(html.contains(words) && html.contains("name=\"recovery_code\""), "{html}");
        assert!(!html.contains("one-time-code"), "{html}");
        // Whoever types one all the same is told the same.
        let page = go_on(&mut browser, &page, "/account/second-step", &[("code", "123456")]).await.is(422);
        assert_eq!(page.html().matches(words).count(), 1, "{}", page.html());
        let fields = [("recovery_code", app.recovery_codes[0].as_str())];
        go_on(&mut browser, &page, "/account/second-step", &fields).await.leads_to();
        assert!(browser.is_in().await);
        // And so where one proves again who one is: the password does not step in.
        guessed().await;
        let html = browser.get("/account/prove").await.is(200).html();
        assert!(html.contains(words) && html.contains("name=\"recovery_code\""), "{html}");
        assert!(!html.contains("type=\"password\""), "{html}");
    }
}
