//! `tokenhouse backup`: a copy of the database file, while the house works on it.

use std::path::{Path, PathBuf};

use clap::Args;
use tokenhouse::Clock;
use tokenhouse::store::{EngineKind, Store, StoreOptions};

use super::progress::Steps;
use super::{load, runtime, sqlite_file};
use crate::config::{Config, Places};
use crate::failure::Failure;

/// Copy an SQLite database while the house goes on working on it.
///
/// The copy shows one moment, is checked, and appears whole or not at all. To go back to it, stop the house and put it
/// in the place of the database; `docs/moving.md` shows how.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file, which must not be there yet, or a folder in which one is made named by the time
    to: PathBuf,
}

impl Backup {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let url = config.settings.database_url.expose();
        if let Some(file) = sqlite_file(url).filter(|file| !file.exists()) {
            return Err(Failure::new(format!(
                "there is no database at {}",
                file.display()
            )));
        }
        let to = if self.to.is_dir() {
            // No colons, which not every file system takes.
            let now = Clock::system().now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
            self.to.join(format!("tokenhouse-{now}.db"))
        } else {
            self.to
        };
        runtime()?.block_on(async {
            let store = Store::open(url, StoreOptions::default()).await?;
            let mut steps = Steps::new("copying", Some(0));
            let copied = store
                .backup(&to, |done, total| steps.to(done, Some(total), "pages"))
                .await;
            drop(steps);
            let is_file = store.engine() == EngineKind::Sqlite;
            store.close().await;
            let bytes = copied?;
            println!("{} holds the database as it was ({bytes} bytes)", to.display());
            if is_file {
                tell_key(&config, url);
            }
            Ok(())
        })
    }
}

/// Without the master key the copy is worth little, and the two do not belong in one place.
fn tell_key(config: &Config, url: &str) {
    let file = sqlite_file(url).map(|file| {
        let mut name = file.into_os_string();
        name.push(".master-key");
        PathBuf::from(name)
    });
    match file.filter(|file| config.settings.master_key.is_none() && Path::exists(file)) {
        Some(file) => println!(
            "keep {} too, in another place: without it everybody has to log in again",
            file.display()
        ),
        None => {
            println!("keep the master key too, in another place: without it everybody has to log in again")
        }
    }
}
