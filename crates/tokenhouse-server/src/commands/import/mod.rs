//! `tokenhouse import`: a whole house out of one file, or users out of another system's.

mod house;
mod users;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Places;
use crate::failure::Failure;

/// Bring in a whole house that `tokenhouse export` wrote.
///
/// The database must be empty. Killed in the middle, the same command goes on; until it has ended, no house starts on
/// the database.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Import {
    #[command(subcommand)]
    command: Option<ImportCommand>,
    /// The file that `tokenhouse export` wrote
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Take lines of JSON that `tokenhouse export --plain` wrote: nobody notices what was changed in such a file
    #[arg(long)]
    plain: bool,
    /// Read the file to its end, look at the database, and only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum ImportCommand {
    /// Bring users along from another system, with the password hashes it had
    Users(users::Users),
}

impl Import {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        match (self.command, self.file) {
            (Some(ImportCommand::Users(command)), _) => command.run(places),
            (None, Some(file)) => house::run(&file, self.plain, self.dry_run, places),
            (None, None) => Err(Failure::usage("which file?")),
        }
    }
}
