//! What is counted and logged, and what never is.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use axum::body::Body;
use http::Request;
use serde_json::json;
use tokenhouse::base::store::query;
use tokenhouse::testing::PASSWORD;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens};

thread_local! {
    /// What this thread logs, while somebody wants to know it.
    static CAUGHT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes to [`CAUGHT`].
struct Catch;

impl Write for Catch {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        CAUGHT.with_borrow_mut(|caught| caught.get_or_insert_default().extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that `act` logs on this thread. One subscriber for the whole program, asked anew for each event: one that
/// came and went with a test would race with what other threads' first events leave in tracing's cache.
pub fn log_of<T>(act: impl FnOnce() -> T) -> (T, String) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let wanted = dynamic_filter_fn(|_, _| CAUGHT.with_borrow(Option::is_some));
        let layer = tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Catch)
            .with_filter(wanted);
        tracing_subscriber::registry().with(layer).init();
    });
    CAUGHT.set(Some(Vec::new()));
    let done = act();
    let caught = CAUGHT.take().unwrap_or_default();
    (done, String::from_utf8(caught).unwrap())
}

/// The value of the one sample that begins so.
fn sample(metrics: &str, begins: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(begins))
        .and_then(|rest| rest.trim().parse().ok())
}

fn series(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.starts_with('#')).count()
}

/// A whole life, failures included; gives every secret there was in it.
async fn whole_life(api: &Api) -> Vec<String> {
    let mut secrets = vec![
        PASSWORD.to_owned(),
        PASSWORD.replace(' ', "+"),
        "a wrong password".to_owned(),
        "another long password".to_owned(),
        "a much too-common-secret".to_owned(),
        "00112233445566778899aabbccddeeff".to_owned(),
    ];
    let body = json!({ "email": "ada@example.org", "username": "countess", "password": PASSWORD });
    let mut tokens = vec![Tokens::of(
        &api.post("/auth/signup", None, body.clone()).await.is(201),
    )];
    api.post("/auth/signup", None, body).await.is(409);
    api.post(
        "/auth/signup",
        None,
        json!({ "email": "x", "password": "a much too-common-secret", "a much too-common-secret ": 1 }),
    )
    .await
    .is(422);
    api.raw(
        "/auth/signup",
        Some("application/json"),
        "{\"password\": \"a much too-common-secret\", x}",
    )
    .await
    .is(400);
    api.raw(
        "/auth/signup",
        Some("application/json"),
        "\"a much too-common-secret\"",
    )
    .await
    .is(400);
    api.raw("/auth/login", Some("text/plain"), "a much too-common-secret")
        .await
        .is(415);
    api.guess("ada@example.org", "a wrong password").await.is(401);
    api.guess("nobody@example.org", "a wrong password").await.is(401);
    tokens.push(api.login("ada@example.org").await);
    let form = format!("username=countess&password={}", PASSWORD.replace(' ', "+"));
    tokens.push(Tokens::of(&api.form("/auth/login", &form).await.is(200)));
    tokens.push(Tokens::of(&api.refresh(&tokens[0].refresh).await.is(200)));
    tokens.push(Tokens::of(&api.refresh(&tokens[3].refresh).await.is(200)));
    api.refresh(&tokens[0].refresh)
        .await
        .problem(401, "refresh_reused");
    api.refresh(&format!("{}x", tokens[1].refresh)).await.is(401);
    api.me(&tokens[1].access).await.is(200);
    api.me(&tokens[0].access).await.problem(401, "token_revoked");
    api.me(&format!("{}x", tokens[1].access))
        .await
        .problem(401, "token_invalid");
    api.get(&format!("/users/me?access_token={}", tokens[1].access), None)
        .await
        .is(401);
    api.change_password(&tokens[1].access, "a wrong password", "another long password")
        .await
        .is(401);
    api.change_password(&tokens[1].access, PASSWORD, "another long password")
        .await
        .is(204);
    let hashes: Vec<(String,)> = api.rows(query("SELECT hash FROM passwords")).await;
    secrets.extend(
        hashes
            .into_iter()
            .map(|row| row.0.rsplit('$').next().unwrap().to_owned()),
    );
    api.house().import_key(crate::keys::P256).await.unwrap();
    api.house().rotate_keys().await.unwrap();
    api.house().tend().await.unwrap();
    secrets.push(crate::keys::P256.lines().nth(2).unwrap().to_owned());
    // The database refuses, as it would where somebody else is at it.
    api.change(query("UPDATE users SET profile = $1").bind("no JSON, and no wonder"))
        .await;
    api.me(&tokens[1].access).await.is(500);
    api.change(query("UPDATE users SET profile = '{}'")).await;
    api.delete(
        "/users/me",
        Some(&tokens[1].access),
        json!({ "password": "another long password" }),
    )
    .await
    .is(204);
    api.house().close().await;
    api.guess("ada@example.org", PASSWORD).await.is(503);
    for pair in tokens {
        for token in [pair.access, pair.refresh] {
            // Their signatures and MACs: the beginnings may be named.
            secrets.push(token[token.len() - 40..].to_owned());
        }
    }
    secrets
}

