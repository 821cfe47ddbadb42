//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// In the order they run.
pub const SECTIONS: &[&str] = &[
    "tokens",
    "me",
    "passwords",
    "refresh",
    "storm",
    "timing",
    "footprint",
    "growth",
    "postgres",
    "growth-postgres",
    "timing-postgres",
];

const HELP: &str = "\
benches/run [OPTION…]
  --quick           two to three minutes for everything; shorter rounds, fewer users
  --only A,B        tokens, me, passwords, refresh, storm, timing, footprint, growth, postgres, growth-postgres,
                    timing-postgres (the last three run only when they are named, and need a PostgreSQL to start)
  --crowd N,N       how many accounts a large house has (default 1000000; quick 100000). Ten million take
                    about 5 GB in SQLite and 8 in PostgreSQL
  --json FILE       the figures as JSON too
  --folder DIR      where databases are made; its disk is the one measured (default: target/)
  --server PROGRAM  the `tokenhouse` to measure (default: the one beside this program)
  --embedded        measure the library inside an axum application in the place of the server program
  --rounds N        measure everything N times and take medians (default 5, quick 3)";

pub struct Options {
    only: Option<Vec<String>>,
    pub json: Option<PathBuf>,
    pub folder: PathBuf,
    pub server: PathBuf,
    /// How often everything is measured; what is told is the median.
    pub rounds: usize,
    /// How long one measurement under load lasts.
    pub round: Duration,
    /// Accounts that log in and ask.
    pub users: usize,
    /// Accounts that only lie in the database, where growth is measured.
    pub crowds: Vec<usize>,
    pub idle_connections: usize,
    pub quick: bool,
    pub embedded: bool,
}

impl Options {
    pub fn read() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let beside = program.parent().context("this program lies in no folder")?;
        let mut options = Self {
            only: None,
            json: None,
            folder: beside.to_owned(),
            server: beside.join("tokenhouse"),
            rounds: 5,
            round: Duration::from_secs(4),
            users: 1000,
            crowds: vec![1_000_000],
            idle_connections: 10_000,
            quick: false,
            embedded: false,
        };
        let mut rounds = None;
        let mut crowds = None;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--quick" => {
                    options.quick = true;
                    options.rounds = 3;
                    options.round = Duration::from_millis(1200);
                    options.users = 300;
                    options.crowds = vec![100_000];
                }
                "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--embedded" => options.embedded = true,
                "--crowd" => {
                    let counts: Result<_, _> = value()?.split(',').map(str::parse).collect();
                    crowds = Some(counts?);
                }
                "--json" => options.json = Some(value()?.into()),
                "--folder" => options.folder = value()?.into(),
                "--server" => options.server = value()?.into(),
                "--rounds" => rounds = Some(value()?.parse()?),
                "--help" | "-h" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                other => bail!("there is no option {other}\n{HELP}"),
            }
        }
        for name in options.only.iter().flatten() {
            ensure!(SECTIONS.contains(&name.as_str()), "there is no section {name}");
        }
        options.crowds = crowds.unwrap_or(options.crowds);
        options.rounds = rounds.unwrap_or(options.rounds).max(1);
        Ok(options)
    }

    pub fn wants(&self, section: &str) -> bool {
        match &self.only {
            Some(only) => only.iter().any(|name| name == section),
            None => !section.contains("postgres"),
        }
    }
}
