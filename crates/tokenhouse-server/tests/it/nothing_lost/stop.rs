//! SIGTERM under load loses no request, and what is answered is on the disk.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::actors::{Held, password};
use super::client::Client;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_on_the_disk() {
    let traced = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    if !traced.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: strace cannot be used here");
        return;
    }
    let place = server::place();
    let file = place.path().join("trace.txt");
    let place = place.through(&[
        "strace",
        "-D",
        "-f",
        "-y",
        "-s",
        "40",
        "-o",
        file.to_str().unwrap(),
        "-e",
        "trace=fsync,fdatasync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg",
    ]);
    let (running, _) = server::start(&place).await;
    let mut client = Client::new(running.port);
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
    assert_eq!(
        client
            .post("/users/me/password", Some(&held.access), body)
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(
        client
            .post("/auth/logout", Some(&held.access), json!({}))
            .await
            .unwrap()
            .status,
        204
    );
    running.kill();
    let trace = fs::read_to_string(&file).unwrap();
    // Of each request whether something was flushed before its answer.
    let (mut asked, mut flushed) = (None, false);
    let (mut writes, mut reads) = (0, 0);
    for line in trace.lines() {
        if line.contains("\"POST /auth") || line.contains("\"POST /users") || line.contains("\"GET /users") {
            asked = Some(line.contains("\"POST"));
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
    assert_eq!((writes, reads), (25, 20), "{trace}");
}