on_both_engines! {
    async fn paths_and_methods_that_are_not_there_make_no_series(place: &Place) {
        let api = Api::on(place).await;
        let ask = async |method: &str, path: &str| {
            api.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        };
        for method in ["GET", "POST", "BREW"] {
            ask(method, "/warm").await;
            ask(method, "/users/me").await;
            ask(method, "/users/me/sessions/1").await;
        }
        let before = series(&api.house().metrics());
        for number in 0..200 {
            ask("GET", &format!("/nothing/{number}")).await;
            ask(&format!("BREW{number}"), &format!("/nothing/{number}")).await;
            ask(&format!("BREW{number}"), "/users/me").await;
            ask("GET", &format!("/users/me/sessions/{number}")).await;
            ask("GET", &format!("/users/me?x={number}")).await;
        }
        let metrics = api.house().metrics();
        assert_eq!(series(&metrics), before);
        assert!(metrics.contains("route=\"/users/me/sessions/{id}\"") && metrics.contains("route=\"(none)\"") && metrics.contains("method=\"OTHER\""));
        assert!(!metrics.contains("BREW") && !metrics.contains("/nothing"));
    }

    async fn outcomes_are_counted(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        api.login("ada@example.org").await;
        for _ in 0..11 {
            api.guess("ada@example.org", "wrong password").await;
        }
        let next = Tokens::of(&api.refresh(&tokens.refresh).await.is(200));
        api.refresh(&tokens.refresh).await.is(200);
        api.refresh(&next.refresh).await.is(200);
        api.refresh(&tokens.refresh).await.problem(401, "refresh_reused");
        api.refresh("nonsense").await.is(401);
        let answer = api.get("/metrics", None).await.is(200);
        let metrics = String::from_utf8(answer.body).unwrap();
        for (name, value) in [
            ("tokenhouse_logins_total{outcome=\"succeeded\"}", 2.0),
            ("tokenhouse_logins_total{outcome=\"wrong\"}", 10.0),
            ("tokenhouse_logins_total{outcome=\"braked\"}", 1.0),
            ("tokenhouse_refreshes_total{outcome=\"fresh\"}", 2.0),
            ("tokenhouse_refreshes_total{outcome=\"replayed\"}", 1.0),
            ("tokenhouse_refreshes_total{outcome=\"reused\"}", 1.0),
            ("tokenhouse_refreshes_total{outcome=\"refused\"}", 1.0),
            ("tokenhouse_signups_total", 1.0),
            ("tokenhouse_revocations", 1.0),
            ("tokenhouse_http_requests_total{method=\"POST\",route=\"/auth/signup\",status=\"201\"}", 1.0),
        ] {
            assert_eq!(sample(&metrics, name), Some(value), "{name} in {metrics}");
        }
        assert!(metrics.ends_with("# EOF\n"));
        let hidden = Api::with(place, |builder| builder.configure(|settings| settings.http.metrics = false)).await;
        hidden.get("/metrics", None).await.problem(404, "not_found");
    }

    async fn readiness_needs_the_database_and_liveness_does_not(place: &Place) {
        let api = Api::on(place).await;
        api.get("/health/ready", None).await.is(200);
        api.house().close().await;
        let answer = api.get("/health/ready", None).await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(api.get("/health/live", None).await.is(200).json(), json!({ "status": "ok" }));
    }

    async fn no_count_names_anybody(place: &Place) {
        let api = Api::on(place).await;
        let metrics = {
            whole_life(&api).await;
            api.house().metrics()
        };
        for name in ["ada", "countess", "nobody@", "example.org"] {
            assert!(!metrics.contains(name), "{name}");
        }
    }
}

mod no_log_line_or_count_holds_a_secret {
    use super::*;
    use crate::support::Place;

    /// On one thread, whose log is ours alone.
    fn test(place: &Place) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let ((secrets, metrics), log) = log_of(|| {
            runtime.block_on(async {
                let api = Api::on(place).await;
                let secrets = whole_life(&api).await;
                (secrets, api.house().metrics())
            })
        });
        for expected in [
            "answered",
            "a used refresh token came back",
            "a request could not be carried out",
            "could not be reached",
        ] {
            assert!(log.contains(expected), "the log was not caught: no `{expected}`");
        }
        for secret in secrets {
            assert!(secret.len() >= 10);
            let place = log.find(&secret).map(|at| &log[at.saturating_sub(200)..at]);
            assert_eq!(place, None, "in the log");
            assert!(!metrics.contains(&secret));
        }
        for name in [
            "ada@example.org",
            "nobody@example.org",
            "countess",
            "$argon2id",
            "no wonder",
        ] {
            assert!(!log.contains(name), "{name}");
        }
    }

    #[test]
    fn sqlite() {
        test(&Place::sqlite());
    }

    #[test]
    fn postgres() {
        if let Some(place) = Place::postgres() {
            test(&place);
        }
    }
}
