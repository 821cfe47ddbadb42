//! Durable refreshes beside the engine's own durable updates of one row.

use std::time::Duration;

use crate::folks::{self, Person, member};
use crate::limits;
use crate::load::{self, Load, Pace, Script};
use crate::options::Options;
use crate::postgres::Postgres;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report, median};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

/// Refreshes one session again and again.
pub struct Refreshing(Person);

impl Script for Refreshing {
    fn ask(&mut self, out: &mut Vec<u8>) {
        let body = format!("{{\"refresh_token\":\"{}\"}}", self.0.refresh);
        out.extend(load::post("/auth/refresh", &body));
    }

    fn hear(&mut self, _status: u16, body: &[u8]) {
        if let Some(token) = member(body, "refresh_token") {
            self.0.refresh = token;
        }
    }
}

/// Refreshes the sessions of the first `connections` people, who then have new tokens.
pub async fn refresh(
    process: &Process,
    people: &mut [Person],
    connections: usize,
    length: Duration,
) -> anyhow::Result<Load> {
    let scripts: Vec<_> = people[..connections].iter().cloned().map(Refreshing).collect();
    let (load, scripts) = load::run(process.address, scripts, Pace::Closed, length).await?;
    for (person, script) in people.iter_mut().zip(scripts) {
        *person = script.0;
    }
    load.all(200)
}

#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    microseconds: Vec<f64>,
    middle: Vec<f64>,
    late: Vec<f64>,
}

impl Figures {
    async fn add(
        &mut self,
        house: &Process,
        people: &mut [Person],
        connections: usize,
        length: Duration,
    ) -> anyhow::Result<()> {
        let cpu = house.cpu()?;
        let load = refresh(house, people, connections, length).await?;
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        let count = load.latencies.len() as f64;
        self.rate.push(load.rate(200));
        self.microseconds.push((house.cpu()? - cpu) / count * 1e6);
        self.middle.push(load.milliseconds(0.5));
        self.late.push(load.milliseconds(0.99));
        Ok(())
    }
}

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    let mut people = folks::gather(house.address, 256).await?;
    let mut ours: [Figures; 4] = Default::default();
    let (mut one_by_one, mut flushes) = (vec![], vec![]);
    for _ in 0..options.rounds {
        let (path, length) = (options.folder.clone(), options.round / 2);
        let (rows, pages) = tokio::task::spawn_blocking(move || {
            anyhow::Ok((
                limits::sqlite_updates(&path, length)?,
                limits::disk_flushes(&path, length)?,
            ))
        })
        .await??;
        one_by_one.push(rows);
        flushes.push(pages);
        for (connections, figures) in CONNECTIONS.into_iter().zip(&mut ours) {
            figures
                .add(&house, &mut people, connections, options.round)
                .await?;
        }
    }
    let section = "POST /auth/refresh, SQLite synchronous=FULL";
    report.figure(
        section,
        "raw pwrite + fdatasync, one by one",
        "/s",
        &flushes,
        None,
    );
    for (connections, figures) in CONNECTIONS.into_iter().zip(&ours) {
        let goal = (connections >= 64).then_some(Goal::AtLeast(10.0, 10.0));
        let what = format!("{connections} connections");
        report.ratio(
            section,
            &what,
            "/s",
            &figures.rate,
            "UPDATEs one by one",
            &one_by_one,
            goal,
        );
    }
    for (connections, figures) in CONNECTIONS.into_iter().zip(&ours) {
        report.figure(
            section,
            &format!("{connections} connections, server CPU"),
            "µs",
            &figures.microseconds,
            None,
        );
        report.ratio(
            section,
            &format!("{connections} connections, p99"),
            "ms",
            &figures.late,
            "p50",
            &figures.middle,
            None,
        );
    }
    let best = ours
        .iter()
        .map(|figures| median(&figures.rate))
        .fold(0.0, f64::max);
    report.figure(
        section,
        "best",
        "/s",
        &[best],
        Some(Goal::AtLeast(10_000.0, 16_000.0)),
    );
    house.stop().await
}

pub async fn measure_postgres(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    // A Unix socket's path is short, and the server's user must reach it.
    let folder = tempfile::tempdir_in("/tmp")?;
    let postgres = Postgres::start(folder.path())?;
    postgres.sql(
        "CREATE TABLE bench_limit (id int PRIMARY KEY, generation bigint, rotated_at bigint);
         INSERT INTO bench_limit SELECT n, 0, 0 FROM generate_series(1, 1000) n",
    )?;
    let mut house = Process::house(options, &postgres.url("postgres"), &[])?;
    house.answers("/health/ready").await?;
    let mut people = folks::gather(house.address, 256).await?;
    let section = "POST /auth/refresh, PostgreSQL, fsync on";
    let mut hello = Process::hello()?;
    hello.answers("/").await?;
    for connections in CONNECTIONS {
        let (mut ours, mut limit) = (Figures::default(), vec![]);
        for _ in 0..options.rounds {
            limit.push(postgres.updates(connections, options.round)?);
            ours.add(&house, &mut people, connections, options.round).await?;
        }
        let goal = Some(Goal::AtLeast(0.5, 0.5));
        report.ratio(
            section,
            &format!("{connections} connections"),
            "/s",
            &ours.rate,
            "pgbench UPDATE",
            &limit,
            goal,
        );
        report.figure(
            section,
            &format!("{connections} connections, server CPU"),
            "µs",
            &ours.microseconds,
            None,
        );
        report.figure(
            section,
            &format!("{connections} connections, p99"),
            "ms",
            &ours.late,
            None,
        );
    }
    let (mut me, mut bare) = (crate::me::Figures::default(), crate::me::Figures::default());
    for _ in 0..options.rounds {
        let scripts = (0..64).map(|_| load::Same(load::get("/", None))).collect();
        bare.add(&hello, scripts, options.round).await?;
        me.add(&house, crate::me::Asking::scripts(&people, 64), options.round)
            .await?;
    }
    report.ratio(
        section,
        "GET /users/me, 64 connections",
        "/s",
        &me.rate,
        "hello",
        &bare.rate,
        None,
    );
    report.figure(section, "GET /users/me, server CPU", "µs", &me.microseconds, None);
    house.stop().await?;
    hello.stop().await
}
