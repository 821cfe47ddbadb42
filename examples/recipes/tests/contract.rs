//! The tutorial's contract.

#![allow(clippy::unwrap_used, reason = "that is how a test fails, in its helpers too")]

use std::time::Duration;

use example_support::{App, Place, members, on_both_engines, python, segment};
use recipes::config::Config;
use serde_json::{Value, json};
use tokenhouse::settings::Period;

const SECRET: &str = "TEST_SECRET_DO_NOT_USE_IN_PRODUCTION";
const DAY: Duration = Duration::from_secs(86_400);

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        access_lifetime: Period::days(8),
    }
}

async fn app(place: &Place) -> App {
    App::on(
        place,
        |builder| recipes::rules(builder, &config()),
        recipes::routes,
    )
    .await
}

fn ada() -> Value {
    json!({ "first_name": "Ada", "surname": "Cook", "email": "ada@example.org", "password": "chicken vesuvio" })
}

async fn logged_in(app: &App) -> String {
    let user = app.post("/api/v1/auth/signup", ada()).await.is(201);
    assert_eq!(
        user.members(),
        ["email", "first_name", "id", "is_superuser", "surname"]
    );
    let answer = app
        .form(
            "/api/v1/auth/login",
            "username=ada@example.org&password=chicken+vesuvio",
        )
        .await
        .is(200);
    assert_eq!(answer.members(), ["access_token", "token_type"]);
    assert_eq!(answer.text_at("/token_type"), "bearer");
    answer.text_at("/access_token")
}

fn recipe(label: &str) -> Value {
    json!({ "label": label, "source": "Serious Eats", "url": "https://example.org/recipe" })
}

