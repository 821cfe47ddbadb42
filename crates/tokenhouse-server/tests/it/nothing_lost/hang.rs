//! The database takes connections and then says nothing: everybody is told so in time, and nothing piles up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::client::Client;
use super::load::{self, Load};
use super::postgres::{Postgres, url};
use super::server;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Stands between the house and PostgreSQL, and passes on what they say, or does not.
struct Between {
    folder: tempfile::TempDir,
    passes: watch::Sender<bool>,
}

impl Between {
    fn new(postgres: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("th-mid.")
            .tempdir_in("/tmp")
            .unwrap();
        let socket = |folder: &Path| folder.join(".s.PGSQL.5432");
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (passes, watched) = watch::channel(true);
        tokio::spawn(serve(listener, socket(postgres), watched));
        Self { folder, passes }
    }
}

async fn serve(listener: UnixListener, to: PathBuf, passes: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let (to, passes) = (to.clone(), passes.clone());
        tokio::spawn(async move {
            let Ok(far) = UnixStream::connect(to).await else {
                return;
            };
            let (mut near_out, mut near_in) = near.into_split();
            let (mut far_out, mut far_in) = far.into_split();
            tokio::select! {
                () = pass(&mut near_out, &mut far_in, passes.clone()) => {}
                () = pass(&mut far_out, &mut near_in, passes) => {}
            }
        });
    }
}

async fn pass(
    from: &mut tokio::net::unix::OwnedReadHalf,
    to: &mut tokio::net::unix::OwnedWriteHalf,
    mut passes: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16_384];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        if passes.wait_for(|passes| *passes).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_makes_nobody_hang() {
    let Some(postgres) = Postgres::new() else { return };
    postgres.ready().await;
    let between = Between::new(postgres.folder());
    let place = server::place().with("TOKENHOUSE_DATABASE_URL", url(between.folder.path()));
    let (running, _) = server::start(&place).await;
    let sessions = load::sessions(&postgres.url(), 300).await;
    let forged = format!("{}AAAA", &sessions[0].access[..sessions[0].access.len() - 4]);
    let load = Load::new(304);
    let clients = load::let_loose(sessions, running.port, &load);
    load.all_served().await;
    let memory = running.memory();
    load.slowest();
    let away = load.away();
    between.passes.send(false).unwrap();
    let began = Instant::now();
    let hangs = Duration::from_secs(if super::is_long() { 30 } else { 8 });
    let undisturbed = tokio::spawn(unconcerned(running.port, forged, Arc::clone(&load)));
    load.until(|_| began.elapsed() > hangs).await;
    let (slowest, away) = (load.slowest(), load.away() - away);
    between.passes.send(true).unwrap();
    let recovered = load.all_served().await;
    let grown = running.memory().saturating_sub(memory) >> 20;
    eprintln!(
        "hung for {hangs:?}: {away} told to come again after {slowest:?} at most; {grown} MiB more; well after \
         {recovered:?}"
    );
    load.stop();
    clients.join_all().await;
    let slowest_unconcerned = undisturbed.await.unwrap();
    assert!(away > 304, "{away}");
    assert!(slowest < LIMIT, "an answer took {slowest:?}");
    assert!(recovered < LIMIT, "well again only after {recovered:?}");
    assert!(grown < 64, "{grown} MiB more");
    assert!(
        slowest_unconcerned < Duration::from_secs(1),
        "{slowest_unconcerned:?} for what needs no database"
    );
    running.kill();
}

/// What needs no database, asked again and again; gives the slowest answer.
async fn unconcerned(port: u16, forged: String, load: Arc<Load>) -> Duration {
    let mut client = Client::new(port);
    let mut slowest = Duration::ZERO;
    while !load.is_stopped() {
        for (path, token, expected) in [
            ("/health/live", None, 200),
            ("/.well-known/jwks.json", None, 200),
            // A token is checked before anything is looked up.
            ("/users/me", Some(forged.as_str()), 401),
        ] {
            let began = Instant::now();
            let answer = client.get(path, token).await.unwrap();
            assert_eq!(answer.status, expected, "{path}: {answer:?}");
            slowest = slowest.max(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    slowest
}
