//! The program under test: started, asked whether it is ready, measured, killed, and what it logged.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use super::client::Client;
use crate::{PATIENCE, Place, Running};

/// How every password and token ends that the clients of this test ever held; so much of one gives it away.
static SECRETS: LazyLock<Mutex<HashSet<[u8; END]>>> = LazyLock::new(Mutex::default);
const END: usize = 16;

pub(super) const MASTER_KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Remembers what must never be logged.
pub(super) fn secret(text: String) -> String {
    let end = text.as_bytes().last_chunk().unwrap();
    SECRETS.lock().unwrap().insert(*end);
    text
}

/// A place whose limits of tries do not stand in the way of many clients on one address.
pub(super) fn place() -> Place {
    Place::for_serve()
        .with("TOKENHOUSE_RATE_LIMIT__ENABLED", "false")
        .with("TOKENHOUSE_RATE_LIMIT__ACCOUNT_BURST", "100000")
        .with("TOKENHOUSE_MASTER_KEY", secret(MASTER_KEY.to_owned()))
        .with(
            "TOKENHOUSE_LOG__LEVEL",
            "warn,tokenhouse=info,tokenhouse::request=debug",
        )
}

/// Starts the program and waits until it is ready; gives how long that took.
pub(super) async fn start(place: &Place) -> (Running, Duration) {
    let began = Instant::now();
    let running = place.start_serve();
    ready(running.port, PATIENCE).await;
    (running, began.elapsed())
}

/// Waits until it says that it is ready; gives how long that took.
pub(super) async fn ready(port: u16, patience: Duration) -> Duration {
    let began = Instant::now();
    let mut client = Client::new(port);
    loop {
        match client.get("/health/ready", None).await {
            Ok(answer) if answer.status == 200 => return began.elapsed(),
            Ok(answer) => assert!(answer.is_away(), "{answer:?}"),
            Err(_) => {}
        }
        assert!(began.elapsed() < patience, "not ready after {patience:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Running {
    /// Bytes of memory that are its own now.
    pub(super) fn memory(&self) -> u64 {
        self.status("VmRSS") * 1024
    }

    pub(super) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// A figure of `/proc/PID/status`.
    pub(super) fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    /// `kill -9`, and then its log, in which there is no secret.
    pub(super) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        let log = self.ended().1;
        assert!(!log.contains("panicked"), "{log}");
        assert_no_secrets(&log);
        log
    }
}

pub(super) fn assert_no_secrets(log: &str) {
    let secrets = SECRETS.lock().unwrap();
    for line in log.lines() {
        let mut ends = line.as_bytes().windows(END);
        assert!(
            !ends.any(|end| secrets.contains(end)),
            "a secret was logged: {line}"
        );
    }
}
