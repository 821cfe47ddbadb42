//! The tutorial's contract.

#![allow(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::time::Duration;

use example_support::{App, Place, members, on_both_engines, python, segment};
use posts::config::Config;
use serde_json::json;
use tokenhouse::settings::Period;

const SECRET: &str = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7";
const UNAUTHORIZED: &str = "Could not validate credentials";

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        access_lifetime: Period::minutes(30),
    }
}

async fn app(place: &Place) -> App {
    App::on(place, |builder| posts::rules(builder, &config()), posts::routes).await
}

async fn sign_up(app: &App, email: &str) {
    let user = app
        .post(
            "/users/",
            json!({ "email": email, "password": "sanjeev writes posts" }),
        )
        .await
        .is(201);
    assert_eq!(user.members(), ["created_at", "email", "id"]);
}

async fn log_in(app: &App, email: &str) -> String {
    let answer = app
        .form(
            "/login",
            &format!("username={email}&password=sanjeev+writes+posts"),
        )
        .await
        .is(200);
    assert_eq!(answer.members(), ["access_token", "token_type"]);
    assert_eq!(answer.text_at("/token_type"), "bearer");
    answer.text_at("/access_token")
}

on_both_engines! {
    async fn posts_are_read_by_everybody_and_written_by_users(place: &Place) {
        let app = app(place).await;
        assert_eq!(app.get("/posts/").await.is(200).json(), json!([]));
        sign_up(&app, "sanjeev@example.com").await;
        let token = log_in(&app, "sanjeev@example.com").await;
        let post = app.post_as(&token, "/posts/", json!({ "title": "first", "content": "hello" })).await.is(200).json();
        assert_eq!((&post["title"], &post["published"]), (&json!("first"), &json!(true)));
        assert_eq!(post["owner_id"], segment(&token, 1)["user_id"]);
        app.post_as(&token, "/posts/", json!({ "title": "draft", "content": "", "published": false })).await.is(200);
        assert_eq!(app.get("/posts/").await.is(200).json(), json!([post]));
        app.post_as(&token, "/posts/", json!({ "title": "no content" })).await.unprocessable();
    }

    async fn writing_needs_a_token_that_is_good_now(place: &Place) {
        let app = app(place).await;
        sign_up(&app, "sanjeev@example.com").await;
        let token = log_in(&app, "sanjeev@example.com").await;
        let post = json!({ "title": "t", "content": "c" });
        app.post("/posts/", post.clone()).await.says(401, UNAUTHORIZED);
        app.post_as("not.a.token", "/posts/", post.clone()).await.says(401, UNAUTHORIZED);
        app.post_as(&format!("{token}x"), "/posts/", post.clone()).await.says(401, UNAUTHORIZED);
        app.advance(Duration::from_secs(31 * 60));
        app.post_as(&token, "/posts/", post).await.says(401, UNAUTHORIZED);
        assert_eq!(app.get("/posts/").await.json(), json!([]));
    }

    async fn logging_out_ends_a_token_at_once(place: &Place) {
        let app = app(place).await;
        sign_up(&app, "sanjeev@example.com").await;
        let token = log_in(&app, "sanjeev@example.com").await;
        app.post_as(&token, "/account/auth/logout", json!({})).await.is(204);
        let post = json!({ "title": "t", "content": "c" });
        app.post_as(&token, "/posts/", post).await.says(401, UNAUTHORIZED);
    }

    async fn unknown_and_wrong_are_the_same_403(place: &Place) {
        let app = app(place).await;
        sign_up(&app, "sanjeev@example.com").await;
        for form in ["username=sanjeev@example.com&password=wrong", "username=nobody@example.com&password=wrong"] {
            app.form("/login", form).await.says(403, "Invalid Credentials");
        }
    }

    async fn a_malformed_form_is_422(place: &Place) {
        let app = app(place).await;
        for form in ["", "username=a@b.co", "password=x", "username=a&username=b&password=x", "username=%ff&password=x"] {
            app.form("/login", form).await.unprocessable();
        }
        app.post_text("/login", "text/plain", "username=a&password=b").await.unprocessable();
        app.post_text("/users/", "application/json", "{\"email\":").await.unprocessable();
        app.post("/users/", json!({ "email": "no address", "password": "sanjeev writes posts" })).await.unprocessable();
        app.post("/users/", json!({ "email": "a@b.co", "password": 5 })).await.unprocessable();
    }

    async fn two_sign_ups_at_once_give_one_account(place: &Place) {
        let app = app(place).await;
        let body = json!({ "email": "twin@example.com", "password": "sanjeev writes posts" });
        let (first, second) = tokio::join!(app.post("/users/", body.clone()), app.post("/users/", body));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }

    async fn the_tutorials_own_code_reads_the_tokens(place: &Place) {
        let app = App::on_real_time(place, |builder| posts::rules(builder, &config()), posts::routes).await;
        sign_up(&app, "sanjeev@example.com").await;
        let token = log_in(&app, "sanjeev@example.com").await;
        for module in ["import jwt", "from jose import jwt"] {
            let program = format!("import json, sys\n{module}\n{}", r#"
given = json.load(sys.stdin)
payload = jwt.decode(given["token"], given["secret"], algorithms=["HS256"])
print(json.dumps(payload))
"#);
            if let Some(payload) = python(&program, &json!({ "token": token, "secret": SECRET })) {
                assert_eq!(members(&payload), ["exp", "user_id"]);
                let user = app.house().user_by_name("sanjeev@example.com").await.unwrap().unwrap();
                assert_eq!(payload["user_id"], user.id.to_string());
            }
        }
    }
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let program = env!("CARGO_BIN_EXE_posts");
    for environment in [&[][..], &[("SECRET_KEY", "")], &[("SECRET_KEY", "SECRET_STRING")]] {
        let said = example_support::refusal(program, environment);
        assert!(
            said.starts_with("posts: SECRET_KEY ") && said.contains("openssl rand -hex 32"),
            "{said}"
        );
    }
}
