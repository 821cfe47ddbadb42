//! `GET /users/me` beside a bare axum "hello" under the same load.

use std::sync::Arc;

use crate::folks::{self, Person};
use crate::load::{self, Load, Pace, Same, Script};
use crate::options::Options;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report};

const CONNECTIONS: usize = 64;

/// Each request with the token of the next person.
pub struct Asking {
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
}

impl Asking {
    pub fn scripts(people: &[Person], connections: usize) -> Vec<Self> {
        let requests: Arc<Vec<_>> = Arc::new(
            people
                .iter()
                .map(|person| load::get("/users/me", Some(&person.access)))
                .collect(),
        );
        (0..connections)
            .map(|place| Self {
                next: place * requests.len() / connections,
                requests: Arc::clone(&requests),
            })
            .collect()
    }
}

impl Script for Asking {
    fn ask(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.requests[self.next % self.requests.len()]);
        self.next += 1;
    }
}

/// Rate, CPU and latencies of several rounds.
#[derive(Default)]
pub struct Figures {
    pub rate: Vec<f64>,
    pub microseconds: Vec<f64>,
    pub middle: Vec<f64>,
    pub late: Vec<f64>,
}

impl Figures {
    pub async fn add<S: Script>(
        &mut self,
        process: &Process,
        scripts: Vec<S>,
        length: std::time::Duration,
    ) -> anyhow::Result<Load> {
        let before = process.cpu()?;
        let (load, _) = load::run(process.address, scripts, Pace::Closed, length).await?;
        let load = load.all(200)?;
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        let count = load.latencies.len() as f64;
        self.rate.push(load.rate(200));
        self.microseconds.push((process.cpu()? - before) / count * 1e6);
        self.middle.push(load.milliseconds(0.5));
        self.late.push(load.milliseconds(0.99));
        Ok(load)
    }
}

fn hello_scripts() -> Vec<Same> {
    (0..CONNECTIONS).map(|_| Same(load::get("/", None))).collect()
}

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut hello = Process::hello()?;
    hello.answers("/").await?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    let people = folks::gather(house.address, options.users).await?;

    let (mut bare, mut one, mut many, mut token_only) = (
        Figures::default(),
        Figures::default(),
        Figures::default(),
        Figures::default(),
    );
    // The first round warms everything up.
    for round in 0..=options.rounds {
        if round == 1 {
            (bare, one, many, token_only) = Default::default();
        }
        bare.add(&hello, hello_scripts(), options.round).await?;
        one.add(&house, Asking::scripts(&people[..1], CONNECTIONS), options.round)
            .await?;
        many.add(&house, Asking::scripts(&people, CONNECTIONS), options.round)
            .await?;
        let live = (0..CONNECTIONS)
            .map(|_| Same(load::get("/health/live", None)))
            .collect();
        token_only.add(&house, live, options.round / 2).await?;
    }
    let section = "GET /users/me, ES256, 64 connections, SQLite";
    let goal = Some(Goal::AtLeast(0.4, 0.6));
    report.figure(section, "bare axum hello", "/s", &bare.rate, None);
    report.figure(section, "bare axum hello, CPU", "µs", &bare.microseconds, None);
    report.ratio(section, "one user", "/s", &one.rate, "hello", &bare.rate, goal);
    let what = format!("{} users", people.len());
    report.ratio(section, &what, "/s", &many.rate, "hello", &bare.rate, goal);
    let share = |figures: &Figures| -> Vec<f64> {
        bare.microseconds
            .iter()
            .zip(&figures.microseconds)
            .map(|(bare, ours)| bare / ours)
            .collect()
    };
    report.figure(section, "one user, server CPU", "µs", &one.microseconds, None);
    report.figure(
        section,
        &format!("{what}, server CPU"),
        "µs",
        &many.microseconds,
        None,
    );
    report.figure(
        section,
        &format!("{what}, hello's CPU / ours"),
        "",
        &share(&many),
        goal,
    );
    report.figure(
        section,
        "health/live (router and middleware), CPU",
        "µs",
        &token_only.microseconds,
        None,
    );
    report.ratio(
        section,
        &format!("{what}, p50"),
        "ms",
        &many.middle,
        "hello",
        &bare.middle,
        None,
    );
    report.ratio(
        section,
        &format!("{what}, p99"),
        "ms",
        &many.late,
        "hello",
        &bare.late,
        None,
    );
    report.figure(
        section,
        &format!("{what}, p99 "),
        "ms",
        &many.late,
        Some(Goal::AtMost(2.0, 2.0)),
    );
    house.stop().await?;
    hello.stop().await
}
