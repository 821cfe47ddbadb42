//! What outside programs rely on: the committed description, and that the routes do what it says.

use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokenhouse::store::{EngineKind, query};
use tokenhouse::testing::TestHouse;
use tower::ServiceExt;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api};

const METHODS: [Method; 5] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::PATCH,
    Method::DELETE,
];

/// One operation of the description.
struct Operation {
    method: Method,
    path: String,
    description: Value,
}

impl Operation {
    /// Every one there is.
    fn all(openapi: &Value) -> Vec<Self> {
        let paths = openapi["paths"].as_object().unwrap();
        let operations: Vec<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                METHODS.iter().filter_map(move |method| {
                    let description = item.get(method.as_str().to_ascii_lowercase())?;
                    Some(Self {
                        method: method.clone(),
                        path: path.clone(),
                        description: description.clone(),
                    })
                })
            })
            .collect();
        assert!(operations.len() >= 14, "only {} operations", operations.len());
        operations
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether nobody gets in without a token.
    fn needs_login(&self) -> bool {
        let ways = self.description["security"].as_array();
        ways.is_some_and(|ways| {
            ways.iter()
                .all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
        })
    }

    fn takes_a_body(&self) -> bool {
        self.description.get("requestBody").is_some()
    }

    fn request(&self) -> http::request::Builder {
        let path = self.path.replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057");
        Request::builder().method(self.method.clone()).uri(path)
    }
}

fn description(house: &tokenhouse::Tokenhouse) -> Value {
    serde_json::to_value(house.openapi()).unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// `scripts/test` has it checked by a validator of OpenAPI 3.1 besides.
#[tokio::test]
async fn the_committed_description_is_that_of_the_routes() {
    let test = TestHouse::new().await;
    let mut text = serde_json::to_string_pretty(&test.house.openapi()).unwrap();
    text.push('\n');
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        committed == text,
        "docs/openapi.json is not up to date; UPDATE_OPENAPI=1 cargo nextest run committed_description writes it"
    );
}

