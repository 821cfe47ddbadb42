//! The house inside an application of somebody else's.

use axum::body::Body;
use axum::extract::FromRef;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokenhouse::base::store::query;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{AccessToken, CurrentUser, Error, MaybeUser, Problem, Tokenhouse};
use tower::ServiceExt;

use crate::on_both_engines;
use crate::support::api::{Api, claims, faults};

/// The state of an application, of which the house is a part.
#[derive(Clone)]
struct State {
    house: Tokenhouse,
    greeting: &'static str,
}

impl FromRef<State> for Tokenhouse {
    fn from_ref(state: &State) -> Self {
        state.house.clone()
    }
}

async fn hello(axum::extract::State(state): axum::extract::State<State>, user: CurrentUser) -> String {
    format!("{} {}", state.greeting, user.email.as_deref().unwrap_or_default())
}

async fn perhaps(MaybeUser(user): MaybeUser) -> String {
    user.map_or("nobody".to_owned(), |user| {
        user.into_user().email.unwrap_or_default()
    })
}

async fn offline(token: AccessToken) -> Result<String, Error> {
    Ok(token.user_id()?.to_string())
}

async fn optional(token: Option<AccessToken>) -> String {
    token.is_some().to_string()
}

async fn write(token: AccessToken) -> Result<&'static str, Error> {
    token.require_scope("posts:write")?;
    Ok("written")
}

async fn write_as(user: CurrentUser) -> Result<&'static str, Error> {
    user.require_scope("posts:write")?;
    Ok("written")
}

async fn administer(user: CurrentUser) -> Result<&'static str, Error> {
    user.require_role("admin")?;
    Ok("done")
}

struct App(Router);

