//! How soon it is there, how much it takes, and what becomes of both as a house grows.

use crate::folks;
use crate::me::{Asking, Figures};
use crate::options::Options;
use crate::passwords::log_in;
use crate::process::{Process, sqlite};
use crate::refresh::refresh;
use crate::report::{Goal, Report};

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let section = "start and memory";
    let starts = options.rounds.max(3) * 3;
    let (mut bare, mut first, mut live, mut ready) = (vec![], vec![], vec![], vec![]);
    let mut bare_idle = vec![];
    let mut idle = vec![];
    let mut own = vec![];
    for _ in 0..starts {
        let mut hello = Process::hello()?;
        bare.push(hello.answers("/").await?.as_secs_f64() * 1000.0);
        bare_idle.push(hello.memory()?.0);
        hello.stop().await?;

        let folder = tempfile::tempdir_in(&options.folder)?;
        let database = sqlite(folder.path());
        let mut house = Process::house(options, &database, &[])?;
        first.push(house.answers("/health/ready").await?.as_secs_f64() * 1000.0);
        house.stop().await?;
        let mut house = Process::house(options, &database, &[])?;
        live.push(house.answers("/health/live").await?.as_secs_f64() * 1000.0);
        house.stop().await?;
        let mut house = Process::house(options, &database, &[])?;
        ready.push(house.answers("/health/ready").await?.as_secs_f64() * 1000.0);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let (all, anonymous) = house.memory()?;
        idle.push(all);
        own.push(anonymous);
        house.stop().await?;
    }
    let cold = Some(Goal::AtMost(60.0, 25.0));
    report.ratio(
        section,
        "start to /health/live, existing database",
        "ms",
        &live,
        "hello",
        &bare,
        None,
    );
    report.figure(
        section,
        "start to /health/ready, existing database",
        "ms",
        &ready,
        cold,
    );
    report.figure(
        section,
        "start to ready, empty folder",
        "ms",
        &first,
        Some(Goal::AtMost(400.0, 120.0)),
    );
    report.ratio(section, "memory idle", "MiB", &idle, "hello", &bare_idle, None);
    report.figure(
        section,
        "memory idle",
        "MiB",
        &idle,
        Some(Goal::AtMost(25.0, 16.0)),
    );
    report.figure(section, "memory idle, not mapped from files", "MiB", &own, None);
    if !options.embedded {
        #[allow(clippy::cast_precision_loss, reason = "a size")]
        let size = std::fs::metadata(&options.server)?.len() as f64 / 1_048_576.0;
        report.figure(
            section,
            "program (stripped)",
            "MiB",
            &[size],
            Some(Goal::AtMost(30.0, 15.0)),
        );
    }
    growth(options, report).await
}

async fn growth(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let database = sqlite(folder.path());
    // Two houses with the same people, one of them among a crowd, measured in turns.
    let mut house = Process::house(options, &database, &[])?;
    house.answers("/health/ready").await?;
    let few = folks::gather(house.address, options.users).await?;
    house.stop().await?;

    let crowded = tempfile::tempdir_in(&options.folder)?;
    let copy = format!("VACUUM INTO '{}'", crowded.path().join("bench.db").display());
    rusqlite::Connection::open(folder.path().join("bench.db"))?.execute_batch(&copy)?;
    let (path, count) = (crowded.path().to_owned(), options.crowd);
    tokio::task::spawn_blocking(move || folks::crowd(&path, count)).await??;

    // The same public URL, or the tokens of one would be no good at the other.
    let same = [("TOKENHOUSE_PUBLIC_URL", "http://localhost:1")];
    let mut small = Process::house(options, &database, &same)?;
    small.answers("/health/ready").await?;
    let mut large = Process::house(options, &sqlite(crowded.path()), &same)?;
    large.answers("/health/ready").await?;
    let mut few_small = renew(&small, few.clone()).await?;
    let mut few_large = renew(&large, few).await?;

    let (mut at_small, mut at_large) = (Figures::default(), Figures::default());
    let (mut refresh_small, mut refresh_large) = (vec![], vec![]);
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
    let section = format!("growth from {} to {} users", few_small.len(), options.crowd);
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
    let (all, own) = large.memory()?;
    report.figure(&section, "memory after me and refresh", "MiB", &[all], None);
    report.figure(
        &section,
        "… not mapped from files",
        "MiB",
        &[own],
        Some(Goal::AtMost(60.0, 60.0)),
    );
    log_in(&large, &few_large, 64, crate::load::Pace::Closed, options.round).await?;
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
