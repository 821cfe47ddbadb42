//! `tokenhouse export`: the whole house as one file.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use tokenhouse::base::file::NewFile;
use tokenhouse::moving::{self, MovingError};
use tokenhouse::store::{Store, StoreOptions};

use super::progress::Steps;
use super::{load, master_key, runtime, sqlite_file};
use crate::config::Places;
use crate::failure::Failure;

/// Write the whole house into one file: accounts, password hashes, sessions, keys, everything.
///
/// The house may go on working; the file shows one moment. It is sealed under the master key, and `tokenhouse import`
/// opens it on SQLite or PostgreSQL, where the same master key is: nobody is logged out.
#[derive(Args)]
pub(crate) struct Export {
    /// The file, which must not be there yet; `-` is standard output
    file: PathBuf,
    /// Write lines of JSON that anybody can read, password hashes included, in the place of a sealed file
    #[arg(long)]
    plain: bool,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

impl Export {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let url = config.settings.database_url.expose();
        if let Some(file) = sqlite_file(url).filter(|file| !file.exists()) {
            return Err(Failure::new(format!(
                "there is no database at {}",
                file.display()
            )));
        }
        let master = if self.plain {
            None
        } else {
            Some(master_key(&config)?)
        };
        runtime()?.block_on(async {
            let store = Store::open(url, StoreOptions::default()).await?;
            let ended = self.work(&store, master.as_ref()).await;
            store.close().await;
            ended
        })
    }

    async fn work(&self, store: &Store, master: Option<&tokenhouse::MasterKey>) -> Result<(), Failure> {
        if self.dry_run {
            let mut total = 0;
            for (table, rows) in moving::measure(store).await? {
                println!("{table:<24}{rows:>12}");
                total += rows;
            }
            println!("{total} rows would be written; nothing was");
            return Ok(());
        }
        if self.file.as_os_str() == "-" {
            let out = std::io::stdout();
            if out.is_terminal() && !self.plain {
                return Err(Failure::usage(
                    "a sealed export is nothing for a terminal: name a file",
                ));
            }
            let rows = write(store, master, &mut std::io::BufWriter::new(out)).await?;
            eprintln!("{rows} rows written");
            return Ok(());
        }
        let mut file = NewFile::create(&self.file)?;
        let mut out = std::io::BufWriter::with_capacity(256 * 1024, &mut file);
        let rows = write(store, master, &mut out).await?;
        drop(out);
        file.finish()?;
        println!("{rows} rows written to {}", self.file.display());
        if self.plain {
            println!("anybody who can read it has the password hashes: keep it as you keep passwords");
        } else {
            println!("only a house with the same master key can import it: keep that too, elsewhere");
        }
        Ok(())
    }
}

async fn write(
    store: &Store,
    master: Option<&tokenhouse::MasterKey>,
    out: &mut (impl Write + Send),
) -> Result<u64, MovingError> {
    let mut steps = Steps::new("exporting", Some(0));
    moving::export(store, master, out, |progress| {
        steps.to(progress.done, Some(progress.total), progress.table);
    })
    .await
}
