//! What people with bad intentions send. Nothing of it is ever answered 5xx, or with anything but a problem.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{Method, Request};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::api::{Answer, Api, faults};

const JSON: Option<&str> = Some("application/json");
const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// Every route with a body.
const ROUTES: &[(&str, &str)] = &[
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/logout/all"),
    ("PATCH", "/users/me"),
    ("DELETE", "/users/me"),
    ("POST", "/users/me/password"),
    ("POST", "/auth/mfa"),
    ("POST", "/auth/mfa/totp"),
    ("POST", "/auth/mfa/totp/confirm"),
    ("POST", "/auth/mfa/passkey/begin"),
    ("POST", "/auth/mfa/passkey/finish"),
    ("POST", "/auth/passkey/begin"),
    ("POST", "/auth/passkey/finish"),
    ("POST", "/auth/reauthenticate"),
    ("POST", "/auth/reauthenticate/password"),
    ("POST", "/auth/reauthenticate/passkey/finish"),
    ("POST", "/users/me/totp/confirm"),
    ("POST", "/users/me/passkeys/finish"),
];

/// Asserts what holds of every answer, whatever was asked.
#[track_caller]
fn harmless(answer: &Answer, what: &dyn std::fmt::Debug) {
    assert!(answer.status.as_u16() < 500, "{what:?}: {answer:?}");
    assert!(answer.headers.contains_key("x-request-id"), "{what:?}");
    if answer.status.is_client_error() {
        let code = answer.json()["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{what:?}: {answer:?}"))
            .to_owned();
        answer.problem(answer.status.as_u16(), &code);
    }
}

