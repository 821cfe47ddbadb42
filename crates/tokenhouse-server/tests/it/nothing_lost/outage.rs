//! PostgreSQL goes and comes back while a thousand sessions are being refreshed.

use std::time::Duration;

use serde_json::json;

use super::client::Client;
use super::load::{self, Load};
use super::postgres::Postgres;
use super::server;

const SESSIONS: usize = 1000;
const CLIENTS: usize = 64;
/// How long an answer may take, and how soon all is well again.
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_restart_under_a_thousand_sessions() {
    let Some(mut postgres) = Postgres::new() else {
        return;
    };
    postgres.ready().await;
    let place = server::place().with("TOKENHOUSE_DATABASE_URL", postgres.url());
    let (running, _) = server::start(&place).await;
    let sessions = load::sessions(&postgres.url(), SESSIONS).await;
    let load = Load::new(CLIENTS);
    let clients = load::let_loose(sessions, running.port, &load);
    for killed in [false, true, false] {
        load.all_served().await;
        load.slowest();
        let (done, away) = (load.done(), load.away());
        if killed {
            postgres.kill();
        } else {
            postgres.stop();
        }
        load.until(|load| load.away() > away + 500).await;
        // What needs no database does not notice.
        let mut client = Client::new(running.port);
        for path in ["/health/live", "/.well-known/jwks.json", "/openapi.json"] {
            assert_eq!(client.get(path, None).await.unwrap().status, 200, "{path}");
        }
        postgres.start();
        postgres.ready().await;
        let recovered = load.all_served().await;
        let (slowest, done, away) = (load.slowest(), load.done() - done, load.away() - away);
        eprintln!(
            "{done} answered, {away} told to come again, {slowest:?} at most; well after {recovered:?}"
        );
        assert!(recovered < LIMIT, "well again only after {recovered:?}");
        assert!(slowest < LIMIT, "an answer took {slowest:?}");
    }
    load.stop();
    let sessions: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(sessions.len(), SESSIONS);
    let mut client = Client::new(running.port);
    for session in &sessions {
        let answer = client
            .post_again("/auth/refresh", json!({ "refresh_token": session.refresh }))
            .await;
        assert_eq!(answer.status, 200, "a session is lost: {answer:?}");
    }
    let log = running.kill();
    assert!(log.contains("the database could not be reached"), "{log}");
    postgres.assert_whole();
}
