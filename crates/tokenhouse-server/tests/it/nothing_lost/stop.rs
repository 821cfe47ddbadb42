//! SIGTERM under load loses no request, and what is answered is on the disk.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::actors::{Held, password};
use super::client::Client;
use super::postgres::Postgres;
use super::{load, server};

const CLIENTS: usize = 64;
const PER_SECOND: u32 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_request_in_flight() {
    let place = server::place();
    let database = format!("sqlite://{}", place.path().join("tokenhouse.db").display());
    let (running, _) = server::start(&place).await;
    let sessions = load::sessions(&database, CLIENTS).await;
    let stopping = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for mut session in sessions {
        let (port, stopping, answered) = (running.port, Arc::clone(&stopping), Arc::clone(&answered));
        clients.spawn(async move {
            let mut client = Client::new(port);
            let mut ticks = tokio::time::interval(Duration::from_secs(1) * CLIENTS as u32 / PER_SECOND);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // Whoever asks afterwards may find nobody, which a client sees before it has sent anything.
                let was_stopping = stopping.load(Ordering::SeqCst);
                let body = json!({ "refresh_token": session.refresh });
                match client.post("/auth/refresh", None, body).await {
                    Ok(answer) => {
                        assert_eq!(answer.status, 200, "{answer:?}");
                        session = Held::of(&answer);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        assert!(was_stopping, "a request in flight was lost: {error}");
                        return;
                    }
                }
            }
        });
    }
    let began = Instant::now();
    while answered.load(Ordering::Relaxed) < 1000 {
        assert!(began.elapsed() < crate::PATIENCE);
        tokio::time::sleep(Duration::from_millis(super::chance(20))).await;
    }
    let per_second = f64::from(1000) / began.elapsed().as_secs_f64();
    stopping.store(true, Ordering::SeqCst);
    let stopped = Instant::now();
    let (status, log) = running.stop();
    let took = stopped.elapsed();
    clients.join_all().await;
    eprintln!("{per_second:.0} requests/s before; stopped within {took:?}");
    assert!(status.success(), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    server::assert_no_secrets(&log);
}

/// Whether system calls can be watched here; where not the test is skipped, loudly, and where CI could, it fails.
fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    if traced.as_ref().is_ok_and(ExitStatus::success) {
        return true;
    }
    assert!(
        traced.is_err() || std::env::var_os("CI").is_none(),
        "CI has strace, but it may not trace"
    );
    eprintln!("SKIPPED: strace cannot be used here");
    false
}

/// Changes something 25 times, and looks at something 20 times, one after the other.
async fn change_and_look(port: u16) {
    let mut client = Client::new(port);
    let email = "ada@example.org";
    let body = json!({ "email": email, "password": password(email, 0) });
    let mut held = Held::of(&client.post_again("/auth/signup", body.clone()).await);
    for number in 0..20 {
        held = Held::of(
            &client
                .post_again("/auth/refresh", json!({ "refresh_token": held.refresh }))
                .await,
        );
        assert_eq!(
            client.get("/users/me", Some(&held.access)).await.unwrap().status,
            200
        );
        if number % 10 == 0 {
            assert_eq!(client.post_again("/auth/login", body.clone()).await.status, 200);
        }
    }
    let body = json!({ "current_password": password(email, 0), "new_password": password(email, 1) });
    for (path, body) in [("/users/me/password", body), ("/auth/logout", json!({}))] {
        let answer = client.post(path, Some(&held.access), body).await.unwrap();
        assert_eq!(answer.status, 204, "{path}");
    }
}

const CHANGES: usize = 25;
const LOOKS: usize = 20;
const ANSWERING: &str = "trace=fsync,fdatasync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg";

