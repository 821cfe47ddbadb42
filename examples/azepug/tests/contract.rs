//! The tutorial's contract.

#![allow(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use azepug::config::Config;
use example_support::{Answer, App, Place, members, on_both_engines, python};
use serde_json::{Value, json};
use tokenhouse::settings::Period;
use tokenhouse::store::query;

const SECRET: &str = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7";
const UNSUCCESSFUL: &str = "the name or the password is not right";

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        access_lifetime: Period::minutes(30),
        audience: "backend:auth".to_owned(),
    }
}

async fn app(place: &Place) -> App {
    App::on(place, |builder| azepug::rules(builder, &config()), azepug::routes).await
}

fn example() -> Value {
    json!({ "email": "example@gmail.com", "username": "example", "password": "12345789" })
}

async fn log_in(app: &App) -> Answer {
    app.post(
        "/users/login",
        json!({ "username": "example", "password": "12345789" }),
    )
    .await
    .is(200)
}

on_both_engines! {
    async fn the_answer_is_the_user_with_a_token_inside(place: &Place) {
        let app = app(place).await;
        app.post("/users/create", example()).await.is(200);
        let answer = log_in(&app).await;
        assert_eq!(answer.members(), [
            "access_token", "created_at", "email", "email_verified", "is_active", "is_superuser", "updated_at",
            "username",
        ]);
        let user = answer.json();
        assert_eq!((&user["email"], &user["username"]), (&json!("example@gmail.com"), &json!("example")));
        assert_eq!((&user["email_verified"], &user["is_active"], &user["is_superuser"]),
            (&json!(false), &json!(true), &json!(false)));
        assert_eq!(members(&user["access_token"]), ["access_token", "token_type"]);
        assert_eq!(answer.text_at("/access_token/token_type"), "bearer");
        let me = app.get_as(&answer.text_at("/access_token/access_token"), "/account/users/me").await.is(200);
        assert_eq!(me.text_at("/username"), "example");
    }

    async fn a_second_request_works_and_the_tenth(place: &Place) {
        let app = app(place).await;
        app.post("/users/create", example()).await.is(200);
        for _ in 0..10 {
            log_in(&app).await;
        }
    }

    async fn the_tutorials_curl_announces_a_form_and_sends_json(place: &Place) {
        let app = app(place).await;
        let form = "application/x-www-form-urlencoded";
        app.post_text("/users/create", form, &example().to_string()).await.is(200);
        app.post_text("/users/login", form, r#"{"username": "example", "password": "12345789"}"#).await.is(200);
    }

    async fn unknown_and_wrong_are_the_same_401(place: &Place) {
        let app = app(place).await;
        app.post("/users/create", example()).await.is(200);
        for username in ["example", "nobody"] {
            app.post("/users/login", json!({ "username": username, "password": "wrong password" })).await
                .says(401, UNSUCCESSFUL);
        }
    }

    async fn what_is_not_acceptable_is_422(place: &Place) {
        let app = app(place).await;
        for (field, value) in [
            ("email", json!("example")), ("password", json!("123456")), ("password", json!("x".repeat(101))),
            ("username", json!("ab")), ("username", json!("exa mple")), ("username", Value::Null),
        ] {
            let mut body = example();
            body[field] = value;
            app.post("/users/create", body).await.unprocessable();
        }
        app.post("/users/login", json!({ "username": "example" })).await.unprocessable();
        app.post_text("/users/login", "application/json", "{").await.unprocessable();
    }

    async fn two_sign_ups_at_once_give_one_account(place: &Place) {
        let app = app(place).await;
        let (first, second) = tokio::join!(app.post("/users/create", example()), app.post("/users/create", example()));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    }

    async fn the_tutorials_own_code_reads_the_tokens(place: &Place) {
        let app = App::on_real_time(place, |builder| azepug::rules(builder, &config()), azepug::routes).await;
        app.post("/users/create", example()).await.is(200);
        let token = log_in(&app).await.text_at("/access_token/access_token");
        // The tutorial takes python-jose, others take PyJWT.
        for module in ["from jose import jwt", "import jwt"] {
            let program = format!("import json, sys\n{module}\n{}", r#"
given = json.load(sys.stdin)
payload = jwt.decode(given["token"], given["secret"], algorithms=["HS256"], audience="backend:auth", issuer="azepug.az")
print(json.dumps(payload))
"#);
            if let Some(payload) = python(&program, &json!({ "token": token, "secret": SECRET })) {
                assert_eq!(members(&payload), ["aud", "exp", "iat", "iss", "sub", "username"]);
                assert_eq!((&payload["sub"], &payload["username"]), (&json!("example@gmail.com"), &json!("example")));
                assert_eq!(payload["exp"].as_u64().unwrap() - payload["iat"].as_u64().unwrap(), 1800);
            }
        }
    }

    async fn a_user_of_the_tutorial_moves_in_with_the_old_password(place: &Place) {
        let app = app(place).await;
        let Some(row) = python(example_support::TUTORIAL_USER, &example()) else { return };
        assert_eq!(azepug::import::import_lines(app.house(), &row.to_string()).await.unwrap(), 1);
        let hash = async || -> String {
            let hash = query("SELECT hash FROM passwords");
            let (hash,): (String,) = hash.one(&mut app.house().store().read().await.unwrap()).await.unwrap();
            hash
        };
        assert!(hash().await.starts_with("$bcrypt-salted$"));
        log_in(&app).await;
        assert!(hash().await.starts_with("$argon2id$"));
        log_in(&app).await;
    }
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let program = env!("CARGO_BIN_EXE_azepug");
    for environment in [&[][..], &[("SECRET_KEY", "")], &[("SECRET_KEY", "SECRET_STRING")]] {
        let said = example_support::refusal(program, environment);
        assert!(
            said.starts_with("azepug: SECRET_KEY ") && said.contains("openssl rand -hex 32"),
            "{said}"
        );
    }
    for (name, value) in [
        ("JWT_ALGORITHM", "RS256"),
        ("JWT_TOKEN_PREFIX", "Token"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "soon"),
    ] {
        let said = example_support::refusal(program, &[("SECRET_KEY", SECRET), (name, value)]);
        assert!(said.contains(name), "{said}");
    }
}
