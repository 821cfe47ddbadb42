//! What an application that embeds the house builds beside it: own routes, own tables, own sign-up.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokenhouse::settings::Period;
use tokenhouse::store::{Migration, SchemaState, query};
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{
    BearerToken, BuildError, Builder, Code, CurrentUser, Error, Input, MIGRATIONS, Origin, Problem, Secret,
    Signup, Tokenhouse, User,
};
use tower::ServiceExt;

use crate::on_both_engines;
use crate::support::api::Api;

const CUSTOMERS: Migration = Migration {
    name: "0001_customers",
    sqlite: "CREATE TABLE customers (user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE)",
    postgres: "CREATE TABLE customers (user_id UUID NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE)",
};
const ORDERS: Migration = Migration {
    name: "0002_orders",
    sqlite: "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY)",
    postgres: "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY)",
};
const SHOP: &[Migration] = &[CUSTOMERS];
const LATER_SHOP: &[Migration] = &[CUSTOMERS, ORDERS];

fn shop(builder: Builder) -> Builder {
    builder.migrations("shop", SHOP)
}

fn ada() -> Signup {
    Signup {
        email: Some("ada@example.org".to_owned()),
        password: Secret::from(PASSWORD),
        ..Signup::default()
    }
}

async fn customers(house: &Tokenhouse) -> i64 {
    let (count,): (i64,) = query("SELECT COUNT(*) FROM customers")
        .one(&mut house.store().read().await.unwrap())
        .await
        .unwrap();
    count
}

/// An account with a row of the shop's.
async fn customer(house: &Tokenhouse) -> Result<tokenhouse::OpeningAccount, Error> {
    let mut account = house.open_account(ada(), &Origin::default()).await?;
    query("INSERT INTO customers (user_id) VALUES ($1)")
        .bind(account.user().id)
        .execute(account.tx())
        .await?;
    Ok(account)
}

on_both_engines! {
    async fn account_and_row_come_together_or_not_at_all(place: &Place) {
        let test = TestHouse::at(place.url(), shop).await;
        drop(customer(&test.house).await.unwrap());
        assert!(test.house.user_by_name("ada@example.org").await.unwrap().is_none());
        assert_eq!(customers(&test.house).await, 0);

        let user: User = customer(&test.house).await.unwrap().commit().await.unwrap();
        assert_eq!(customers(&test.house).await, 1);
        assert!(test.house.sessions(user.id).await.unwrap().is_empty());
        assert_eq!(customer(&test.house).await.unwrap_err().code(), Code::EmailTaken);
        test.house.delete_user(user.id, &Origin::default()).await.unwrap();
        assert_eq!(customers(&test.house).await, 0);

        let login = customer(&test.house).await.unwrap().log_in().await.unwrap().done().unwrap();
        assert!(test.house.verify(login.tokens.access_token.expose()).is_ok());
    }

    async fn an_application_migrates_beside_the_house(place: &Place) {
        let test = TestHouse::at(place.url(), shop).await;
        let store = test.house.store();
        assert_eq!(store.schema(MIGRATIONS).await.unwrap(), SchemaState::Current);
        assert_eq!(store.schema_for("shop", SHOP).await.unwrap(), SchemaState::Current);
        // Another application may have a step of the same name.
        assert_eq!(store.schema_for("stall", SHOP).await.unwrap(), SchemaState::Empty);

        let refused = |outcome: Result<Tokenhouse, BuildError>| outcome.unwrap_err().to_string();
        let older = Tokenhouse::builder().database(place.url()).configure(key).migrations("shop", LATER_SHOP);
        assert!(refused(older.clone().without_migrating().build().await).contains("shop/0002_orders"));
        older.build().await.unwrap();
        // The program from before goes on beside it, as nothing was taken away.
        let before = Tokenhouse::builder().database(place.url()).configure(key).migrations("shop", SHOP);
        before.build().await.unwrap();
        assert_eq!(store.schema(MIGRATIONS).await.unwrap(), SchemaState::Current);

        for name in ["", "a/b"] {
            assert!(store.migrate_for(name, SHOP).await.is_err());
        }
    }

    async fn without_grace_a_refresh_token_works_once(place: &Place) {
        let test = TestHouse::at(place.url(), |builder| {
            builder.configure(|settings| settings.sessions.refresh_grace = Period::seconds(0))
        }).await;
        let login = test.signed_up("ada@example.org").await;
        let origin = Origin::default();
        let (_, next) = test.house.refresh(&login.tokens.refresh_token, &origin).await.unwrap();
        // In the same instant, since the clock stands still.
        let again = test.house.refresh(&login.tokens.refresh_token, &origin).await.unwrap_err();
        assert_eq!(again.code(), Code::RefreshReused);
        assert!(test.house.verify(next.access_token.expose()).is_err());
    }
}

fn key(settings: &mut tokenhouse::Settings) {
    settings.master_key = Some(Secret::from(
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ));
}

#[derive(serde::Deserialize)]
struct Greeting {
    name: String,
}

