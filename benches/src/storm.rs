//! Whether people who are logged in feel a storm of logins.

use std::time::Duration;

use crate::folks;
use crate::load::{self, Pace, Same};
use crate::me::Asking;
use crate::options::Options;
use crate::passwords::log_in;
use crate::process::{Process, sqlite};
use crate::report::{Goal, Report};

/// 400 requests per second, evenly: a load that leaves the hashing nearly all of the machine.
const CONNECTIONS: usize = 8;
const EVERY: Duration = Duration::from_millis(20);
/// Twice as many as may wait (`passwords.queue`), each trying twice a second.
const FLOOD: usize = 512;

pub async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    let people = folks::gather(house.address, 100).await?;
    let length = options.round.max(Duration::from_millis(1500));
    // A bare server, asked at the same moments: what the machine alone makes of it.
    let mut hello = Process::hello()?;
    hello.answers("/").await?;
    let asking = async || {
        let scripts = (0..CONNECTIONS).map(|_| Same(load::get("/", None)));
        let bare = load::run(hello.address, scripts, Pace::Every(EVERY), length);
        let scripts = Asking::scripts(&people, CONNECTIONS);
        let ours = load::run(house.address, scripts, Pace::Every(EVERY), length);
        let (ours, bare) = tokio::join!(ours, bare);
        anyhow::Ok((ours?.0.all(200)?, bare?.0.all(200)?.milliseconds(0.99)))
    };

    let (mut alone, mut alone_bare) = (vec![], vec![]);
    let (mut storm, mut storm_bare, mut storm_middle) = (vec![], vec![], vec![]);
    let (mut flood, mut flood_bare) = (vec![], vec![]);
    let (mut logins, mut kept, mut flood_kept, mut shed) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.rounds {
        let (ours, bare) = asking().await?;
        alone.push(ours.milliseconds(0.99));
        alone_bare.push(bare);
        let load = log_in(&house, &people, 64, Pace::Closed, length).await?;
        logins.push(load.all(200)?.rate(200));

        let (asked, load) = tokio::join!(asking(), log_in(&house, &people, 64, Pace::Closed, length));
        let (ours, bare) = asked?;
        storm.push(ours.milliseconds(0.99));
        storm_middle.push(ours.milliseconds(0.5));
        storm_bare.push(bare);
        kept.push(load?.all(200)?.rate(200));

        // More than may wait: the rest must be refused at once, and those within still served.
        let again = Pace::Every(Duration::from_millis(500));
        let (asked, load) = tokio::join!(asking(), log_in(&house, &people, FLOOD, again, length));
        let ((ours, bare), load) = (asked?, load?);
        flood.push(ours.milliseconds(0.99));
        flood_bare.push(bare);
        flood_kept.push(load.rate(200));
        shed.push(load.rate(503));
        let other = load.statuses.keys().find(|status| !matches!(status, 200 | 503));
        anyhow::ensure!(other.is_none(), "a flooded login was answered {other:?}");
    }
    let section = "login storm, 400 /users/me a second beside it";
    let goal = Some(Goal::AtMost(3.0, 0.6));
    let share = Some(Goal::AtLeast(0.88, 0.95));
    report.ratio(section, "me p99 alone", "ms", &alone, "hello", &alone_bare, None);
    report.figure(
        section,
        "me p50, 64 logins outstanding",
        "ms",
        &storm_middle,
        None,
    );
    report.figure(section, "me p99, 64 logins outstanding", "ms", &storm, goal);
    report.ratio(section, "  beside it", "ms", &storm, "hello", &storm_bare, None);
    report.ratio(
        section,
        "logins meanwhile",
        "/s",
        &kept,
        "without me",
        &logins,
        share,
    );
    report.figure(section, "me p99, 512 clients logging in", "ms", &flood, goal);
    report.ratio(section, "  beside it", "ms", &flood, "hello", &flood_bare, None);
    report.ratio(
        section,
        "  logins meanwhile",
        "/s",
        &flood_kept,
        "without me",
        &logins,
        share,
    );
    report.figure(section, "  refused with 503 meanwhile", "/s", &shed, None);
    house.stop().await?;
    hello.stop().await
}