/// Whether this line is a request, and if so whether it changes something.
fn asks(line: &str) -> Option<bool> {
    ["\"POST /auth", "\"POST /users", "\"GET /users"]
        .iter()
        .any(|begin| line.contains(begin))
        .then(|| line.contains("\"POST"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_on_the_disk() {
    if !can_trace() {
        return;
    }
    let place = server::place();
    let file = place.path().join("trace.txt");
    let to = file.to_str().unwrap();
    let place = place.through(&["strace", "-D", "-f", "-y", "-s", "40", "-o", to, "-e", ANSWERING]);
    let (running, _) = server::start(&place).await;
    change_and_look(running.port).await;
    running.kill();
    let trace = fs::read_to_string(&file).unwrap();
    // Of each request whether something was flushed before its answer.
    let (mut asked, mut flushed) = (None, false);
    let (mut writes, mut reads) = (0, 0);
    for line in trace.lines() {
        if let Some(writing) = asks(line) {
            asked = Some(writing);
            flushed = false;
        } else if (line.contains("sync") && line.contains("-wal>") || line.contains("sync resumed>"))
            && line.ends_with(" = 0")
        {
            flushed = true;
        } else if line.contains("\"HTTP/1.1 20")
            && let Some(writing) = asked.take()
        {
            assert_eq!(flushed, writing, "answered: {line}");
            *(if writing { &mut writes } else { &mut reads }) += 1;
        }
    }
    assert_eq!((writes, reads), (CHANGES, LOOKS), "{trace}");
}

/// A system call: whose, when it began and ended, and how it reads.
struct Call {
    began: f64,
    ended: f64,
    text: String,
}

/// What `strace -f -ttt -T` wrote; a call that another process interrupts in it is put together again.
fn calls(trace: &str) -> Vec<Call> {
    let mut unfinished = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let Some((began, text)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let mut began: f64 = began.parse().unwrap();
        if let Some(first) = text.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, (began, first));
            continue;
        }
        let mut text = text.to_owned();
        if text.starts_with("<... ")
            && let (Some((first_began, first)), Some((_, last))) =
                (unfinished.remove(process), text.split_once("resumed>"))
        {
            (began, text) = (first_began, format!("{first}{last}"));
        }
        let took = text
            .rsplit_once(" <")
            .and_then(|(_, took)| took.strip_suffix('>'));
        let took = took.and_then(|took| took.parse::<f64>().ok()).unwrap_or_default();
        calls.push(Call {
            began,
            ended: began + took,
            text,
        });
    }
    calls
}

/// Between the moment in which the house reads a request that changes something and the one in which it begins to
/// answer, PostgreSQL has flushed its log, whichever of its processes did it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_on_the_disk_of_postgres() {
    const WATCH: [&str; 8] = ["strace", "-D", "-f", "-y", "-ttt", "-T", "-s", "40"];
    if !can_trace() {
        return;
    }
    let words = |file: &Path, calls: &str| -> Vec<String> {
        let to = ["-o", file.to_str().unwrap(), "-e", calls];
        WATCH.iter().chain(&to).copied().map(str::to_owned).collect()
    };
    let flushing = |folder: &Path| words(&folder.join("trace.txt"), "trace=fsync,fdatasync");
    let Some(mut postgres) = Postgres::through(flushing) else {
        return;
    };
    postgres.ready().await;
    let place = server::place().with("TOKENHOUSE_DATABASE_URL", postgres.url());
    let file = place.path().join("trace.txt");
    let through = words(&file, ANSWERING);
    let place = place.through(&through.iter().map(String::as_str).collect::<Vec<_>>());
    let (running, _) = server::start(&place).await;
    change_and_look(running.port).await;
    running.kill();
    postgres.stop();
    let log = fs::read_to_string(postgres.folder().join("trace.txt")).unwrap();
    let flushes: Vec<Call> = calls(&log)
        .into_iter()
        .filter(|call| call.text.contains("/pg_wal/") && call.text.contains(" = 0 "))
        .collect();
    let trace = fs::read_to_string(&file).unwrap();
    let (mut asked, mut writes) = (None, 0);
    for call in calls(&trace) {
        if let Some(writing) = asks(&call.text) {
            asked = writing.then_some(call.began);
        } else if call.text.contains("\"HTTP/1.1 20")
            && let Some(asked) = asked.take()
        {
            let flushed = |flush: &Call| flush.began > asked && flush.ended < call.began;
            assert!(
                flushes.iter().any(flushed),
                "answered before it was flushed: {}",
                call.text
            );
            writes += 1;
        }
    }
    assert_eq!(writes, CHANGES, "{trace}");
}
