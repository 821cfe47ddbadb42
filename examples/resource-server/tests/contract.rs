//! A house in one place, an API in another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use example_support::{Place, on_both_engines, signed};
use resource_server::{Config, Guard, routes};
use serde_json::json;
use tokenhouse::testing::TestHouse;
use tokenhouse::{Clock, Origin};
use tokio::net::TcpListener;

/// A house that listens, counts how often its keys and its feed are asked for, and may be away.
struct Issuer {
    test: TestHouse,
    url: String,
    asked: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
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
        let (told, away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (told_here, away_here) = (Arc::clone(&told), Arc::clone(&away));
        let counted = from_fn(move |request: Request, next: Next| {
            let path = request.uri().path().to_owned();
            if path == "/.well-known/jwks.json" {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            let (told, is_away) = (Arc::clone(&told_here), away_here.load(Ordering::SeqCst));
            async move {
                if is_away {
                    return StatusCode::BAD_GATEWAY.into_response();
                }
                let answer = next.run(request).await;
                if path == "/.well-known/revocations.json" && answer.status() == 200 {
                    told.fetch_add(1, Ordering::SeqCst);
                }
                answer
            }
        });
        serve(listener, test.house.service().layer(counted));
        Self {
            test,
            url,
            asked,
            told,
            away,
            users: AtomicUsize::new(0),
        }
    }

    async fn token(&self) -> String {
        let number = self.users.fetch_add(1, Ordering::SeqCst);
        let login = self.test.signed_up(&format!("user-{number}@example.org")).await;
        login.tokens.access_token.expose().to_owned()
    }

    async fn api(&self, fetch_again_after: Duration) -> String {
        self.guarded(fetch_again_after, None).await.0
    }

    /// An API, and its guard, which follows the feed when it is told to.
    async fn guarded(
        &self,
        fetch_again_after: Duration,
        refuse_after: Option<Duration>,
    ) -> (String, Arc<Guard>) {
        let config = Config {
            issuer: self.url.clone(),
            audience: self.url.clone(),
            fetch_again_after,
            refuse_after,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let guard = Guard::new(config).await.unwrap();
        serve(listener, routes(Arc::clone(&guard)));
        (url, guard)
    }

    async fn log_out(&self, token: &str) {
        let url = format!("{}/auth/logout", self.url);
        let answer = client().post(url).bearer_auth(token).send().await;
        assert_eq!(answer.unwrap().status(), 204);
    }
}

/// Where the other API is Python, nobody in this process has named the cryptography for TLS yet.
fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

fn serve(listener: TcpListener, routes: Router) {
    tokio::spawn(async move { axum::serve(listener, routes).await });
}

async fn notes(api: &str, token: &str) -> u16 {
    let request = client().get(format!("{api}/notes"));
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

    /// Two nodes and an API with warm keys, which look for unknown ones five times a second: not one verification fails.
    async fn keys_rotate_under_load_and_no_token_is_refused(place: &Place) {
        const ROTATIONS: usize = 10;
        const BETWEEN: usize = 500;
        let issuer = Issuer::on(place).await;
        let other = TestHouse::at(place.url(), |builder| builder.public_url(&issuer.url).clock(Clock::system())).await;
        issuer.test.start_jobs();
        other.start_jobs();
        let houses = [issuer.test.house.clone(), other.house.clone()];
        let (_, guard) = issuer.guarded(Duration::from_millis(200), None).await;
        let over = Arc::new(AtomicBool::new(false));
        let verified = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let mut clients = Vec::new();
        for number in 0..4 {
            let (houses, guard) = (houses.clone(), Arc::clone(&guard));
            let (over, verified) = (Arc::clone(&over), Arc::clone(&verified));
            let user = issuer.test.signed_up(&format!("{number}@example.org")).await;
            clients.push(tokio::spawn(async move {
                let mut failed = Vec::new();
                let mut refresh = user.tokens.refresh_token;
                while !over.load(Ordering::SeqCst) {
                    // Fresh tokens of both nodes, by whichever key each signs with now.
                    let signs = &houses[number % 2];
                    let tokens = signs.refresh(&refresh, &Origin::default()).await.unwrap().1;
                    let token = tokens.access_token.expose();
                    for _ in 0..10 {
                        for (place, outcome) in [
                            houses[0].authenticate(token).await.err().map(|error| error.to_string()),
                            houses[1].authenticate(token).await.err().map(|error| error.to_string()),
                            guard.verify(token).await.err().map(|error| error.to_string()),
                        ].into_iter().enumerate() {
                            verified[place].fetch_add(1, Ordering::SeqCst);
                            failed.extend(outcome.map(|why| format!("{place}: {why}")));
                        }
                    }
                    refresh = tokens.refresh_token;
                }
                failed
            }));
        }
        let began = std::time::Instant::now();
        let fewest = || verified.iter().map(|count| count.load(Ordering::SeqCst)).min().unwrap();
        for rotation in 1..=ROTATIONS {
            while fewest() < rotation * BETWEEN {
                tokio::task::yield_now().await;
            }
            houses[rotation % 2].rotate_keys().await.unwrap();
        }
        while fewest() < (ROTATIONS + 1) * BETWEEN {
            tokio::task::yield_now().await;
        }
        let rate = fewest() as f64 / began.elapsed().as_secs_f64();
        over.store(true, Ordering::SeqCst);
        for client in clients {
            assert_eq!(client.await.unwrap(), Vec::<String>::new());
        }
        println!("{ROTATIONS} rotations, {rate:.0} verifications a second at each of three places, 0 failed");
        assert_eq!(houses[0].keys().iter().filter(|key| key.state == "retired").count(), ROTATIONS);
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

    async fn a_logout_is_seen_with_the_next_poll(place: &Place) {
        let issuer = Issuer::on(place).await;
        let (api, guard) = issuer.guarded(Duration::from_secs(3600), None).await;
        let (leaves, stays) = (issuer.token().await, issuer.token().await);
        assert_eq!((notes(&api, &leaves).await, notes(&api, &stays).await), (200, 200));
        issuer.log_out(&leaves).await;
        assert_eq!(notes(&api, &leaves).await, 200, "nobody has asked yet");
        guard.poll_revocations().await.unwrap();
        assert_eq!((notes(&api, &leaves).await, notes(&api, &stays).await), (401, 200));
        // Who starts now hears of it before the first request.
        let later = issuer.api(Duration::from_secs(3600)).await;
        assert_eq!((notes(&later, &leaves).await, notes(&later, &stays).await), (401, 200));
    }

    async fn what_has_not_changed_is_not_told_again(place: &Place) {
        let issuer = Issuer::on(place).await;
        let (_, guard) = issuer.guarded(Duration::from_secs(3600), None).await;
        for _ in 0..5 {
            guard.poll_revocations().await.unwrap();
        }
        assert_eq!(issuer.told.load(Ordering::SeqCst), 1);
        issuer.log_out(&issuer.token().await).await;
        for _ in 0..5 {
            guard.poll_revocations().await.unwrap();
        }
        assert_eq!(issuer.told.load(Ordering::SeqCst), 2);
    }

    async fn an_issuer_that_is_away_logs_nobody_out_and_revives_nobody(place: &Place) {
        let issuer = Issuer::on(place).await;
        let (api, guard) = issuer.guarded(Duration::ZERO, None).await;
        let (leaves, stays) = (issuer.token().await, issuer.token().await);
        issuer.log_out(&leaves).await;
        guard.poll_revocations().await.unwrap();
        issuer.away.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            guard.poll_revocations().await.unwrap_err();
            assert_eq!((notes(&api, &leaves).await, notes(&api, &stays).await), (401, 200));
        }
        issuer.away.store(false, Ordering::SeqCst);
        issuer.log_out(&stays).await;
        guard.poll_revocations().await.unwrap();
        assert_eq!(notes(&api, &stays).await, 401);
    }

    async fn who_wants_it_refuses_when_the_feed_was_not_heard_for_too_long(place: &Place) {
        let issuer = Issuer::on(place).await;
        let (patient, _) = issuer.guarded(Duration::ZERO, Some(Duration::from_secs(3600))).await;
        // Every answer is too old for this one, before the next request comes.
        let (strict, _) = issuer.guarded(Duration::ZERO, Some(Duration::ZERO)).await;
        let token = issuer.token().await;
        assert_eq!((notes(&patient, &token).await, notes(&strict, &token).await), (200, 503));
        assert_eq!(notes(&strict, "not.a.token").await, 401);
        // One that has never heard it knows nothing, however patient it is; its keys come with the first token.
        issuer.away.store(true, Ordering::SeqCst);
        let (deaf, _) = issuer.guarded(Duration::ZERO, Some(Duration::from_secs(3600))).await;
        issuer.away.store(false, Ordering::SeqCst);
        assert_eq!(notes(&deaf, &token).await, 503);
    }

    async fn keys_of_somebody_who_is_not_the_issuer_are_not_taken(place: &Place) {
        let issuer = Issuer::on(place).await;
        let config = Config {
            issuer: issuer.url.replace("127.0.0.1", "localhost"),
            audience: issuer.url.clone(),
            fetch_again_after: Duration::ZERO,
            refuse_after: None,
        };
        let guard = Guard::new(config).await.unwrap();
        assert!(guard.poll_revocations().await.unwrap_err().to_string().contains("calls itself"));
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 0);
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
        assert_eq!(notes(&api.url, login.tokens.access_token.expose()).await, 200);
        let other = TestHouse::new().await;
        let stranger = other.signed_up("ada@example.org").await;
        assert_eq!(notes(&api.url, stranger.tokens.access_token.expose()).await, 401);
        issuer.test.house.end_session(login.user.id, login.session.id, &Origin::default()).await.unwrap();
        assert_eq!(notes(&api.url, login.tokens.access_token.expose()).await, 401);
        // An issuer that is away logs nobody out, and revives nobody.
        let stays = issuer.token().await;
        assert_eq!(notes(&api.url, &stays).await, 200);
        issuer.away.store(true, Ordering::SeqCst);
        assert_eq!(notes(&api.url, &stays).await, 200);
        assert_eq!(notes(&api.url, login.tokens.access_token.expose()).await, 401);
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
            // Each request asks for the feed first, so that none has to wait for the next second.
            .env("FOLLOW_EVERY", "0")
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
