//! Whether people who are logged in feel a storm of logins.

use std::time::Duration;

use crate::folks;
use crate::load::{self, Pace};
use crate::me::Asking;
use crate::options::Options;
use crate::passwords::log_in;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report};

/// 400 requests per second, evenly: a load that leaves the hashing nearly all of the machine.
const CONNECTIONS: usize = 8;
const EVERY: Duration = Duration::from_millis(20);

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    let people = folks::gather(house.address, 100).await?;
    let length = options.round.max(Duration::from_millis(1500));
    let asking = || {
        load::run(
            house.address,
            Asking::scripts(&people, CONNECTIONS),
            Pace::Every(EVERY),
            length,
        )
    };

    let (mut alone, mut stormy, mut middle, mut flooded) = (vec![], vec![], vec![], vec![]);
    let (mut logins, mut kept, mut shed, mut flood_rate) = (vec![], vec![], vec![], vec![]);
    let mut flood_refusal = vec![];
    for _ in 0..options.rounds {
        alone.push(asking().await?.0.all(200)?.milliseconds(0.99));
        logins.push(log_in(&house, &people, 64, length).await?.all(200)?.rate(200));
        let (load, storm) = tokio::join!(asking(), log_in(&house, &people, 64, length));
        let (load, storm) = (load?.0.all(200)?, storm?.all(200)?);
        stormy.push(load.milliseconds(0.99));
        middle.push(load.milliseconds(0.5));
        kept.push(storm.rate(200));
        // More than may wait: the rest must be refused at once, and those within still served.
        let (load, flood) = tokio::join!(asking(), log_in(&house, &people, 320, length));
        let (load, flood) = (load?.0.all(200)?, flood?);
        flooded.push(load.milliseconds(0.99));
        flood_rate.push(flood.rate(200));
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        shed.push(flood.count(503) as f64);
        flood_refusal.push(flood.rate(503));
        let others = flood.statuses.keys().find(|status| !matches!(status, 200 | 503));
        anyhow::ensure!(others.is_none(), "a flooded login was answered {others:?}");
    }
    let section = "login storm, 400 /users/me a second beside it";
    let goal = Some(Goal::AtMost(3.0, 0.6));
    report.figure(section, "me p99 alone", "ms", &alone, None);
    report.figure(section, "me p50, 64 logins outstanding", "ms", &middle, None);
    report.figure(section, "me p99, 64 logins outstanding", "ms", &stormy, goal);
    let share = Some(Goal::AtLeast(0.88, 0.95));
    report.ratio(
        section,
        "logins meanwhile",
        "/s",
        &kept,
        "without me",
        &logins,
        share,
    );
    report.figure(section, "me p99, 320 logins outstanding", "ms", &flooded, goal);
    report.ratio(
        section,
        "logins meanwhile (queue of 256)",
        "/s",
        &flood_rate,
        "without me",
        &logins,
        None,
    );
    report.figure(section, "503 answers meanwhile", "", &shed, None);
    report.figure(section, "503 answers per second", "/s", &flood_refusal, None);
    house.stop().await
}