#[tokio::test]
async fn every_operation_has_a_name_a_place_and_a_sentence() {
    let test = TestHouse::new().await;
    let openapi = description(&test.house);
    assert_eq!(openapi["openapi"].as_str().map(|text| &text[..4]), Some("3.1."));
    let known: Vec<_> = openapi["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let mut names = Vec::new();
    for operation in Operation::all(&openapi) {
        let text = |field: &str| {
            operation.description[field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(!text("summary").is_empty(), "{}", operation.name());
        let tags = operation.description["tags"].as_array().unwrap();
        assert!(
            tags.len() == 1 && known.contains(&&tags[0]),
            "{}",
            operation.name()
        );
        for (status, response) in operation.description["responses"].as_object().unwrap() {
            assert!(
                response["headers"].get("X-Request-Id").is_some(),
                "{} {status}",
                operation.name()
            );
            if status.starts_with(['4', '5']) {
                assert!(
                    response["content"].get("application/problem+json").is_some(),
                    "{}",
                    operation.name()
                );
            }
        }
        names.push(text("operationId"));
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two operations of one name: {names:?}");
}

on_both_engines! {
    async fn every_operation_that_needs_a_login_refuses_strangers(place: &Place) {
        let api = Api::on(place).await;
        let mut refused = 0;
        for operation in Operation::all(&description(&api.test.house)) {
            if !operation.needs_login() {
                continue;
            }
            assert!(operation.description["responses"].get("401").is_some(), "{}", operation.name());
            for (value, code) in [
                (None, "token_missing"),
                (Some("Bearer nonsense"), "token_invalid"),
                (Some("Basic YWRhOnNlY3JldA=="), "token_missing"),
                (Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."), "token_invalid"),
            ] {
                let mut request = operation.request();
                if let Some(value) = value {
                    request = request.header(AUTHORIZATION, value);
                }
                let answer = api.send(request.body(Body::empty()).unwrap()).await;
                answer.problem(401, code);
                let challenge = answer.header("www-authenticate");
                assert!(challenge.starts_with("Bearer "), "{}: {challenge}", operation.name());
                assert_eq!(challenge.contains("error=\"invalid_token\""), code == "token_invalid");
            }
            refused += 1;
        }
        assert!(refused >= 7, "only {refused} operations need a login");
    }

    async fn bodies_that_are_not_what_they_say_are_refused_by_every_operation(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let oversized = format!("{{\"email\":\"{}\"}}", "a".repeat(70_000));
        let cases: [(&str, &[u8], u16, &str); 9] = [
            ("application/json", b"{", 400, "malformed_body"),
            ("application/json", b"", 400, "malformed_body"),
            ("application/json", b"[]", 400, "malformed_body"),
            ("application/json", b"{\"password\":\"\xff\"}", 400, "malformed_body"),
            ("application/x-www-form-urlencoded", b"password=%ff", 400, "malformed_body"),
            ("text/plain", b"{}", 415, "unsupported_media_type"),
            ("multipart/form-data; boundary=x", b"--x--", 415, "unsupported_media_type"),
            ("application/json; charset=latin1", b"{}", 415, "unsupported_media_type"),
            ("application/json", oversized.as_bytes(), 413, "body_too_large"),
        ];
        for operation in Operation::all(&description(&api.test.house)) {
            if !operation.takes_a_body() {
                continue;
            }
            for (content_type, body, status, code) in cases {
                // Where a body may be absent, clients announce JSON and send nothing.
                if body.is_empty() && operation.description["requestBody"]["required"] != true {
                    continue;
                }
                assert!(
                    operation.description["responses"].get(status.to_string()).is_some(),
                    "{} does not tell of {status}", operation.name()
                );
                let mut request = operation.request().header(CONTENT_TYPE, content_type);
                if operation.needs_login() {
                    request = request.header(AUTHORIZATION, format!("Bearer {}", tokens.access));
                }
                api.send(request.body(Body::from(body.to_vec())).unwrap()).await.problem(status, code);
            }
        }
        api.me(&tokens.access).await.is(200);
    }

    async fn every_described_path_is_there_and_takes_no_other_method(place: &Place) {
        let api = Api::on(place).await;
        let operations = Operation::all(&description(&api.test.house));
        for operation in &operations {
            let answer = api.send(operation.request().body(Body::empty()).unwrap()).await;
            assert!(!matches!(answer.status.as_u16(), 404 | 405 | 500..), "{}: {}", operation.name(), answer.status);
            answer.header("x-request-id");

            let mut described: Vec<_> = operations
                .iter()
                .filter(|other| other.path == operation.path)
                .map(|other| other.method.clone())
                .collect();
            if described.contains(&Method::GET) {
                described.push(Method::HEAD);
            }
            for method in METHODS.into_iter().chain([Method::OPTIONS, Method::TRACE, "BREW".parse().unwrap()]) {
                if described.contains(&method) {
                    continue;
                }
                let request = operation.request().method(method.clone()).body(Body::empty()).unwrap();
                let answer = api.send(request).await;
                answer.problem(405, "method_not_allowed");
                let mut allowed: Vec<Method> =
                    answer.headers[ALLOW].to_str().unwrap().split(',').map(|name| name.trim().parse().unwrap()).collect();
                let by_name = |a: &Method, b: &Method| a.as_str().cmp(b.as_str());
                allowed.sort_by(by_name);
                described.sort_by(by_name);
                assert_eq!(allowed, described, "{method} {}", operation.path);
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_problems_of_the_service_only() {
    let test = TestHouse::new().await;
    let service = test.house.service();
    for path in [
        "/",
        "/nothing",
        "/users/me/",
        "/auth",
        "/docs/nothing",
        "/users/me/sessions/a/b",
        "//auth/login",
    ] {
        get(&service, path).await.problem(404, "not_found");
    }

    // Whoever embeds the routes answers for all other paths, merged or nested, with a fallback or without one.
    let own = || Router::new().route("/own", axum::routing::get(|| async { "own" }));
    let fallback = || async { (StatusCode::IM_A_TEAPOT, "the application's own") };
    for (application, status) in [
        (own().merge(test.house.router()), 404),
        (own().nest("/api/v1", test.house.router()), 404),
        (own().merge(test.house.router()).fallback(fallback), 418),
        (own().fallback(fallback).merge(test.house.router()), 418),
        (own().fallback(fallback).nest("/api/v1", test.house.router()), 418),
    ] {
        get(&application, "/own").await.is(200);
        for path in ["/nothing", "/api/v1/nothing"] {
            let answer = get(&application, path).await.is(status);
            assert!(!answer.headers.contains_key("x-request-id"));
        }
    }
}

#[tokio::test]
async fn the_routes_work_where_they_are_nested() {
    let test = TestHouse::new().await;
    let outer = Router::new().nest("/api/v1", test.house.router());
    get(&outer, "/api/v1/users/me")
        .await
        .problem(401, "token_missing");
    get(&outer, "/api/v1/auth/login")
        .await
        .problem(405, "method_not_allowed");
    let openapi = get(&outer, "/api/v1/openapi.json").await.is(200).json();
    assert_eq!(openapi["servers"], json!([{ "url": "/api/v1" }]));
    let flow = &openapi["components"]["securitySchemes"]["password"]["flows"]["password"];
    assert_eq!(flow["tokenUrl"], "/api/v1/auth/login");
    get(&outer, "/api/v1/docs").await.is(200);

    let openapi = get(&test.house.service(), "/openapi.json").await.is(200).json();
    assert_eq!(
        openapi,
        description(&test.house),
        "at the root it is the committed one"
    );
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let test = TestHouse::new().await;
    let service = test.house.service();
    for path in [
        "/openapi.json",
        "/docs",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/revocations.json",
        "/health/live",
        "/users/me",
        "/nothing",
    ] {
        let whole = get(&service, path).await;
        let head = send(&service, Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!(head.status, whole.status, "{path}");
        assert_eq!(head.headers[CONTENT_TYPE], whole.headers[CONTENT_TYPE], "{path}");
        assert!(head.body.is_empty() && !whole.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn browsers_of_allowed_origins_are_told_so() {
    let test = TestHouse::with(|builder| {
        builder
            .configure(|settings| settings.http.allowed_origins = vec!["https://app.example.com".to_owned()])
    })
    .await;
    let service = test.house.service();
    let preflight = |origin: &str| {
        Request::options("/users/me")
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap()
    };
    let answer = send(&service, preflight("https://app.example.com")).await.is(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    answer.header("x-request-id");
    let answer = send(&service, preflight("https://evil.example.com")).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    // A refusal must be readable too, or the application in the browser sees a network error.
    let request = Request::get("/users/me")
        .header("origin", "https://app.example.com")
        .body(Body::empty());
    let answer = send(&service, request.unwrap()).await;
    answer.problem(401, "token_missing");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example.com"
    );
}

#[tokio::test]
async fn the_documentation_page_is_served_from_the_binary() {
    let test = TestHouse::new().await;
    let service = test.house.service();
    let page = get(&service, "/docs").await.is(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    let policy = page.header("content-security-policy").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"));
    let html = String::from_utf8(page.body).unwrap();
    assert!(
        html.contains("<title>Tokenhouse</title>") && !html.contains("//"),
        "{html}"
    );

    let redirect = get(&service, "/docs/").await.is(308);
    assert_eq!(redirect.header("location"), "../docs");

    let mut linked = 0;
    for address in html.split('"').filter(|text| text.starts_with("docs/")) {
        let path = format!("/{address}");
        let plain = get(&service, &path).await.is(200);
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        let request = Request::get(&path)
            .header(ACCEPT_ENCODING, "gzip, br")
            .body(Body::empty())
            .unwrap();
        let packed = send(&service, request).await.is(200);
        let caching = |headers: &HeaderMap| headers["cache-control"].to_str().unwrap().to_owned();
        assert_eq!(caching(&plain.headers), caching(&packed.headers));
        if address.contains("swagger-ui-") {
            assert_eq!(packed.header("content-encoding"), "gzip");
            assert_eq!(
                (packed.header("vary"), plain.header("vary")),
                ("accept-encoding", "accept-encoding")
            );
            assert!(caching(&plain.headers).contains("immutable"));
            assert!(packed.body.len() * 3 < plain.body.len());
        } else {
            assert_eq!(caching(&plain.headers), "no-cache");
            assert_eq!(packed.body, plain.body);
        }
        linked += 1;
    }
    assert_eq!(linked, 5);

    let without = TestHouse::with(|builder| builder.configure(|settings| settings.http.docs = false)).await;
    get(&without.house.service(), "/docs")
        .await
        .problem(404, "not_found");
    get(&without.house.service(), "/openapi.json").await.is(200);
}

mod both_engines_have_the_same_tables {
    use super::*;

    /// Named like the other tests that need PostgreSQL, so that it is skipped with them.
    #[tokio::test]
    async fn postgres() {
        const SQLITE_COLUMNS: &str =
            "SELECT m.name, c.name, CASE WHEN c.\"notnull\" = 1 THEN 'NO' ELSE 'YES' END, c.type
        FROM sqlite_master m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
        const POSTGRES_COLUMNS: &str =
            "SELECT table_name::text, column_name::text, is_nullable::text, data_type::text
        FROM information_schema.columns WHERE table_schema = 'public'";
        const SQLITE_INDEXES: &str =
            "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
        const POSTGRES_INDEXES: &str = "SELECT tablename::text, indexname::text FROM pg_indexes
        WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key'";
        /// SQLite keeps ids and bytes alike.
        fn common(sql_type: &str) -> String {
            match sql_type.to_ascii_uppercase().as_str() {
                "UUID" | "BYTEA" => "BLOB".to_owned(),
                other => other.to_owned(),
            }
        }
        let Some(postgres) = Place::postgres() else { return };
        let mut found = Vec::new();
        for place in [Place::sqlite(), postgres] {
            let test = TestHouse::at(place.url(), |builder| builder).await;
            let (columns, indexes) = match place.engine() {
                EngineKind::Sqlite => (query(SQLITE_COLUMNS), query(SQLITE_INDEXES)),
                EngineKind::Postgres => (query(POSTGRES_COLUMNS), query(POSTGRES_INDEXES)),
            };
            let mut connection = test.house.store().read().await.unwrap();
            let columns: Vec<(String, String, String, String)> = columns.all(&mut connection).await.unwrap();
            let indexes: Vec<(String, String)> = indexes.all(&mut connection).await.unwrap();
            let mut lines: Vec<String> = columns
                .into_iter()
                .map(|(table, column, nullable, kind)| {
                    format!("{table}.{column} {} nullable={nullable}", common(&kind))
                })
                .chain(
                    indexes
                        .into_iter()
                        .map(|(table, index)| format!("{table}: index {index}")),
                )
                .collect();
            lines.sort();
            found.push(lines);
        }
        assert!(found[0].len() > 40, "{:?}", found[0]);
        assert_eq!(found[0], found[1]);
    }
}
