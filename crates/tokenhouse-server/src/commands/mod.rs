//! The commands, one file each.

mod dev;
mod serve;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tokenhouse::{Builder, Tokenhouse};

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
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let places = Places {
            file: self.config,
            port: matches!(self.command, Command::Serve(_)),
        };
        match self.command {
            Command::Dev(command) => command.run(&places),
            Command::Serve(command) => command.run(&places),
        }
    }
}

/// Reads the configuration and refuses what could not work.
fn load(places: &Places) -> Result<Config, Failure> {
    let config = Config::load(places)?;
    config.check()?;
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

/// Whether a host name or address means this machine only.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The host of `host:port`.
fn host_of(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(host, _)| host)
}
