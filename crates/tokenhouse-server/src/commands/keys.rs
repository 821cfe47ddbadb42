//! `tokenhouse keys`: the keys that sign tokens. A running server follows within seconds.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokenhouse::Secret;

use super::{load, print_json, with_house};
use crate::config::Places;
use crate::failure::Failure;

/// List, rotate and import the keys that sign tokens.
///
/// A key is `next` (published, not yet signing), `active` (the one that signs) or `retired` (still verifying until
/// the last token it signed has expired).
#[derive(Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// List the keys, oldest first
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Retire the key that signs and let the next one sign; nobody is logged out
    Rotate,
    /// Bring in a private key made elsewhere and let it sign
    ///
    /// PEM: P-256, Ed25519 or RSA of at least 2048 bits, as `openssl genpkey` writes it. It must sign what
    /// `tokens.algorithm` says.
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
    },
}

impl Keys {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let pem = match &self.command {
            KeysCommand::Import { file } => Some(read(file)?),
            _ => None,
        };
        with_house(&config, |house| async move {
            if let Some(pem) = pem {
                println!("{} signs now", house.import_key(pem.expose()).await?);
                return Ok(());
            }
            if matches!(self.command, KeysCommand::Rotate) {
                house.rotate_keys().await?;
            }
            let keys = house.keys();
            if matches!(self.command, KeysCommand::List { json: true }) {
                return print_json(&keys);
            }
            for key in keys {
                let since = match (key.expires_at, key.activated_at) {
                    (Some(until), _) => format!("until {until}"),
                    (None, Some(since)) => format!("since {since}"),
                    (None, None) => String::new(),
                };
                println!("{:<24}{:<7}{:<9}{since}", key.kid, key.algorithm, key.state);
            }
            Ok(())
        })
    }
}

fn read(file: &PathBuf) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map(|_| Secret::from(text))
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))
}
