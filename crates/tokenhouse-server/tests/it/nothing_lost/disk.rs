//! SQLite on a disk that is full, that cannot be written to, or that fails: writes are refused, reads go on, and all is
//! well again by itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::task::JoinSet;

use super::actors::{Held, password};
use super::client::Client;
use super::crash::assert_whole;
use super::load::{self, Load};
use super::server;
use crate::{Place, Running};

const CLIENTS: usize = 20;
const SOON: Duration = Duration::from_secs(5);
const FULL: &str = "mount -t tmpfs -o size=32m,mode=700 none disk && exec \"$0\" \"$@\"";
const READ_ONLY: &str = "mount -t tmpfs -o size=32m,mode=700 none disk && \"$0\" migrate >&2 && \
                         mount -o remount,ro disk && exec \"$0\" \"$@\"";

/// A place with a small disk, which only the command sees; nothing where the system does not let us mount one.
fn small_disk(script: &str) -> Option<Place> {
    let mut words = vec!["unshare", "--mount"];
    if !rustix::process::geteuid().is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    let tried = Command::new(words[0])
        .args(&words[1..])
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI has to test on a full disk");
        eprintln!("SKIPPED: a file system cannot be mounted here");
        return None;
    }
    words.extend(["sh", "-c", script]);
    let place = server::place()
        .with("PATH", std::env::var("PATH").unwrap())
        .with("TOKENHOUSE_DATABASE_URL", "sqlite://disk/house.db")
        .through(&words);
    fs::create_dir(place.path().join("disk")).unwrap();
    Some(place)
}

/// The small disk, seen from here.
fn disk(place: &Place, running: &Running) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", running.child.id()));
    root.join(place.path().strip_prefix("/").unwrap()).join("disk")
}

/// Clients that refresh a session each, and show what they got.
async fn refreshing(port: u16) -> (Arc<Load>, JoinSet<Vec<Held>>) {
    let mut sessions = Vec::new();
    let mut client = Client::new(port);
    for number in 0..CLIENTS - 4 {
        let email = format!("live{number}@example.org");
        let body = json!({ "email": email, "password": password(&email, 0) });
        sessions.push(Held::of(&client.post_again("/auth/signup", body).await));
    }
    let load = Load::new(CLIENTS);
    let clients = load::let_loose(sessions, port, &load);
    load.all_served().await;
    (load, clients)
}

/// While writes are refused: what only reads is answered as ever.
async fn assert_reads_go_on(reader: &mut Client, token: &str) {
    for path in [
        "/users/me",
        "/users/me/sessions",
        "/health/live",
        "/health/ready",
        "/.well-known/jwks.json",
    ] {
        let answer = reader.get(path, Some(token)).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_goes_on_reading_and_heals() {
    let Some(place) = small_disk(FULL) else { return };
    let (running, _) = server::start(&place).await;
    let disk = disk(&place, &running);
    let mut reader = Client::new(running.port);
    let body = json!({ "email": "reader@example.org", "password": password("reader", 0) });
    let held = Held::of(&reader.post_again("/auth/signup", body).await);
    let (load, clients) = refreshing(running.port).await;
    for _ in 0..3 {
        let away = load.away();
        let mut ballast = File::create(disk.join("ballast")).unwrap();
        // Whatever becomes free meanwhile is taken too, until so many were refused.
        while load.away() < away + 100 {
            while ballast.write(&[1; 4096]).is_ok_and(|written| written == 4096) {}
            assert_reads_go_on(&mut reader, &held.access).await;
        }
        drop(ballast);
        fs::remove_file(disk.join("ballast")).unwrap();
        let healed = load.all_served().await;
        eprintln!("{} refused in all; healed after {healed:?}", load.away());
        assert!(healed < SOON, "healed only after {healed:?}");
    }
    load.stop();
    clients.join_all().await;
    assert_whole(&format!("sqlite://{}", disk.join("house.db").display())).await;
    let log = running.kill();
    assert!(log.contains("disk is full"), "{log}");
}

#[test]
fn a_read_only_file_system_is_named_at_the_start() {
    let Some(place) = small_disk(READ_ONLY) else {
        return;
    };
    let said = place.run(&["serve"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("cannot write to disk/house.db"), "{}", said.err);
    assert!(said.err.contains("read-only"), "{}", said.err);
}

/// Makes calls on the database's files fail from now on, until it is ended.
struct Fault(Child);

impl Fault {
    fn inject(place: &Place, running: &Running, calls: &str, error: &str) -> Option<Self> {
        let database = place.path().join("tokenhouse.db");
        let said = place.path().join("strace.txt");
        let mut strace = Command::new("strace")
            .args(["-f", "-p", &running.child.id().to_string(), "-P"])
            .arg(&database)
            .arg("-P")
            .arg(format!("{}-wal", database.display()))
            .args([
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={calls}:error={error}"),
            ])
            .arg("-o")
            .arg("/dev/null")
            .stdin(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .ok()?;
        let began = std::time::Instant::now();
        while !fs::read_to_string(&said).unwrap().contains("attached") {
            assert!(began.elapsed() < crate::PATIENCE);
            if strace.try_wait().unwrap().is_some() {
                return None;
            }
        }
        Some(Self(strace))
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_refuses_writes_goes_on_reading_and_heals() {
    let place = server::place();
    let (running, _) = server::start(&place).await;
    let mut reader = Client::new(running.port);
    let body = json!({ "email": "reader@example.org", "password": password("reader", 0) });
    let held = Held::of(&reader.post_again("/auth/signup", body).await);
    let (load, clients) = refreshing(running.port).await;
    for (calls, error) in [
        ("write,pwrite64", "EROFS"),
        ("fsync,fdatasync", "EIO"),
        ("write,pwrite64", "EDQUOT"),
    ] {
        let away = load.away();
        let Some(fault) = Fault::inject(&place, &running, calls, error) else {
            eprintln!("SKIPPED: strace cannot be used here");
            break;
        };
        load.until(|load| load.away() > away + 100).await;
        assert_reads_go_on(&mut reader, &held.access).await;
        fault.end();
        let healed = load.all_served().await;
        eprintln!("{error}: {} refused in all; healed after {healed:?}", load.away());
        assert!(healed < SOON, "healed only after {healed:?}");
    }
    load.stop();
    clients.join_all().await;
    assert_whole(&format!(
        "sqlite://{}",
        place.path().join("tokenhouse.db").display()
    ))
    .await;
    running.kill();
}