fn request(
    method: &str,
    path: &str,
    token: &str,
    content_type: Option<&str>,
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    request.body(body.into()).unwrap()
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[\\x00-\\x7f]{0,40}",
        Just("ada@example.org".to_owned()),
        Just("\0".to_owned())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Bodies that have the names a route knows, and values of any kind.
fn plausible() -> impl Strategy<Value = Value> {
    let names = [
        "email",
        "username",
        "login",
        "password",
        "profile",
        "refresh_token",
        "current_password",
        "new_password",
        "scope",
        "grant_type",
        "mfa_token",
        "code",
        "recovery_code",
        "credential",
        "name",
    ];
    proptest::collection::vec((proptest::sample::select(names.to_vec()), any_json()), 0..6).prop_map(
        |members| {
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        },
    )
}

on_both_engines! {
    async fn nul_in_a_text_is_no_business_of_the_database(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await.access;
        for name in ["email", "username", "login"] {
            let body = json!({ name: "ada@example.org\u{0}", "password": PASSWORD });
            api.post("/auth/login", None, body).await.problem(401, "invalid_credentials");
            let body = json!({ name: "\u{0}", "password": PASSWORD });
            api.post("/auth/login", None, body).await.problem(401, "invalid_credentials");
        }
        api.guess("ada@example.org", &format!("{PASSWORD}\u{0}")).await.problem(401, "invalid_credentials");
        let form = format!("username=ada%40example.org%00&password={}", PASSWORD.replace(' ', "+"));
        api.form("/auth/login", &form).await.problem(401, "invalid_credentials");
        api.post("/auth/refresh", None, json!({ "refresh_token": "\u{0}" })).await.problem(401, "refresh_invalid");
        api.post("/auth/login", None, json!({ "login": "ada", "password": "x", "scope": "\u{0}" })).await.problem(422, "invalid_fields");
        for (name, value) in [("email", "a\u{0}@example.org"), ("username", "a\u{0}b"), ("password", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}")] {
            let mut body = json!({ "email": "eve@example.org", "password": PASSWORD });
            body[name] = json!(value);
            assert_eq!(faults(&api.post("/auth/signup", None, body).await)[0].0, format!("/{name}"));
        }
        api.patch("/users/me", Some(&ada), json!({ "username": "a\u{0}b" })).await.problem(422, "invalid_fields");
        api.patch("/users/me", Some(&ada), json!({ "profile": { "\u{0}": "\u{0}" } })).await.is(200);
        api.change_password(&ada, "\u{0}", "another long password").await.problem(401, "invalid_credentials");
        assert!(api.house().user_by_name("ada\u{0}").await.unwrap().is_none());
        assert!(api.house().user_by_name("ada@example.org\u{0}").await.unwrap().is_none());
    }

    async fn what_is_not_what_it_says_is_malformed(place: &Place) {
        let api = Api::on(place).await;
        for bytes in [
            &b""[..],
            b"{",
            b"null",
            b"[]",
            b"\"text\"",
            b"5",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\0}\0",
            b"{\"email\":\"\xff\"}",
            b"{\"email\":\"\\ud800\"}",
            b"{\"email\":\"\\udc00\\ud800\"}",
            b"{\"email\":\"a\0b\"}",
            b"{\"email\":1e999}",
            b"{\"email\":NaN}",
            b"{'email':1}",
            b"{\"email\":1,}",
            b"// comment\n{}",
            b"{\"password\":\"one\",\"password\":\"two\"}",
            b"email=ada%40example.org",
        ] {
            for route in ["/auth/signup", "/auth/login", "/auth/refresh", "/auth/logout"] {
                let answer = api.raw(route, JSON, bytes.to_vec()).await;
                // Whoever logs out may send nothing, and say that it is JSON.
                if route == "/auth/logout" && bytes.is_empty() {
                    answer.problem(401, "token_missing");
                } else {
                    answer.problem(400, "malformed_body");
                }
                harmless(&answer, &bytes);
            }
        }
        let deep = format!("{{\"profile\":{}{}}}", "{\"a\":".repeat(5000), "1".to_owned() + &"}".repeat(5000));
        api.raw("/auth/signup", JSON, deep).await.problem(400, "malformed_body");
        let deep = format!("{{\"email\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        api.raw("/auth/login", JSON, deep).await.problem(400, "malformed_body");
        for form in ["username=%ff", "%ff=1", "username=a&username=a", "a=1&a=2", "password=%c3%28"] {
            api.raw("/auth/login", FORM, form).await.problem(400, "malformed_body");
        }
        let many: String = (0..101).map(|number| format!("f{number}=x&")).collect();
        api.raw("/auth/login", FORM, many).await.problem(400, "malformed_body");
        let empty = "=&".repeat(20_000);
        harmless(&api.raw("/auth/login", FORM, empty).await, &"twenty thousand empty fields");
        harmless(&api.raw("/auth/login", FORM, "a&".repeat(30_000)).await, &"fields without values");
        harmless(&api.raw("/auth/login", FORM, "%".repeat(60_000)).await, &"per cent signs");
    }

    async fn a_content_type_that_is_not_taken_is_named(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD }).to_string();
        for content_type in [
            None,
            Some("text/plain"),
            Some("text/json"),
            Some("multipart/form-data; boundary=x"),
            Some("application/xml"),
            Some(""),
            Some("application/json; charset=utf-16"),
            Some("application/jsonp"),
            Some("json"),
        ] {
            api.raw("/auth/signup", content_type, body.clone()).await.problem(415, "unsupported_media_type");
        }
        for (number, content_type) in ["application/json", "APPLICATION/JSON ; Charset=\"UTF-8\"", "application/vnd.api+json"].iter().enumerate() {
            let body = json!({ "email": format!("user{number}@example.org"), "password": PASSWORD }).to_string();
            api.raw("/auth/signup", Some(content_type), body).await.is(201);
        }
        let garbage = Request::post("/auth/signup").header("content-type", &b"\xff\xfe"[..]).body(Body::from(body)).unwrap();
        api.send(garbage).await.problem(415, "unsupported_media_type");
    }

    async fn a_body_has_a_limit(place: &Place) {
        let api = Api::on(place).await;
        let sized = |bytes: usize| format!("{{\"login\":\"{}\"}}", "x".repeat(bytes - 12));
        assert_eq!(sized(65_536).len(), 65_536);
        api.raw("/auth/login", JSON, sized(65_536)).await.problem(422, "invalid_fields");
        api.raw("/auth/login", JSON, sized(65_537)).await.problem(413, "body_too_large");
        api.raw("/auth/login", FORM, "x".repeat(1 << 20)).await.problem(413, "body_too_large");
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1024])));
        api.raw("/auth/login", JSON, Body::from_stream(endless)).await.problem(413, "body_too_large");
    }

    async fn a_body_must_arrive(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.http.body_timeout = Period::millis(30))).await;
        let stuck = stream::pending::<Result<Bytes, Infallible>>();
        api.raw("/auth/login", JSON, Body::from_stream(stuck)).await.problem(408, "request_timeout");
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
        api.raw("/auth/login", JSON, Body::from_stream(broken)).await.problem(400, "malformed_body");
    }

    async fn a_name_is_only_ever_data(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup("ada@example.org").await;
        for name in [
            "' OR '1'='1", "ada@example.org' --", "'; DROP TABLE users; --", "%", "ada@example.or_", "$1", "\\", "\\0", "ada@example.org\r\nX-Evil: 1",
            "{{7*7}}", "${jndi:ldap://x}", "<script>", "👩‍💻", "\u{202e}", "\u{200b}", "\u{fffd}", "a\u{300}\u{301}", &"x".repeat(60_000), &"\u{fdfa}".repeat(20_000),
            &"@".repeat(60_000), "@", "", " ", "\u{feff}ada@example.org",
        ] {
            let answer = api.guess(name, PASSWORD).await;
            answer.problem(401, "invalid_credentials");
            harmless(&answer, &name);
        }
        assert_eq!(api.house().users(None, 10).await.unwrap().len(), 1);
    }

    async fn fields_without_number_are_answered_with_few(place: &Place) {
        let api = Api::on(place).await;
        let body: Value = (0..3000).map(|number| (format!("field{number}"), json!(1))).collect();
        let answer = api.post("/auth/signup", None, body).await;
        assert!(faults(&answer).len() < 30 && answer.body.len() < 8192, "{}", answer.body.len());
        let answer = api.post("/auth/signup", None, json!({ "x".repeat(60_000): 1 })).await;
        answer.problem(422, "invalid_fields");
        harmless(&answer, &"a long name");
    }

    async fn what_is_not_there_is_a_problem_too(place: &Place) {
        let api = Api::on(place).await;
        for path in ["/", "/auth", "/auth/login/", "//auth/login", "/AUTH/LOGIN", "/users/me/../me", "/users/%6de", "/auth/login%00", "/%ff", "/users/1", "/users"] {
            let answer = api.get(path, None).await;
            harmless(&answer, &path);
            assert!(answer.status.is_client_error(), "{path}");
        }
        let answer = api.get("/auth/login", None).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "POST");
        for method in ["PUT", "TRACE", "CONNECT", "OPTIONS", "BREW", "PROPFIND", "patch"] {
            let request = Request::builder().method(method).uri("/users/me").body(Body::empty()).unwrap();
            let answer = api.send(request).await;
            harmless(&answer, &method);
            assert_eq!(answer.status, 405, "{method}");
        }
        let head = Request::builder().method(Method::HEAD).uri("/health/live").body(Body::empty()).unwrap();
        assert!(api.send(head).await.is(200).body.is_empty());
    }

    async fn a_request_id_is_taken_only_if_it_is_harmless(place: &Place) {
        let api = Api::on(place).await;
        let asked = |id: &'static [u8]| api.send(Request::get("/health/live").header("x-request-id", id).body(Body::empty()).unwrap());
        assert_eq!(asked(b"trace-1.2_3").await.header("x-request-id"), "trace-1.2_3");
        for id in [&b""[..], b"a b", b"\"", b"<x>", b"a\tb", b"\xff", &[b'x'; 65]] {
            let answer = asked(id).await;
            assert_ne!(answer.headers["x-request-id"].as_bytes(), id);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }

    async fn no_bytes_at_any_route_break_anything(place: &Place) {
        let cases = match place.engine() {
            tokenhouse::base::store::EngineKind::Sqlite => 250,
            tokenhouse::base::store::EngineKind::Postgres => 80,
        };
        let api = Api::unbraked(place).await;
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            any::<String>().prop_map(String::into_bytes),
            any_json().prop_map(|value| value.to_string().into_bytes()),
            plausible().prop_map(|value| value.to_string().into_bytes()),
            plausible().prop_map(|value| value.to_string().into_bytes()),
        ];
        let content_type = prop_oneof![4 => Just(JSON), 1 => Just(FORM), 1 => Just(None)];
        let strategy = (proptest::sample::select(ROUTES), content_type, bytes);
        let mut token = api.signup("ada@example.org").await.access;
        for _ in 0..cases {
            let ((method, path), content_type, bytes) = strategy.new_tree(&mut runner).unwrap().current();
            let what = (method, path, content_type, String::from_utf8_lossy(&bytes).into_owned());
            let answer = api.send(request(method, path, &token, content_type, bytes)).await;
            harmless(&answer, &what);
            if api.me(&token).await.status != 200 {
                token = api.login("ada@example.org").await.access;
            }
        }
    }

    async fn no_path_or_token_breaks_anything(place: &Place) {
        let api = Api::on(place).await;
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let path = prop_oneof!["/users/me/sessions/[ -~]{0,40}", "/[ -~]{0,60}", "/users/me/sessions/(%[0-9a-f]{2}){0,8}"];
        let token = prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,5}", "[ -~]{0,80}"];
        let strategy = (path, token, proptest::sample::select(&["GET", "POST", "DELETE", "PATCH", "PUT"][..]));
        for _ in 0..150 {
            let (path, token, method) = strategy.new_tree(&mut runner).unwrap().current();
            let request = Request::builder().method(method).uri(&path).header("authorization", format!("Bearer {token}").into_bytes());
            if let Ok(request) = request.body(Body::empty()) {
                let answer = api.send(request).await;
                harmless(&answer, &(method, path, token));
            }
        }
    }
}
