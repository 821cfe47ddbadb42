//! Logins and sign-ups beside the hashing that no login can do without.

use std::sync::Arc;
use std::time::Duration;

use crate::folks::{self, PASSWORD, Person};
use crate::limits;
use crate::load::{self, Load, Pace, Script};
use crate::options::Options;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report};

/// Logs in as one after the other.
pub struct LoggingIn {
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
}

impl LoggingIn {
    pub fn scripts(people: &[Person], connections: usize) -> Vec<Self> {
        let request = |person: &Person| {
            let body = serde_json::json!({ "email": person.email, "password": PASSWORD });
            load::post("/auth/login", &body.to_string())
        };
        let requests: Arc<Vec<_>> = Arc::new(people.iter().map(request).collect());
        (0..connections)
            .map(|place| Self {
                next: place * requests.len() / connections,
                requests: Arc::clone(&requests),
            })
            .collect()
    }
}

impl Script for LoggingIn {
    fn ask(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.requests[self.next % self.requests.len()]);
        self.next += 1;
    }
}

pub async fn log_in(
    process: &Process,
    people: &[Person],
    connections: usize,
    pace: Pace,
    length: Duration,
) -> anyhow::Result<Load> {
    let scripts = LoggingIn::scripts(people, connections);
    Ok(load::run(process.address, scripts, pace, length).await?.0)
}

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    // A batch of hashes must end within the round, so rounds are longer here.
    let length = options.round.max(Duration::from_secs(2));
    let mut people = Vec::new();
    let (mut logins, mut signups, mut hashes) = (vec![], vec![], vec![]);
    let (mut login_cpu, mut hash_cpu) = (vec![], vec![]);
    for _ in 0..options.rounds {
        let (before, cpu_before) = tokio::task::spawn_blocking(move || limits::hashing(length / 2)).await??;
        let (load, more) = folks::sign_up(house.address, people.len(), length).await?;
        signups.push(load.rate(201));
        people.extend(more);
        let cpu = house.cpu()?;
        let load = log_in(&house, &people, 64, Pace::Closed, length)
            .await?
            .all(200)?;
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        login_cpu.push((house.cpu()? - cpu) / load.latencies.len() as f64 * 1000.0);
        logins.push(load.rate(200));
        // Before and after, as the machine may be busier at one end of a round.
        let (after, cpu_after) = tokio::task::spawn_blocking(move || limits::hashing(length / 2)).await??;
        hashes.push(f64::midpoint(before, after));
        hash_cpu.push(f64::midpoint(cpu_before, cpu_after));
    }
    let section = "passwords, Argon2id 19 MiB t=2 p=1";
    let goal = |must, aim| Some(Goal::AtLeast(must, aim));
    report.ratio(
        section,
        "logins, 64 connections",
        "/s",
        &logins,
        "hashing alone",
        &hashes,
        goal(0.93, 0.97),
    );
    report.ratio(
        section,
        "sign-ups, 16 connections",
        "/s",
        &signups,
        "hashing alone",
        &hashes,
        goal(0.90, 0.95),
    );
    report.ratio(
        section,
        "login, server CPU",
        "ms",
        &login_cpu,
        "one hash",
        &hash_cpu,
        None,
    );
    house.stop().await
}
