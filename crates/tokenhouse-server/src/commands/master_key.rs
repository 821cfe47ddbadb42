//! `tokenhouse master-key`: which master keys open the house, so that one can take the place of another.

use std::io::{self, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use tokenhouse::{MasterKey, Secret};

use super::user::agreed;
use super::{load, print_json, with_house};
use crate::config::Places;
use crate::failure::Failure;

/// Exchange the master key while everybody stays logged in.
///
/// Add the new one, give it to every node (`TOKENHOUSE_MASTER_KEY`, or the file) and restart them one by one, then remove
/// the others. Until then either opens the house.
#[derive(Args)]
pub(crate) struct MasterKeys {
    #[command(subcommand)]
    command: MasterKeyCommand,
}

#[derive(Subcommand)]
enum MasterKeyCommand {
    /// List the master keys that open the house by what tells them apart
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Let another master key open the house too
    ///
    /// It is asked for, or read from standard input when that is not a terminal: `openssl rand -hex 32` makes one.
    Add,
    /// Let only the master key of these settings open the house
    RemoveOthers {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl MasterKeys {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let new = match &self.command {
            MasterKeyCommand::Add => Some(read()?),
            _ => None,
        };
        with_house(&config, |house| async move {
            match self.command {
                MasterKeyCommand::List { json } => {
                    let keys = house.master_keys().await?;
                    if json {
                        return print_json(&keys);
                    }
                    for key in keys {
                        let whose = if key.in_use { "  of these settings" } else { "" };
                        println!("{}  since {}{whose}", key.name, key.created_at);
                    }
                }
                MasterKeyCommand::Add => {
                    if let Some(new) = new {
                        println!("{} opens the house too", house.add_master_key(&new).await?);
                    }
                }
                MasterKeyCommand::RemoveOthers { yes } => {
                    let question = "Does every node have the master key of these settings by now?";
                    if !yes && !agreed(question)? {
                        return Err(Failure::new("nothing was changed"));
                    }
                    match house.remove_other_master_keys().await? {
                        0 => println!("no other master key opened the house"),
                        1 => println!("the other master key opens the house no more"),
                        count => println!("{count} other master keys open the house no more"),
                    }
                }
            }
            Ok(())
        })
    }
}

fn read() -> Result<MasterKey, Failure> {
    let text = if io::stdin().is_terminal() {
        Secret::from(rpassword::prompt_password("New master key: ")?)
    } else {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        Secret::from(text)
    };
    MasterKey::parse(&text).map_err(|error| Failure::new(error.to_string()))
}