struct Reply {
    status: StatusCode,
    challenge: Option<String>,
    content_type: Option<String>,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl App {
    fn of(house: &Tokenhouse) -> Self {
        let state = State {
            house: house.clone(),
            greeting: "Hello,",
        };
        Self(
            Router::new()
                .route("/hello", get(hello))
                .route("/perhaps", get(perhaps))
                .route("/offline", get(offline))
                .route("/optional", get(optional))
                .route("/write", get(write))
                .route("/write-as", get(write_as))
                .route("/administer", get(administer))
                .nest("/api/v1", house.router())
                .fallback(async || (StatusCode::NOT_FOUND, "the application's own"))
                .with_state(state),
        )
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        Reply {
            status: parts.status,
            challenge: header("www-authenticate"),
            content_type: header("content-type"),
            text: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Reply {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }
}

on_both_engines! {
    async fn a_handler_is_entered_only_by_whom_it_names(place: &Place) {
        let test = TestHouse::at(place.url(), |builder| builder).await;
        let app = App::of(&test.house);
        let ada = test.signed_up("ada@example.org").await;
        let token = ada.tokens.access_token.expose();
        assert_eq!(app.get("/hello", Some(token)).await.text, "Hello, ada@example.org");
        assert_eq!(app.get("/perhaps", Some(token)).await.text, "ada@example.org");
        assert_eq!(app.get("/perhaps", None).await.text, "nobody");
        assert_eq!(app.get("/offline", Some(token)).await.text, ada.user.id.to_string());
        assert_eq!(app.get("/optional", Some(token)).await.text, "true");
        assert_eq!(app.get("/optional", None).await.text, "false");
        for path in ["/hello", "/offline", "/write", "/administer"] {
            let reply = app.get(path, None).await;
            assert_eq!((reply.status, reply.challenge.as_deref()), (StatusCode::UNAUTHORIZED, Some("Bearer realm=\"tokenhouse\"")));
            assert_eq!((reply.json()["code"].as_str(), reply.content_type.as_deref()), (Some("token_missing"), Some("application/problem+json")));
        }
        // A bad token is refused everywhere: who sends one believes to be logged in.
        for path in ["/hello", "/perhaps", "/offline", "/optional", "/write"] {
            let reply = app.get(path, Some("nonsense")).await;
            assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str()), (401, Some("token_invalid")), "{path}");
        }
        test.house.set_user_active(ada.user.id, false).await.unwrap();
        for path in ["/hello", "/perhaps", "/offline", "/optional"] {
            let reply = app.get(path, Some(token)).await;
            assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str()), (401, Some("token_revoked")), "{path}");
        }
    }

    async fn a_scope_is_asked_for_as_rfc_6750_says(place: &Place) {
        let test = TestHouse::at(place.url(), |builder| {
            builder.configure(|settings| settings.tokens.scope = "posts:write posts:read".to_owned())
        })
        .await;
        let app = App::of(&test.house);
        test.signed_up("ada@example.org").await;
        let login = |scope: &str| app.post("/api/v1/auth/login", json!({ "email": "ada@example.org", "password": PASSWORD, "scope": scope }));
        let token = |reply: Reply| reply.json()["access_token"].as_str().unwrap().to_owned();
        let (reads, writes) = (token(login("posts:read").await), token(login("posts:write").await));
        for path in ["/write", "/write-as"] {
            assert_eq!(app.get(path, Some(&writes)).await.text, "written");
            let reply = app.get(path, Some(&reads)).await;
            assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str()), (403, Some("insufficient_scope")));
            let challenge = reply.challenge.unwrap();
            assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"posts:write\""), "{challenge}");
        }
    }

    async fn a_role_is_asked_of_the_database(place: &Place) {
        let test = TestHouse::at(place.url(), |builder| builder).await;
        let app = App::of(&test.house);
        let ada = test.signed_up("ada@example.org").await;
        let token = ada.tokens.access_token.expose();
        let reply = app.get("/administer", Some(token)).await;
        assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str(), reply.challenge), (403, Some("forbidden"), None));
        for (superuser, roles, status) in [(false, vec!["admin"], 200), (false, vec!["Admin", "administrator"], 403), (true, vec![], 200), (false, vec![], 403)] {
            let roles: Vec<String> = roles.into_iter().map(ToOwned::to_owned).collect();
            test.house.set_user_rights(ada.user.id, superuser, &roles).await.unwrap();
            assert_eq!(app.get("/administer", Some(token)).await.status.as_u16(), status, "{superuser} {roles:?}");
        }
    }

    async fn the_routes_live_under_any_prefix_and_leave_the_rest_to_the_application(place: &Place) {
        let test = TestHouse::at(place.url(), |builder| builder).await;
        let app = App::of(&test.house);
        let reply = app.post("/api/v1/auth/signup", json!({ "email": "ada@example.org", "password": PASSWORD })).await;
        assert_eq!(reply.status, StatusCode::CREATED);
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(app.get("/api/v1/users/me", Some(&token)).await.json()["email"], "ada@example.org");
        assert_eq!(app.get("/hello", Some(&token)).await.text, "Hello, ada@example.org");
        for path in ["/users/me", "/nothing", "/api/v1/nothing"] {
            assert_eq!(app.get(path, None).await.text, "the application's own", "{path}");
        }
        assert_eq!(app.get("/api/v1/auth/login", None).await.json()["code"], "method_not_allowed");
        assert_eq!(app.get("/api/v1/openapi.json", None).await.json()["servers"][0]["url"], "/api/v1");
        assert!(app.get("/api/v1/metrics", None).await.text.contains("route=\"/api/v1/users/me\""));
    }

    async fn an_application_gives_errors_its_own_shape(place: &Place) {
        let renderer = |problem: &Problem| -> Response {
            let body = json!({ "message": problem.detail, "kind": problem.code, "fields": problem.errors.len(), "id": problem.request_id });
            (StatusCode::from_u16(problem.status).unwrap(), Json(body)).into_response()
        };
        let api = Api::with(place, |builder| builder.problems(renderer)).await;
        let answer = api.post("/auth/signup", None, json!({ "email": "x" })).await.is(422);
        assert_eq!((answer.json()["kind"].as_str(), answer.json()["fields"].as_u64()), (Some("invalid_fields"), Some(2)));
        assert_eq!(answer.json()["id"].as_str().unwrap(), answer.header("x-request-id"));
        let answer = api.get("/users/me", None).await.is(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"tokenhouse\"");
        assert_eq!(answer.header("cache-control"), "no-store");
        let answer = api.get("/auth/login", None).await.is(405);
        assert_eq!((answer.header("allow"), answer.json()["kind"].as_str()), ("POST", Some("method_not_allowed")));
        assert_eq!(api.get("/nowhere", None).await.is(404).json()["kind"], "not_found");
        for _ in 0..10 {
            api.guess("ada@example.org", "wrong password").await.is(401);
        }
        assert_eq!(api.guess("ada@example.org", "wrong password").await.is(429).header("retry-after"), "60");
    }

    async fn an_application_adds_claims_and_rules(place: &Place) {
        let api = Api::with(place, |builder| {
            builder
                .claims(|user| [("plan".to_owned(), user.profile.get("plan").cloned().unwrap_or(json!("free")))].into_iter().collect())
                .username_rule(|name| if name.starts_with("team ") { Ok(()) } else { Err("must begin with `team `".to_owned()) })
                .password_rule(|password| if password.contains("example") { Err("must not name our product".to_owned()) } else { Ok(()) })
        })
        .await;
        let body = |username: &str, password: &str| json!({ "email": "ada@example.org", "username": username, "password": password, "profile": { "plan": "gold" } });
        let answer = api.post("/auth/signup", None, body("ada", "an example of one")).await;
        assert_eq!(faults(&answer), [("/password".to_owned(), "password_refused".to_owned()), ("/username".to_owned(), "username_invalid".to_owned())]);
        assert!(answer.json()["detail"].as_str().unwrap().contains("must not name our product"));
        let answer = api.post("/auth/signup", None, body("team Ωmega", PASSWORD)).await.is(201);
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!((claims(&token)["plan"].as_str(), answer.json()["user"]["username"].as_str()), (Some("gold"), Some("team Ωmega")));
        api.post("/auth/login", None, json!({ "login": "TEAM ωMEGA", "password": PASSWORD })).await.is(200);
        assert_eq!(faults(&api.patch("/users/me", Some(&token), json!({ "username": "ada" })).await), [("/username".to_owned(), "username_invalid".to_owned())]);
        let answer = api.change_password(&token, PASSWORD, "an example of one").await;
        assert_eq!(faults(&answer), [("/new_password".to_owned(), "password_refused".to_owned())]);
    }

    async fn a_hook_that_panics_is_an_error_and_nothing_is_left_behind(place: &Place) {
        let api = Api::with(place, |builder| builder.claims(|_| panic!("a defect of the application"))).await;
        let answer = api.post("/auth/signup", None, json!({ "email": "ada@example.org", "password": PASSWORD })).await;
        answer.problem(500, "internal");
        assert!(!String::from_utf8_lossy(&answer.body).contains("defect"));
        assert!(api.house().users(None, 10).await.unwrap().is_empty());
        api.get("/health/ready", None).await.is(200);
    }

    async fn what_happened_is_in_the_events(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        let mut expected = Vec::new();
        let mut step = async |kinds: &[&str]| {
            expected.extend(kinds.iter().map(|kind| (*kind).to_owned()));
            expected.sort();
            let rows: Vec<(String,)> = api.rows(query("SELECT kind FROM events WHERE user_id = $1 ORDER BY kind").bind(ada.id)).await;
            assert_eq!(rows.into_iter().map(|row| row.0).collect::<Vec<_>>(), expected);
        };
        step(&["user.signed_up", "login.succeeded"]).await;
        api.login("ada@example.org").await;
        step(&["login.succeeded"]).await;
        api.patch("/users/me", Some(&tokens.access), json!({ "username": "ada" })).await.is(200);
        step(&["username.changed"]).await;
        api.change_password(&tokens.access, PASSWORD, "another long password").await.is(204);
        step(&["password.changed"]).await;
        api.house().set_user_rights(ada.id, true, &[]).await.unwrap();
        step(&["user.rights_changed"]).await;
        api.logout(&tokens.access).await.is(204);
        step(&["session.ended"]).await;
        api.house().set_user_active(ada.id, false).await.unwrap();
        api.house().set_user_active(ada.id, true).await.unwrap();
        step(&["user.disabled", "user.enabled"]).await;
        api.house().delete_user(ada.id, &tokenhouse::Origin::default()).await.unwrap();
        // They outlive the account, for as long as the settings say.
        step(&["user.deleted"]).await;
        api.test.advance(std::time::Duration::from_secs(366 * 86_400));
        api.house().tend().await.unwrap();
        assert!(api.rows::<(String,)>(query("SELECT kind FROM events WHERE user_id IS NOT NULL")).await.is_empty());
    }

    async fn a_browser_may_call_from_the_origins_that_are_allowed(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.http.allowed_origins = vec!["https://app.example.org".to_owned()])).await;
        let from = async |origin: &'static str| {
            let request = Request::builder().method("OPTIONS").uri("/auth/login").header("origin", origin).header("access-control-request-method", "POST");
            let request = request.header("access-control-request-headers", "content-type,authorization");
            api.send(request.body(Body::empty()).unwrap()).await
        };
        let allowed = from("https://app.example.org").await.is(200);
        assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
        assert!(allowed.headers.get("access-control-allow-credentials").is_none());
        for other in ["https://evil.example.org", "https://app.example.org.evil.org", "http://app.example.org", "null"] {
            assert!(from(other).await.headers.get("access-control-allow-origin").is_none(), "{other}");
        }
        let request = Request::get("/users/me").header("origin", "https://app.example.org").body(Body::empty()).unwrap();
        let answer = api.send(request).await;
        answer.problem(401, "token_missing");
        assert!(answer.header("access-control-expose-headers").contains("www-authenticate"));
    }
}