/// Some routes of an application's.
fn routes(house: &Tokenhouse) -> Router {
    async fn greet(Input(greeting): Input<Greeting>) -> Json<Value> {
        Json(json!({ "hello": greeting.name }))
    }
    async fn log_in() -> Error {
        Error::new(Code::InvalidCredentials, "no")
    }
    async fn panics(State(_): State<Tokenhouse>) -> &'static str {
        panic!("a mistake of the application's")
    }
    let routes = Router::new()
        .route("/greet", post(greet))
        .route("/me", get(|user: CurrentUser| async move { user.id.to_string() }))
        .route(
            "/bearer",
            get(|BearerToken(token): BearerToken| async move { token.expose().to_owned() }),
        )
        .route("/panics", get(panics))
        .merge(house.limited(Router::new().route("/login", post(log_in))));
    house.observed(routes).with_state(house.clone())
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status, parts.headers, String::from_utf8(body).unwrap())
}

fn posting(path: &str, content_type: &str, body: &str) -> Request<Body> {
    let request = Request::post(path).header(CONTENT_TYPE, content_type);
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    let address: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

fn getting(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn an_applications_routes_are_answered_like_the_houses() {
    let test = TestHouse::with(|builder| {
        builder.problems(|problem| match problem.code {
            "invalid_credentials" => Problem::only_detail(400, "who are you?"),
            _ => Problem::only_detail(problem.status, &problem.detail),
        })
    })
    .await;
    let router = routes(&test.house);

    let (status, headers, body) = send(&router, getting("/me")).await;
    assert_eq!(
        (status.as_u16(), headers[WWW_AUTHENTICATE].to_str().unwrap()),
        (401, "Bearer")
    );
    assert!(headers.contains_key("x-request-id"));
    assert_eq!(
        serde_json::from_str::<Value>(&body)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        1,
        "{body}"
    );
    let (status, _, body) = send(&router, getting("/panics")).await;
    assert_eq!(status, 500);
    assert!(!body.contains("mistake of the application"), "{body}");
    let (status, headers, body) = send(&router, getting("/greet")).await;
    assert_eq!((status.as_u16(), headers[ALLOW].to_str().unwrap()), (405, "POST"));
    assert!(body.contains("detail"));
    // Who answers a bad login with 400 challenges nobody.
    let (status, headers, body) = send(&router, posting("/login", "application/json", "{}")).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (400, r#"{"detail":"who are you?"}"#)
    );
    assert!(!headers.contains_key(WWW_AUTHENTICATE));

    let mut bearer = getting("/bearer");
    bearer
        .headers_mut()
        .insert(AUTHORIZATION, "Bearer thr_x".parse().unwrap());
    assert_eq!(send(&router, bearer).await.2, "thr_x");
}

#[tokio::test]
async fn an_applications_doors_are_limited_per_address() {
    let test = TestHouse::with(|builder| {
        builder.configure(|settings| {
            settings.rate_limit.enabled = true;
            settings.rate_limit.burst = 2;
        })
    })
    .await;
    let router = routes(&test.house);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let (status, headers, _) = send(&router, posting("/login", "application/json", "{}")).await;
        assert_eq!(status == 429, headers.contains_key(RETRY_AFTER));
        statuses.push(status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 429]);
    let greeting = posting("/greet", "application/json", r#"{"name":"Ada"}"#);
    assert_eq!(send(&router, greeting).await.0, 200);
}

#[tokio::test]
async fn a_body_is_read_into_the_applications_own_type() {
    let test = TestHouse::new().await;
    let router = routes(&test.house);
    let form = "application/x-www-form-urlencoded";
    for (content_type, body) in [
        ("application/json", r#"{"name":"Ada","more":1}"#),
        (form, "name=Ada&more=1"),
        // What `curl -d` sends when it is given JSON.
        (form, r#" {"name": "Ada"}"#),
    ] {
        let (status, _, answer) = send(&router, posting("/greet", content_type, body)).await;
        assert_eq!(
            (status.as_u16(), answer.as_str()),
            (200, r#"{"hello":"Ada"}"#),
            "{body}"
        );
    }
    for (content_type, body, wanted) in [
        ("application/json", "{", 400),
        ("application/json", r#"{"name":"Ada","name":"Eve"}"#, 400),
        ("application/json", "{}", 422),
        ("application/json", r#"{"name":5}"#, 422),
        (form, "name=", 422),
        (form, "name=Ada&name=Eve", 400),
        ("text/plain", "name=Ada", 415),
    ] {
        let (status, _, answer) = send(&router, posting("/greet", content_type, body)).await;
        assert_eq!(status.as_u16(), wanted, "{body}: {answer}");
    }
}

on_both_engines! {
    /// A room that is switched off has no door, and is not described.
    async fn a_feature_that_is_switched_off_is_not_there(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.features.password = false)
        })
        .await;
        api.post("/auth/login", None, serde_json::json!({ "email": "a@b.example", "password": "x" }))
            .await
            .problem(404, "not_found");
        let described = serde_json::to_value(api.house().openapi()).unwrap();
        assert!(described["paths"]["/auth/login"].is_null());
        assert!(described["paths"]["/auth/refresh"].is_object());
    }
}
