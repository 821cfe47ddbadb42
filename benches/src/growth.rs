//! What becomes of it as a house grows: two houses with the same people, one of them among a crowd, measured in turns.

use std::time::Instant;

use crate::folks;
use crate::load::Pace;
use crate::me::{Asking, Figures};
use crate::options::Options;
use crate::passwords::log_in;
use crate::postgres::Postgres;
use crate::process::{Process, sqlite};
use crate::refresh::refresh;
use crate::report::{Goal, Report};

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for &count in &options.crowds {
        let folder = tempfile::tempdir_in(&options.folder)?;
        let database = sqlite(folder.path());
        let few = settle(options, &database).await?;
        let crowded = tempfile::tempdir_in(&options.folder)?;
        let copy = format!("VACUUM INTO '{}'", crowded.path().join("bench.db").display());
        rusqlite::Connection::open(folder.path().join("bench.db"))?.execute_batch(&copy)?;
        let path = crowded.path().to_owned();
        let began = Instant::now();
        tokio::task::spawn_blocking(move || folks::crowd(&path, count)).await??;
        eprintln!("  {count} accounts laid in {} s", began.elapsed().as_secs());
        compare(
            options,
            report,
            "SQLite",
            &database,
            &sqlite(crowded.path()),
            few,
            count,
        )
        .await?;
    }
    Ok(())
}

pub async fn measure_postgres(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in("/tmp")?;
    let postgres = Postgres::start(folder.path())?;
    for &count in &options.crowds {
        let (small, large) = (format!("small_{count}"), format!("large_{count}"));
        postgres.sql(&format!("CREATE DATABASE {small}"))?;
        let few = settle(options, &postgres.url(&small)).await?;
        postgres.sql(&format!("CREATE DATABASE {large} TEMPLATE {small}"))?;
        let began = Instant::now();
        postgres.crowd(&large, count)?;
        eprintln!("  {count} accounts laid in {} s", began.elapsed().as_secs());
        let (small_url, large_url) = (postgres.url(&small), postgres.url(&large));
        compare(options, report, "PostgreSQL", &small_url, &large_url, few, count).await?;
        for name in [small, large] {
            postgres.sql(&format!("DROP DATABASE {name} WITH (FORCE)"))?;
        }
    }
    Ok(())
}

/// The people both houses have.
async fn settle(options: &Options, database: &str) -> anyhow::Result<Vec<folks::Person>> {
    let mut house = Process::house(options, database, &[])?;
    house.answers("/health/ready").await?;
    let few = folks::gather(house.address, options.users).await?;
    house.stop().await?;
    Ok(few)
}

async fn compare(
    options: &Options,
    report: &mut Report,
    engine: &str,
    small: &str,
    large: &str,
    few: Vec<folks::Person>,
    crowd: usize,
) -> anyhow::Result<()> {
    // The same public URL, or the tokens of one would be no good at the other.
    let same = [("TOKENHOUSE_PUBLIC_URL", "http://localhost:1")];
    let mut small = Process::house(options, small, &same)?;
    small.answers("/health/ready").await?;
    let mut large = Process::house(options, large, &same)?;
    large.answers("/health/ready").await?;
    let mut few_small = renew(&small, few.clone()).await?;
    let mut few_large = renew(&large, few).await?;

    let (mut at_small, mut at_large) = (Figures::default(), Figures::default());
    let (mut refresh_small, mut refresh_large) = (vec![], vec![]);
    let (mut login_small, mut login_large) = (vec![], vec![]);
    for _ in 0..options.rounds {
        at_small
            .add(&small, Asking::scripts(&few_small, 64), options.round)
            .await?;
        at_large
            .add(&large, Asking::scripts(&few_large, 64), options.round)
            .await?;
        let connections = few_small.len().min(few_large.len()).min(64);
        refresh_small.push(
            refresh(&small, &mut few_small, connections, options.round)
                .await?
                .rate(200),
        );
        refresh_large.push(
            refresh(&large, &mut few_large, connections, options.round)
                .await?
                .rate(200),
        );
    }
    let (all, own) = large.memory()?;
    for _ in 0..options.rounds {
        for (house, people, rates) in [
            (&small, &few_small, &mut login_small),
            (&large, &few_large, &mut login_large),
        ] {
            let load = log_in(house, people, 64, Pace::Closed, options.round).await?;
            rates.push(load.all(200)?.rate(200));
        }
    }
    let section = format!("{engine}: from {} to {crowd} users", few_small.len());
    let cpu: Vec<f64> = at_small
        .microseconds
        .iter()
        .zip(&at_large.microseconds)
        .map(|(small, large)| small / large)
        .collect();
    let goal = Some(Goal::AtLeast(0.9, 0.95));
    report.ratio(
        &section,
        "me in the large house",
        "/s",
        &at_large.rate,
        "small",
        &at_small.rate,
        goal,
    );
    report.figure(&section, "me, CPU small / large", "", &cpu, goal);
    report.ratio(
        &section,
        "refresh in the large house",
        "/s",
        &refresh_large,
        "small",
        &refresh_small,
        goal,
    );
    report.ratio(
        &section,
        "logins in the large house",
        "/s",
        &login_large,
        "small",
        &login_small,
        goal,
    );
    report.figure(&section, "memory after me and refresh", "MiB", &[all], None);
    report.figure(
        &section,
        "… not mapped from files",
        "MiB",
        &[own],
        Some(Goal::AtMost(60.0, 60.0)),
    );
    let (all, own) = large.memory()?;
    report.figure(&section, "memory after logins too", "MiB", &[all], None);
    // Each hashing thread keeps its 19 MiB.
    report.figure(
        &section,
        "… not mapped from files",
        "MiB",
        &[own],
        Some(Goal::AtMost(98.0, 98.0)),
    );
    small.stop().await?;
    large.stop().await
}

/// New tokens for everybody, under the issuer that the house has now.
async fn renew(house: &Process, people: Vec<folks::Person>) -> anyhow::Result<Vec<folks::Person>> {
    let mut people = people;
    let mut connection = crate::load::Connection::open(house.address).await?;
    for person in &mut people {
        let body = format!("{{\"refresh_token\":\"{}\"}}", person.refresh);
        let request = crate::load::post("/auth/refresh", &body);
        let (status, body) = connection.exchange(&request).await?;
        anyhow::ensure!(status == 200, "a refresh was answered {status}");
        if let (Some(access), Some(refresh)) = (
            folks::member(body, "access_token"),
            folks::member(body, "refresh_token"),
        ) {
            (person.access, person.refresh) = (access, refresh);
        }
    }
    Ok(people)
}
