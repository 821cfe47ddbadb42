//! How soon it is there, and how much it takes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::{self, Connection, Pace, Same, get};
use crate::options::Options;
use crate::process::{Process, sqlite};
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
    idle_connections(options, report).await
}

/// What a connection costs that was used once and is kept open.
async fn idle_connections(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let mut house = Process::house(options, &sqlite(folder.path()), &[])?;
    house.answers("/health/ready").await?;
    let wanted = open_files().saturating_sub(200).min(options.idle_connections);
    // What the first requests make the house allocate is not the connections'.
    for _ in 0..2000 {
        Connection::open(house.address)
            .await?
            .exchange(&get("/health/live", None))
            .await?;
    }
    let (before, _) = house.memory()?;
    let mut connections = Vec::new();
    for _ in 0..wanted {
        let mut connection = Connection::open(house.address).await?;
        let (status, _) = connection.exchange(&get("/health/live", None)).await?;
        anyhow::ensure!(
            status == 200,
            "connection {} was answered {status}",
            connections.len()
        );
        connections.push(connection);
    }
    let (after, _) = house.memory()?;
    let mut late = vec![];
    for _ in 0..options.rounds {
        let load = vec![Same(get("/health/live", None))];
        let (load, _) = load::run(house.address, load, Pace::Closed, options.round / 4).await?;
        late.push(load.all(200)?.milliseconds(0.99));
    }
    let section = format!("{} idle connections", connections.len());
    #[allow(clippy::cast_precision_loss, reason = "a count")]
    let each = (after - before) * 1024.0 / connections.len() as f64;
    report.figure(
        &section,
        "memory a connection",
        "KiB",
        &[each],
        Some(Goal::AtMost(20.0, 20.0)),
    );
    report.figure(&section, "memory in all", "MiB", &[after], None);
    report.figure(
        &section,
        "health/live meanwhile, p99",
        "ms",
        &late,
        Some(Goal::AtMost(250.0, 250.0)),
    );
    drop(connections);
    house.stop().await
}

/// How many files this program may have open, after it asked for as many as it may.
fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    let open = if raised { limit.maximum } else { limit.current };
    open.map_or(usize::MAX, |open| usize::try_from(open).unwrap_or(usize::MAX))
}
