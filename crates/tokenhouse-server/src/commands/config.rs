//! `tokenhouse config`: what can be decided, and what was.

use clap::{Args, Subcommand};

use super::{load, print};
use crate::config::{Places, show};
use crate::failure::Failure;

/// Check the configuration, or print one to start from.
#[derive(Args)]
pub(crate) struct ConfigCommands {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Load and validate, and print what is in effect and where it was decided, secrets hidden
    Check,
    /// Print a TOML file with every option, its default and its documentation
    Default,
    /// Print docs/configuration.md
    #[command(hide = true)]
    Docs,
}

impl ConfigCommands {
    pub(crate) fn run(&self, places: &Places) -> Result<(), Failure> {
        print(&match self.command {
            ConfigCommand::Check => show::effective(&load(places)?),
            ConfigCommand::Default => show::default_file(),
            ConfigCommand::Docs => show::documentation(),
        })
    }
}
