//! A database that hangs: answers end soon, what needs no database goes on, and nothing has to be restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokenhouse::testing::PASSWORD;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens};
use crate::support::proxy::Proxy;

/// Two seconds for a connection, two and a half for an answer, and what the server is given to say so itself.
const END: Duration = Duration::from_millis(4750);
/// For a machine that is busy.
const SLACK: Duration = Duration::from_secs(2);

async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    (answer.await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_told_soon_and_survived() {
    let Some(place) = Place::postgres() else { return };
    let proxy = Proxy::before(place.url());
    let api = Arc::new(
        Api::at(proxy.url(), |builder| {
            builder.configure(|settings| settings.rate_limit.account_enabled = false)
        })
        .await,
    );
    let mut people = Vec::new();
    for number in 0..20 {
        people.push(api.signup(&format!("person{number}@example.org")).await);
    }

    proxy.freeze();
    let mut waiting = JoinSet::new();
    // Ten times as many as there are connections, so that most wait for one.
    for number in 0..160 {
        let (api, person) = (Arc::clone(&api), people[number % people.len()].clone());
        waiting.spawn(timed(async move {
            match number % 4 {
                0 => api.refresh(&person.refresh).await,
                1 => api.me(&person.access).await,
                2 => {
                    let body = json!({ "email": format!("new{number}@example.org"), "password": PASSWORD });
                    api.post("/auth/signup", None, body).await
                }
                _ => {
                    let body = json!({ "username": "person1@example.org", "password": PASSWORD });
                    api.post("/auth/login", None, body).await
                }
            }
        }));
    }
    for _ in 0..50 {
        let soon = Duration::from_secs(1);
        let alive = timeout(soon, api.get("/health/live", None)).await;
        alive.expect("liveness waits for nothing").is(200);
        let keys = timeout(soon, api.get("/.well-known/jwks.json", None)).await;
        keys.expect("the keys lie in memory").is(200);
        assert!(api.house().verify(&people[0].access).is_ok());
        tokio::task::yield_now().await;
    }
    while let Some(done) = waiting.join_next().await {
        let (answer, elapsed) = done.unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.header("retry-after");
        assert!(elapsed < END + SLACK, "{elapsed:?}");
    }
    assert_eq!(api.house().store().status().waiting, 0);

    proxy.thaw();
    let began = Instant::now();
    for person in &people {
        // Whether the refresh before was made is unknown; the grace forgives that the answer was lost.
        while api.refresh(&person.refresh).await.status != 200 {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not recover");
        }
    }
    let next = Tokens::of(&api.refresh(&people[0].refresh).await.is(200));
    api.me(&next.access).await.is(200);
}