on_both_engines! {
    async fn me_is_whoever_is_logged_in(place: &Place) {
        let app = app(place).await;
        app.get("/api/v1/auth/me").await.says(401, "Not authenticated");
        app.get_as("nonsense", "/api/v1/auth/me").await.says(401, "Could not validate credentials");
        let token = logged_in(&app).await;
        let me = app.get_as(&token, "/api/v1/auth/me").await.is(200).json();
        assert_eq!((&me["email"], &me["first_name"], &me["surname"]),
            (&json!("ada@example.org"), &json!("Ada"), &json!("Cook")));
        assert_eq!(segment(&token, 1)["sub"], me["id"]);
        app.advance(7 * DAY);
        app.get_as(&token, "/api/v1/auth/me").await.is(200);
        app.advance(2 * DAY);
        app.get_as(&token, "/api/v1/auth/me").await.says(401, "Could not validate credentials");
    }

    async fn names_are_optional(place: &Place) {
        let app = app(place).await;
        let answer = app.post("/api/v1/auth/signup", json!({ "email": "a@b.co", "password": "chicken vesuvio" })).await;
        assert_eq!(answer.is(201).json()["first_name"], Value::Null);
    }

    async fn a_taken_address_is_400_and_adds_no_submitter(place: &Place) {
        let app = app(place).await;
        let (first, second) =
            tokio::join!(app.post("/api/v1/auth/signup", ada()), app.post("/api/v1/auth/signup", ada()));
        let (created, refused) = if first.status == 201 { (first, second) } else { (second, first) };
        created.is(201);
        refused.says(400, "The user with this email already exists in the system");
        let submitters = tokenhouse::store::query("SELECT COUNT(*) FROM submitters");
        let (count,): (i64,) = submitters.one(&mut app.house().store().read().await.unwrap()).await.unwrap();
        assert_eq!(count, 1);
    }

    async fn unknown_and_wrong_are_the_same_400(place: &Place) {
        let app = app(place).await;
        logged_in(&app).await;
        for form in ["username=ada@example.org&password=wrong", "username=nobody@example.org&password=wrong"] {
            app.form("/api/v1/auth/login", form).await.says(400, "Incorrect username or password");
        }
        app.form("/api/v1/auth/login", "username=ada@example.org").await.unprocessable();
        app.post("/api/v1/auth/signup", json!({ "email": "no address", "password": "chicken vesuvio" })).await.unprocessable();
        app.post_text("/api/v1/auth/signup", "application/json", "{").await.unprocessable();
    }

    async fn a_recipe_belongs_to_its_submitter_whatever_the_body_says(place: &Place) {
        let app = app(place).await;
        let token = logged_in(&app).await;
        app.post("/api/v1/recipes/", recipe("Chicken Vesuvio")).await.says(401, "Not authenticated");
        let mut body = recipe("Chicken Vesuvio");
        body["submitter_id"] = json!("00000000-0000-0000-0000-000000000000");
        let created = app.post_as(&token, "/api/v1/recipes/", body).await.is(201).json();
        assert_eq!(created["submitter_id"], segment(&token, 1)["sub"]);
        let path = format!("/api/v1/recipes/{}", created["id"]);
        assert_eq!(app.get(&path).await.is(200).json(), created);
        app.get("/api/v1/recipes/4711").await.says(404, "Recipe with ID 4711 not found");
        app.get("/api/v1/recipes/first").await.unprocessable();
    }

    async fn recipes_are_found_by_their_label(place: &Place) {
        let app = app(place).await;
        let token = logged_in(&app).await;
        for label in ["Chicken Vesuvio", "Chicken Paprikash", "100% Cauliflower"] {
            app.post_as(&token, "/api/v1/recipes/", recipe(label)).await.is(201);
        }
        let found = async |query: &str| -> Vec<String> {
            let answer = app.get(&format!("/api/v1/recipes/search/{query}")).await.is(200).json();
            let results = answer["results"].as_array().unwrap();
            results.iter().map(|recipe| recipe["label"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(found("?keyword=chicken").await, ["Chicken Paprikash", "Chicken Vesuvio"]);
        assert_eq!(found("?keyword=chicken&max_results=1").await, ["Chicken Paprikash"]);
        assert_eq!(found("?keyword=0%25").await, ["100% Cauliflower"]);
        assert!(found("?keyword=_").await.is_empty());
        assert_eq!(found("").await.len(), 3);
    }

    async fn the_page_shows_recipes_and_runs_none_of_them(place: &Place) {
        let app = app(place).await;
        let token = logged_in(&app).await;
        assert!(app.get("/").await.is(200).text.contains("No recipe yet"));
        app.post_as(&token, "/api/v1/recipes/", recipe("<script>alert(1)</script> & \"eggs\"")).await.is(201);
        let mut program = recipe("a link");
        program["url"] = json!("javascript:alert(1)");
        app.post_as(&token, "/api/v1/recipes/", program).await.unprocessable();
        let page = app.get("/").await.is(200);
        assert!(page.text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;eggs&quot;"), "{}", page.text);
        assert!(!page.text.contains("<script"));
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    }

    async fn authorize_on_the_documentation_page_knows_the_form(place: &Place) {
        let app = app(place).await;
        assert!(app.get("/docs").await.is(200).text.contains("docs/page.js"));
        let description = app.get("/openapi.json").await.is(200).json();
        assert_eq!(members(&description["paths"]), [
            "/api/v1/auth/login", "/api/v1/auth/me", "/api/v1/auth/signup", "/api/v1/recipes/",
            "/api/v1/recipes/search/", "/api/v1/recipes/{id}",
        ]);
        let flow = &description["components"]["securitySchemes"]["login"]["flows"]["password"];
        assert_eq!(flow["tokenUrl"], "/api/v1/auth/login");
    }

    async fn the_tutorials_own_code_reads_the_tokens(place: &Place) {
        let app = App::on_real_time(place, |builder| recipes::rules(builder, &config()), recipes::routes).await;
        let token = logged_in(&app).await;
        // `get_current_user` of the tutorial's `deps.py`.
        let program = r#"
import json, sys
from jose import jwt
given = json.load(sys.stdin)
payload = jwt.decode(given["token"], given["secret"], algorithms=["HS256"], options={"verify_aud": False})
print(json.dumps(payload))
"#;
        if let Some(payload) = python(program, &json!({ "token": token, "secret": SECRET })) {
            assert_eq!(members(&payload), ["exp", "iat", "sub", "type"]);
            assert_eq!(payload["type"], "access_token");
            assert_eq!(payload["exp"].as_u64().unwrap() - payload["iat"].as_u64().unwrap(), 8 * 86_400);
        }
    }
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let program = env!("CARGO_BIN_EXE_recipes");
    for environment in [&[][..], &[("JWT_SECRET", "")], &[("JWT_SECRET", "SECRET_STRING")]] {
        let said = example_support::refusal(program, environment);
        assert!(
            said.starts_with("recipes: JWT_SECRET ") && said.contains("openssl rand -hex 32"),
            "{said}"
        );
    }
}
