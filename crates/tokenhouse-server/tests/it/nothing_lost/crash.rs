//! `kill -9` at random moments under sixty-four writing clients: what was acknowledged is there afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokenhouse::store::{EngineKind, Store, StoreOptions, query};

use super::actors::{self, Actor, Tallies};
use super::postgres::Postgres;
use super::{chance, rounds, server};
use crate::Place;

const CLIENTS: usize = 64;
/// How soon the program is ready again.
const SOON: Duration = Duration::from_secs(2);

/// Lets the clients write until the moment of a blow, which is random.
async fn until_struck(tallies: &Tallies, before: (u64, u64)) {
    // What is hashed is slow, what is not is quick: the one or the other decides.
    tokio::select! {
        () = tallies.hashed.reaches(before.0 + 1 + chance(40)) => {}
        () = tallies.quick.reaches(before.1 + 1 + chance(20_000)) => {}
    }
    tokio::time::sleep(Duration::from_micros(chance(20_000))).await;
}

async fn killed(place: &Place, url: &str) {
    let (mut running, _) = server::start(place).await;
    let mut actors = actors::cast(running.port, CLIENTS).await;
    let tallies = Arc::new(Tallies::default());
    let mut slowest = Duration::ZERO;
    let rounds = rounds(20);
    for _ in 0..rounds {
        let before = (tallies.hashed.count(), tallies.quick.count());
        let acting = actors::act(actors, running.port, &tallies);
        until_struck(&tallies, before).await;
        running.kill();
        actors = acting.join_all().await;
        assert_whole(url).await;
        let ready_after;
        (running, ready_after) = server::start(place).await;
        slowest = slowest.max(ready_after);
        actors = actors::check(actors, running.port).await;
    }
    actors::check_all(actors, running.port).await;
    running.kill();
    assert_whole(url).await;
    told(rounds, &tallies, slowest);
    assert!(slowest < SOON, "ready again only after {slowest:?}");
}

fn told(rounds: u64, tallies: &Tallies, slowest: Duration) {
    let (hashed, quick) = (tallies.hashed.count(), tallies.quick.count());
    eprintln!(
        "killed {rounds} times; acknowledged and found again: {hashed} sign-ups and password changes, {quick} \
         refreshes; ready again after {slowest:?} at most"
    );
}

/// The database passes its own check, and no row has lost what it belongs to.
pub(super) async fn assert_whole(url: &str) {
    // A copy: looking at what a crash left would already mend it.
    let copy = tempfile::tempdir().unwrap();
    let url = match url.strip_prefix("sqlite://") {
        Some(file) => {
            let to = copy.path().join("copy.db");
            std::fs::copy(file, &to).unwrap();
            let log = format!("{file}-wal");
            if Path::new(&log).exists() {
                std::fs::copy(log, copy.path().join("copy.db-wal")).unwrap();
            }
            format!("sqlite://{}", to.display())
        }
        None => url.to_owned(),
    };
    let store = Store::open(&url, StoreOptions::default()).await.unwrap();
    let mut reader = store.read().await.unwrap();
    if store.engine() == EngineKind::Sqlite {
        let said: Vec<(String,)> = query("PRAGMA integrity_check").all(&mut reader).await.unwrap();
        assert_eq!(said, [("ok".to_owned(),)]);
        let strays: Vec<(String,)> = query("PRAGMA foreign_key_check").all(&mut reader).await.unwrap();
        assert_eq!(strays, []);
    }
    for orphans in [
        "SELECT COUNT(*) FROM passwords WHERE user_id NOT IN (SELECT id FROM users)",
        "SELECT COUNT(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)",
        "SELECT COUNT(*) FROM users WHERE id NOT IN (SELECT user_id FROM passwords)",
        "SELECT COUNT(*) FROM sessions WHERE revoked_at IS NOT NULL AND id NOT IN (SELECT id FROM revocations)",
    ] {
        let (count,): (i64,) = query(orphans).one(&mut reader).await.unwrap();
        assert_eq!(count, 0, "{orphans}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_on_sqlite() {
    let place = server::place();
    let url = format!("sqlite://{}", place.path().join("tokenhouse.db").display());
    killed(&place, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_on_postgres() {
    let Some(postgres) = Postgres::new() else { return };
    postgres.ready().await;
    let place = server::place().with("TOKENHOUSE_DATABASE_URL", postgres.url());
    killed(&place, &postgres.url()).await;
    postgres.assert_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_postgres_is_killed() {
    let Some(mut postgres) = Postgres::new() else {
        return;
    };
    postgres.ready().await;
    let place = server::place().with("TOKENHOUSE_DATABASE_URL", postgres.url());
    let (running, _) = server::start(&place).await;
    let mut actors: Vec<Actor> = actors::cast(running.port, CLIENTS).await;
    let tallies = Arc::new(Tallies::default());
    let mut slowest = Duration::ZERO;
    let rounds = rounds(20);
    for _ in 0..rounds {
        let before = (tallies.hashed.count(), tallies.quick.count());
        let acting = actors::act(actors, running.port, &tallies);
        until_struck(&tallies, before).await;
        postgres.kill();
        actors = acting.join_all().await;
        postgres.start();
        postgres.ready().await;
        // The database is back; the house finds it again by itself.
        slowest = slowest.max(server::ready(running.port, crate::PATIENCE).await);
        assert_whole(&postgres.url()).await;
        actors = actors::check(actors, running.port).await;
    }
    postgres.assert_whole();
    actors::check_all(actors, running.port).await;
    running.kill();
    told(rounds, &tallies, slowest);
    assert!(slowest < SOON, "ready again only after {slowest:?}");
}
