//! The tutorial's contract.

#![allow(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::time::Duration;

use example_support::{App, Place, on_both_engines, python, segment};
use secrets::config::Config;
use serde_json::{Value, json};
use tokenhouse::settings::Period;

const SECRET: &str = "the secret string of an application that has one";
const TOP_SECRET: &str = "Top Secret data only authorized users can access this info";
const MINUTE: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        access_lifetime: Period::minutes(30),
    }
}

async fn app(place: &Place) -> App {
    App::on(
        place,
        |builder| secrets::rules(builder, &config()),
        secrets::routes,
    )
    .await
}

fn sponge() -> Value {
    json!({ "username": "flyingsponge", "password": "SpongePassword" })
}

/// Signs up and logs in: the access token and the refresh token.
async fn pair(app: &App) -> (String, String) {
    assert_eq!(
        app.post("/signup", sponge()).await.is(200).json(),
        json!({ "key": "flyingsponge" })
    );
    let answer = app.post("/login", sponge()).await.is(200);
    assert_eq!(answer.members(), ["access_token", "refresh_token"]);
    (answer.text_at("/access_token"), answer.text_at("/refresh_token"))
}

on_both_engines! {
    async fn a_login_survives_the_expiry_of_its_access_token(place: &Place) {
        let app = app(place).await;
        let (access, refresh) = pair(&app).await;
        assert_eq!(app.post_as(&access, "/secret", json!({})).await.is(200).json(), TOP_SECRET);
        app.advance(31 * MINUTE);
        app.post_as(&access, "/secret", json!({})).await.says(401, "Token expired");
        let next = app.get_as(&refresh, "/refresh_token").await.is(200);
        assert_eq!(app.post_as(&next.text_at("/access_token"), "/secret", json!({})).await.is(200).json(), TOP_SECRET);

        // Every nine hours is often enough, for as long as one likes.
        let mut refresh = next.text_at("/refresh_token");
        for _ in 0..5 {
            app.advance(9 * 60 * MINUTE);
            refresh = app.get_as(&refresh, "/refresh_token").await.is(200).text_at("/refresh_token");
        }
        app.advance(11 * 60 * MINUTE);
        app.get_as(&refresh, "/refresh_token").await.says(401, "Refresh token expired");
    }

    async fn a_refresh_token_works_once(place: &Place) {
        let app = app(place).await;
        let (access, refresh) = pair(&app).await;
        let next = app.get_as(&refresh, "/refresh_token").await.is(200);
        app.get_as(&refresh, "/refresh_token").await.says(401, "Invalid refresh token");
        // Somebody held a copy, so nothing that came of it is good any more.
        for access in [access, next.text_at("/access_token")] {
            app.post_as(&access, "/secret", json!({})).await.says(401, "Invalid token");
        }
        app.get_as(&next.text_at("/refresh_token"), "/refresh_token").await.says(401, "Invalid refresh token");
    }

    async fn one_of_many_that_refresh_at_once_wins(place: &Place) {
        let app = app(place).await;
        let (_, refresh) = pair(&app).await;
        let (first, second) = tokio::join!(
            app.get_as(&refresh, "/refresh_token"),
            app.get_as(&refresh, "/refresh_token")
        );
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
    }

    async fn neither_token_does_the_others_work(place: &Place) {
        let app = app(place).await;
        let (access, refresh) = pair(&app).await;
        app.post_as(&refresh, "/secret", json!({})).await.says(401, "Invalid token");
        app.get_as(&access, "/refresh_token").await.says(401, "Invalid refresh token");
        app.post("/secret", json!({})).await.says(401, "Not authenticated");
        app.get("/refresh_token").await.says(401, "Not authenticated");
        assert_eq!(app.get("/notsecret").await.is(200).json(), "Not secret data");
    }

    async fn an_error_is_no_200_and_tells_nobody_who_has_an_account(place: &Place) {
        let app = app(place).await;
        let answer = app.post("/signup", sponge()).await.is(200);
        assert!(!answer.text.contains("password") && !answer.text.contains('$'));
        app.post("/signup", sponge()).await.says(409, "Account already exists");
        for username in ["flyingsponge", "nobody"] {
            let body = json!({ "username": username, "password": "wrong" });
            app.post("/login", body).await.says(401, "Invalid username or password");
        }
        app.post("/login", json!({ "username": "flyingsponge" })).await.unprocessable();
        app.post("/signup", json!({ "username": "a", "password": "short" })).await.unprocessable();
        app.post_text("/login", "application/json", "{").await.unprocessable();
    }

    async fn two_sign_ups_at_once_give_one_account(place: &Place) {
        let app = app(place).await;
        let (first, second) = tokio::join!(app.post("/signup", sponge()), app.post("/signup", sponge()));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }

    async fn the_tutorials_own_code_reads_the_tokens(place: &Place) {
        let app = App::on_real_time(place, |builder| secrets::rules(builder, &config()), secrets::routes).await;
        let (access, _) = pair(&app).await;
        assert_eq!(example_support::members(&segment(&access, 1)), ["exp", "iat", "scope", "sub"]);
        // `decode_token` of the tutorial's `auth.py`.
        let program = r#"
import json, sys
import jwt
given = json.load(sys.stdin)
payload = jwt.decode(given["token"], given["secret"], algorithms=["HS256"])
if payload["scope"] != "access_token":
    raise SystemExit("Scope for the token is invalid")
print(json.dumps([payload["sub"], payload["exp"] - payload["iat"]]))
"#;
        if let Some(read) = python(program, &json!({ "token": access, "secret": SECRET })) {
            assert_eq!(read, json!(["flyingsponge", 1800]));
        }
    }
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let program = env!("CARGO_BIN_EXE_secrets");
    for environment in [
        &[][..],
        &[("APP_SECRET_STRING", "")],
        &[("APP_SECRET_STRING", "SECRET_STRING")],
    ] {
        let said = example_support::refusal(program, environment);
        assert!(
            said.starts_with("secrets: APP_SECRET_STRING ") && said.contains("openssl rand -hex 32"),
            "{said}"
        );
    }
}
