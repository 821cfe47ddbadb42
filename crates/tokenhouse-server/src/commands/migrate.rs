//! `tokenhouse migrate`: bring the tables up to what this version expects, when the operator wants it.

use clap::Args;
use tokenhouse::MIGRATIONS;
use tokenhouse::store::{SchemaState, Store, StoreOptions};

use super::{load, runtime, sqlite_file};
use crate::config::Places;
use crate::failure::Failure;

/// Bring the database up to date.
///
/// Prints what was applied. Each migration is one transaction: applied as a whole, or not at all. Several nodes may
/// run it at once.
#[derive(Args)]
pub(crate) struct Migrate {
    /// Only print what would be applied
    #[arg(long)]
    dry_run: bool,
    /// Like --dry-run, and exit with 1 if there is anything to apply
    #[arg(long)]
    check: bool,
}

impl Migrate {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let url = config.settings.database_url.expose();
        runtime()?.block_on(async {
            let only_look = self.dry_run || self.check;
            if only_look && sqlite_file(url).is_some_and(|file| !file.exists()) {
                return self.tell_pending(MIGRATIONS.iter().map(|migration| migration.name));
            }
            let store = Store::open(url, StoreOptions::default()).await?;
            let ended = if only_look {
                self.look(&store).await
            } else {
                apply(&store).await
            };
            store.close().await;
            ended
        })
    }

    async fn look(&self, store: &Store) -> Result<(), Failure> {
        match store.schema(MIGRATIONS).await? {
            SchemaState::Current => {
                println!("the database is up to date");
                Ok(())
            }
            SchemaState::Expanded { unknown } => {
                println!("{}", expanded(&unknown));
                Ok(())
            }
            SchemaState::Empty => self.tell_pending(MIGRATIONS.iter().map(|migration| migration.name)),
            SchemaState::Older { pending } => self.tell_pending(pending),
            SchemaState::Newer { unknown } => Err(newer(&unknown)),
        }
    }

    fn tell_pending(&self, names: impl IntoIterator<Item = &'static str>) -> Result<(), Failure> {
        for name in names {
            println!("to be applied: {name}");
        }
        if self.check {
            return Err(Failure::new(
                "the database is not up to date; run `tokenhouse migrate`",
            ));
        }
        Ok(())
    }
}

async fn apply(store: &Store) -> Result<(), Failure> {
    match store.schema(MIGRATIONS).await? {
        SchemaState::Newer { unknown } => return Err(newer(&unknown)),
        SchemaState::Expanded { unknown } => {
            println!("{}", expanded(&unknown));
            return Ok(());
        }
        SchemaState::Empty | SchemaState::Current | SchemaState::Older { .. } => {}
    }
    let applied = store.migrate(MIGRATIONS).await?;
    for name in &applied {
        println!("applied {name}");
    }
    if applied.is_empty() {
        println!("the database is up to date");
    }
    Ok(())
}

fn expanded(unknown: &[String]) -> String {
    format!(
        "a newer version has added to the database ({}); this one works with it as it is",
        unknown.join(", ")
    )
}

fn newer(unknown: &[String]) -> Failure {
    Failure::new(tokenhouse::BuildError::Newer(unknown.join(", ")).to_string())
}
