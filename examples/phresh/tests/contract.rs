//! The tutorial's contract.

#![allow(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::time::Duration;

use example_support::{App, Place, members, on_both_engines, python, segment};
use phresh::config::Config;
use serde_json::{Value, json};
use tokenhouse::settings::Period;
use tokenhouse::store::query;

const SECRET: &str = "dada789f4abcdef14dada789f4abcdef14dada789f4abcdef14";
const REFUSED: &str = "Could not validate token credentials.";

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        access_lifetime: Period::days(7),
        audience: "phresh:auth".to_owned(),
    }
}

async fn app(place: &Place) -> App {
    App::on(place, |builder| phresh::rules(builder, &config()), phresh::routes).await
}

fn shakira() -> Value {
    json!({ "new_user": { "email": "shakira@shakira.io", "username": "shakirashakira", "password": "chantaje" } })
}

async fn signed_up(app: &App) -> String {
    app.post("/api/users/", shakira())
        .await
        .is(201)
        .text_at("/access_token/access_token")
}

on_both_engines! {
    async fn signing_up_gives_the_user_and_a_token_that_works_at_once(place: &Place) {
        let app = app(place).await;
        let created = app.post("/api/users/", shakira()).await.is(201);
        assert_eq!(created.members(), [
            "access_token", "created_at", "email", "email_verified", "id", "is_active", "is_superuser",
            "updated_at", "username",
        ]);
        assert_eq!(created.text_at("/access_token/token_type"), "bearer");
        let token = created.text_at("/access_token/access_token");
        let me = app.get_as(&token, "/api/users/me/").await.is(200).json();
        let user = created.json();
        for name in ["id", "email", "username", "created_at"] {
            assert_eq!(me[name], user[name]);
        }
        assert_eq!(me["is_active"], true);
        assert!(!created.text.contains("chantaje") && !created.text.contains("salt"));
    }

    async fn logging_in_takes_the_address_in_the_form(place: &Place) {
        let app = app(place).await;
        signed_up(&app).await;
        let answer = app.form("/api/users/login/token/", "username=shakira@shakira.io&password=chantaje").await.is(200);
        assert_eq!(answer.members(), ["access_token", "token_type"]);
        app.get_as(&answer.text_at("/access_token"), "/api/users/me/").await.is(200);
        for form in ["username=shakira@shakira.io&password=wrongone", "username=nobody@shakira.io&password=wrongone"] {
            app.form("/api/users/login/token/", form).await.says(401, "Authentication was unsuccessful.");
        }
        app.form("/api/users/login/token/", "username=shakira@shakira.io").await.unprocessable();
    }

    async fn taken_names_are_400_in_the_tutorials_words(place: &Place) {
        let app = app(place).await;
        signed_up(&app).await;
        app.post("/api/users/", shakira()).await.says(
            400, "That email is already taken. Login with that email or register with another one.",
        );
        let mut other = shakira();
        other["new_user"]["email"] = json!("other@shakira.io");
        app.post("/api/users/", other).await.says(400, "That username is already taken. Please try another one.");
    }

    async fn two_sign_ups_at_once_give_one_account(place: &Place) {
        let app = app(place).await;
        let (first, second) = tokio::join!(app.post("/api/users/", shakira()), app.post("/api/users/", shakira()));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 400]);
    }

    async fn what_is_not_acceptable_is_422(place: &Place) {
        let app = app(place).await;
        for (field, value) in [
            ("email", json!("invalid_email@one@two.io")), ("email", json!("shakira")), ("email", Value::Null),
            ("password", json!("short6")), ("password", json!("x".repeat(101))), ("password", json!(1_234_567)),
            ("username", json!("shakira@#$%^<>")), ("username", json!("ab")), ("username", json!("sha.kira")),
            ("username", json!("шакира")),
        ] {
            let mut body = shakira();
            body["new_user"][field] = value;
            app.post("/api/users/", body).await.unprocessable();
        }
        app.post("/api/users/", shakira()["new_user"].clone()).await.unprocessable();
        app.post_text("/api/users/", "application/json", "{").await.unprocessable();
        let mut shortest = shakira();
        shortest["new_user"]["username"] = json!("a-_");
        shortest["new_user"]["password"] = json!("seven77");
        app.post("/api/users/", shortest).await.is(201);
    }

    async fn a_token_of_another_make_is_refused(place: &Place) {
        let app = app(place).await;
        let token = signed_up(&app).await;
        let (header, payload) = (segment(&token, 0), segment(&token, 1));
        let forged = example_support::signed;
        let mut audience = payload.clone();
        audience["aud"] = json!("othersite:auth");
        let mut nobody = payload.clone();
        nobody.as_object_mut().unwrap().remove("sub");
        let mut no_session = header.clone();
        no_session.as_object_mut().unwrap().remove("sid");
        for (title, token) in [
            ("another secret", forged(&header, &payload, "wrong-secret, though it is as long as it has to be")),
            ("another audience", forged(&header, &audience, SECRET)),
            ("no user", forged(&header, &nobody, SECRET)),
            ("no session", forged(&no_session, &payload, SECRET)),
            ("no signature", forged(&json!({ "alg": "none" }), &payload, "")),
        ] {
            assert_eq!(app.get_as(&token, "/api/users/me/").await.status, 401, "{title}");
        }
        // The same way of making one is good when everything is right, so it was that one thing.
        app.get_as(&forged(&header, &payload, SECRET), "/api/users/me/").await.is(200);
        app.advance(Duration::from_secs(8 * 86_400));
        app.get_as(&token, "/api/users/me/").await.says(401, REFUSED);
    }

    async fn every_prefix_but_bearer_is_refused(place: &Place) {
        let app = app(place).await;
        let token = signed_up(&app).await;
        for prefix in ["", "Token", "value", "JWT", "Basic", "Bearer:"] {
            // As FastAPI says it: another scheme is nobody's.
            app.get_with(format!("{prefix} {token}").trim(), "/api/users/me/").await.says(401, "Not authenticated");
        }
        app.get("/api/users/me/").await.says(401, "Not authenticated");
    }

    async fn the_tutorials_own_code_reads_the_tokens(place: &Place) {
        let app = App::on_real_time(place, |builder| phresh::rules(builder, &config()), phresh::routes).await;
        let token = signed_up(&app).await;
        let program = r#"
import json, sys
import jwt
given = json.load(sys.stdin)
token, secret = given["token"], given["secret"]
for other, audience, error in [
    ("wrong-secret", "phresh:auth", jwt.InvalidSignatureError),
    (secret, "othersite:auth", jwt.InvalidAudienceError),
]:
    try:
        jwt.decode(token, other, audience=audience, algorithms=["HS256"])
        raise SystemExit("accepted")
    except error:
        pass
print(json.dumps(jwt.decode(token, secret, audience="phresh:auth", algorithms=["HS256"])))
"#;
        if let Some(payload) = python(program, &json!({ "token": token, "secret": SECRET })) {
            assert_eq!(members(&payload), ["aud", "exp", "iat", "iss", "sub", "username"]);
            assert_eq!((&payload["sub"], &payload["username"]), (&json!("shakira@shakira.io"), &json!("shakirashakira")));
            assert_eq!((&payload["iss"], &payload["aud"]), (&json!("phresh.io"), &json!("phresh:auth")));
            assert_eq!(payload["exp"].as_u64().unwrap() - payload["iat"].as_u64().unwrap(), 7 * 86_400);
        }
    }

    async fn a_user_of_the_tutorial_moves_in_with_the_old_password(place: &Place) {
        let app = app(place).await;
        let Some(row) = python(example_support::TUTORIAL_USER, &json!({
            "email": "beyonce@knowles.io", "username": "queenbey", "password": "destinyschild",
        })) else { return };
        let import = async || phresh::import::import_lines(app.house(), &format!("{row}\n")).await.unwrap();
        assert_eq!((import().await, import().await), (1, 0));
        let hash = async || -> String {
            let hash = query("SELECT hash FROM passwords");
            let (hash,): (String,) = hash.one(&mut app.house().store().read().await.unwrap()).await.unwrap();
            hash
        };
        assert!(hash().await.starts_with("$bcrypt-salted$"));
        app.form("/api/users/login/token/", "username=beyonce@knowles.io&password=destinyschilD").await.is(401);
        assert!(hash().await.starts_with("$bcrypt-salted$"));
        app.form("/api/users/login/token/", "username=beyonce@knowles.io&password=destinyschild").await.is(200);
        assert!(hash().await.starts_with("$argon2id$"));
        app.form("/api/users/login/token/", "username=beyonce@knowles.io&password=destinyschild").await.is(200);
    }
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let program = env!("CARGO_BIN_EXE_phresh");
    for environment in [&[][..], &[("SECRET_KEY", "")], &[("SECRET_KEY", "SECRET_STRING")]] {
        let said = example_support::refusal(program, environment);
        assert!(
            said.starts_with("phresh: SECRET_KEY ") && said.contains("openssl rand -hex 32"),
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
