//! A house in one place, an API in another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use example_support::{Place, on_both_engines, signed};
use resource_server::{Config, Guard, routes};
use serde_json::json;
use tokenhouse::testing::TestHouse;
use tokenhouse::{Clock, Origin};
use tokio::net::TcpListener;

/// A house that listens, and counts how often its keys are asked for.
struct Issuer {
    test: TestHouse,
    url: String,
    asked: Arc<AtomicUsize>,
    users: AtomicUsize,
}

impl Issuer {
    async fn on(place: &Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let test = TestHouse::at(place.url(), |builder| {
            builder.public_url(&url).clock(Clock::system())
        })
        .await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let counted = from_fn(move |request: Request, next: Next| {
            if request.uri().path() == "/.well-known/jwks.json" {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            next.run(request)
        });
        serve(listener, test.house.service().layer(counted));
        Self {
            test,
            url,
            asked,
            users: AtomicUsize::new(0),
        }
    }

    async fn token(&self) -> String {
        let number = self.users.fetch_add(1, Ordering::SeqCst);
        let login = self.test.signed_up(&format!("user-{number}@example.org")).await;
        login.tokens.access_token.expose().to_owned()
    }

    async fn api(&self, fetch_again_after: Duration) -> String {
        let config = Config {
            issuer: self.url.clone(),
            audience: self.url.clone(),
            fetch_again_after,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        serve(listener, routes(Guard::new(config).await.unwrap()));
        url
    }
}

fn serve(listener: TcpListener, routes: Router) {
    tokio::spawn(async move { axum::serve(listener, routes).await });
}

async fn notes(api: &str, token: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("{api}/notes"));
    let request = if token.is_empty() {
        request
    } else {
        request.bearer_auth(token)
    };
    let answer = request.send().await.unwrap();
    if answer.status() == 401 {
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    answer.status().as_u16()
}

/// What nobody may get in with: nothing, another key, another signature, another program's token.
async fn refuses_strangers(issuer: &Issuer, api: &str, token: &str) {
    let header = example_support::segment(token, 0);
    let payload = example_support::segment(token, 1);
    let public_key_as_secret = reqwest::get(format!("{}/.well-known/jwks.json", issuer.url))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut confused = header.clone();
    confused["alg"] = json!("HS256");
    let (signed_part, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let altered = format!("{signed_part}.{other}{}", &signature[1..]);
    for bad in [
        String::new(),
        "not.a.token".to_owned(),
        altered,
        signed(&json!({ "alg": "none" }), &payload, ""),
        signed(&confused, &payload, &public_key_as_secret),
        signed(
            &json!({ "alg": "HS256", "kid": "made up", "typ": "at+jwt" }),
            &payload,
            "secret",
        ),
    ] {
        assert_eq!(notes(api, &bad).await, 401, "{bad}");
    }
}

on_both_engines! {
    async fn tokens_are_checked_without_asking_the_house(place: &Place) {
        let issuer = Issuer::on(place).await;
        let api = issuer.api(Duration::from_secs(3600)).await;
        let token = issuer.token().await;
        for _ in 0..5 {
            assert_eq!(notes(&api, &token).await, 200);
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
        refuses_strangers(&issuer, &api, &token).await;
    }

    async fn a_rotated_key_is_fetched_when_it_is_first_seen(place: &Place) {
        let issuer = Issuer::on(place).await;
        let api = issuer.api(Duration::ZERO).await;
        let old = issuer.token().await;
        assert_eq!(notes(&api, &old).await, 200);
        issuer.test.house.rotate_keys().await.unwrap();
        let new = issuer.token().await;
        assert_ne!(example_support::segment(&old, 0)["kid"], example_support::segment(&new, 0)["kid"]);
        assert_eq!((notes(&api, &new).await, notes(&api, &old).await), (200, 200));
    }

    async fn made_up_keys_are_no_flood_at_the_issuers(place: &Place) {
        let issuer = Issuer::on(place).await;
        let api = issuer.api(Duration::from_secs(3600)).await;
        let payload = example_support::segment(&issuer.token().await, 1);
        for number in 0..20 {
            let header = json!({ "alg": "ES256", "kid": format!("made-up-{number}"), "typ": "at+jwt" });
            assert_eq!(notes(&api, &signed(&header, &payload, "x")).await, 401);
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    }

    async fn the_python_of_the_documentation_does_the_same(place: &Place) {
        let Some(interpreter) = example_support::interpreter() else { return };
        let issuer = Issuer::on(place).await;
        let api = Python::start(interpreter, &issuer.url);
        let token = issuer.token().await;
        assert_eq!(notes(&api.url, &token).await, 200);
        refuses_strangers(&issuer, &api.url, &token).await;
        issuer.test.house.rotate_keys().await.unwrap();
        assert_eq!(notes(&api.url, &issuer.token().await).await, 200);
        let login = issuer.test.signed_up("short@example.org").await;
        let other = TestHouse::new().await;
        let stranger = other.signed_up("ada@example.org").await;
        assert_eq!(notes(&api.url, stranger.tokens.access_token.expose()).await, 401);
        issuer.test.house.end_session(login.user.id, login.session.id, &Origin::default()).await.unwrap();
        // As the page says: until there is a feed to follow, the end of a session is seen when the token expires.
        assert_eq!(notes(&api.url, login.tokens.access_token.expose()).await, 200);
    }
}

/// The program on the documentation page, run by uvicorn.
struct Python {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Python {
    fn start(interpreter: &str, issuer: &str) -> Self {
        let page = include_str!("../../../docs/resource-servers.md");
        let program = page
            .split("```python\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main.py"), program).unwrap();
        let mut child = Command::new(interpreter)
            .args(["-m", "uvicorn", "main:app", "--port", "0"])
            .current_dir(folder.path())
            .env("ISSUER", issuer)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("running on ")?.1.split(' ').next()?.to_owned()));
        // Whatever it says later has to go somewhere, or it stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            url: started.unwrap_or_else(|| panic!("uvicorn did not start")),
            child,
            _folder: folder,
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
