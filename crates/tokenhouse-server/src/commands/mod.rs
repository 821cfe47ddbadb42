//! The commands, one file each.

mod backup;
mod config;
mod dev;
mod doctor;
mod export;
mod import;
mod keys;
mod mail;
mod master_key;
mod migrate;
mod openapi;
mod progress;
mod serve;
mod user;

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use tokenhouse::mail::Undelivered;
use tokenhouse::{Builder, MasterKey, Secret, Tokenhouse};

use crate::config::{Config, Places};
use crate::failure::Failure;

/// Accounts, login and tokens for your API.
///
/// `tokenhouse dev` is all you need to try it: it runs on this machine only, keeps everything in ./tokenhouse-data
/// and prints a request to begin with. `tokenhouse serve` is for production.
#[derive(Parser)]
#[command(name = "tokenhouse", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The configuration, in TOML; without it ./tokenhouse.toml is read if it is there
    #[arg(long, global = true, env = "TOKENHOUSE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run on this machine, for development: nothing to configure
    Dev(dev::Dev),
    /// Run in production
    Serve(serve::Serve),
    /// Create, show and change accounts
    User(user::Users),
    /// List, rotate and import the keys that sign tokens
    Keys(keys::Keys),
    /// Exchange the master key
    MasterKey(master_key::MasterKeys),
    /// Try out mail, and see what could not be sent
    Mail(mail::Mails),
    /// Bring the database up to date
    Migrate(migrate::Migrate),
    /// Copy an SQLite database while the house works on it
    Backup(backup::Backup),
    /// Write the whole house into one file
    Export(export::Export),
    /// Bring in a whole house, or users of another system
    Import(import::Import),
    /// Check the configuration, or print one to start from
    Config(config::ConfigCommands),
    /// Look for what is wrong, and say what to do about it
    Doctor(doctor::Doctor),
    /// Print the description of the API (OpenAPI 3.1)
    Openapi(openapi::Openapi),
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let places = Places {
            file: self.config,
            port: matches!(self.command, Command::Serve(_)),
            developed: !matches!(self.command, Command::Serve(_) | Command::Config(_)),
        };
        match self.command {
            Command::Dev(command) => command.run(&places),
            Command::Serve(command) => command.run(&places),
            Command::User(command) => command.run(&places),
            Command::Keys(command) => command.run(&places),
            Command::MasterKey(command) => command.run(&places),
            Command::Mail(command) => command.run(&places),
            Command::Migrate(command) => command.run(&places),
            Command::Backup(command) => command.run(&places),
            Command::Export(command) => command.run(&places),
            Command::Import(command) => command.run(&places),
            Command::Config(command) => command.run(&places),
            Command::Doctor(command) => command.run(&places),
            Command::Openapi(command) => command.run(),
        }
    }
}

/// Reads the configuration and refuses what could not work. Beside the data of `tokenhouse dev`, the other commands mean
/// that unless they are told otherwise.
fn load(places: &Places) -> Result<Config, Failure> {
    let mut config = Config::load(places)?;
    config.check()?;
    let given = config.is_given("database_url");
    let url = &mut config.settings.database_url;
    let usual = sqlite_file(url.expose()).is_some_and(|file| file.exists());
    let developed = Path::new(dev::DATABASE);
    if places.developed && !given && !usual && developed.exists() {
        *url = Secret::from(format!("sqlite://{}", dev::DATABASE));
    }
    Ok(config)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the threads could not be started: {error}")))
}

async fn build(config: &Config, builder: Builder) -> Result<Tokenhouse, Failure> {
    builder
        .settings(config.settings.clone())
        .build()
        .await
        .map_err(|error| Failure::build(config, &error))
}

/// A command's work on a house that runs no jobs, and leaves an older database and the signing key alone.
fn with_house<F: Future<Output = Result<(), Failure>>>(
    config: &Config,
    work: impl FnOnce(Tokenhouse) -> F,
) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let builder = Tokenhouse::builder()
            .without_migrating()
            .without_jobs()
            .keeping_keys();
        // What is mailed from here goes into the outbox, and `tokenhouse dev` shows it.
        let builder = if is_developed(config) && config.settings.mail.host.is_none() {
            builder.mailer(|_| async { Err(Undelivered::for_now("`tokenhouse dev` shows mail")) })
        } else {
            builder
        };
        let house = build(config, builder).await?;
        let ended = work(house.clone()).await;
        house.close().await;
        ended
    })
}

/// Whether this is the data of `tokenhouse dev`.
fn is_developed(config: &Config) -> bool {
    sqlite_file(config.settings.database_url.expose()).is_some_and(|file| file == Path::new(dev::DATABASE))
}

/// The master key that is there.
fn master_key(config: &Config) -> Result<MasterKey, Failure> {
    let builder = Tokenhouse::builder().settings(config.settings.clone());
    builder
        .master_key()
        .map_err(|error| Failure::build(config, &error))
}

/// Prints to standard output; whoever reads it may stop reading (`| head`).
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{text}\n"))
}

/// The file of an embedded database.
fn sqlite_file(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite://").map(PathBuf::from)
}

/// The host of `host:port`.
fn host_of(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(host, _)| host)
}
