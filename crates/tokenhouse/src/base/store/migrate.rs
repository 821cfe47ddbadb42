//! Bringing the tables up to what this program expects.
//!
//! Migrations are numbered texts, one per engine, each applied once in a transaction of its own and
//! remembered by name and checksum in `_migrations`. Any number of nodes may start at once: each migration
//! is looked up again under a lock before it runs.
//!
//! While nodes are replaced one by one, the old program runs on the new tables. So a migration adds, and the old program
//! does not notice: it *expands*. What takes away or changes comes a release later, when no running program needs it
//! any more, and says so by its name, `0012_contract_…`. A program serves on tables that a newer one has expanded, and
//! refuses those that one has contracted.
//!
//! The house and the application that embeds it each have a line of their own in there: `0001_house` is the
//! house's, `posts/0001_posts` belongs to the application `posts`. Neither knows the other's.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{EngineKind, Store, StoreError, Tx, query};
use crate::base::clock::Clock;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// `0001_accounts`: never changed once released. `0002_contract_accounts` where programs from before it cannot work
    /// with the tables any more.
    pub name: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The same for PostgreSQL.
    pub postgres: &'static str,
}

/// How the tables stand to what this program expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// There are none yet.
    Empty,
    /// They are what is expected.
    Current,
    /// Some migrations have not been applied.
    Older {
        /// Their names, in order.
        pending: Vec<&'static str>,
    },
    /// A newer program has added to them, and this one can work with them as they are.
    Expanded {
        /// The migrations this program does not know.
        unknown: Vec<String>,
    },
    /// A newer program has changed them so that this one cannot work with them.
    Newer {
        /// The migrations this program does not know.
        unknown: Vec<String>,
    },
}

impl Migration {
    fn text(&self, engine: EngineKind) -> &'static str {
        match engine {
            EngineKind::Sqlite => self.sqlite,
            EngineKind::Postgres => self.postgres,
        }
    }

    fn checksum(&self, engine: EngineKind) -> String {
        HEXLOWER.encode(digest(&SHA256, self.text(engine).as_bytes()).as_ref())
    }
}

/// The line of migrations that belongs to the house.
pub(super) const HOUSE: &str = "";

pub(super) async fn schema(
    store: &Store,
    owner: &str,
    migrations: &[Migration],
) -> Result<SchemaState, StoreError> {
    if !exists(store).await? {
        return Ok(SchemaState::Empty);
    }
    let applied: Vec<(String, String)> = query(APPLIED).all(&mut store.read().await?).await?;
    compare(store.engine(), owner, migrations, applied)
}

/// Whether a migration was ever begun here.
async fn exists(store: &Store) -> Result<bool, StoreError> {
    let exists = query(match store.engine() {
        EngineKind::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_migrations'"
        }
        EngineKind::Postgres => {
            "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('_migrations')"
        }
    });
    let (count,): (i64,) = exists.one(&mut store.read().await?).await?;
    Ok(count > 0)
}

/// Stands among the applied migrations while a whole house is being imported, so that nothing works on half of it:
/// this program says why, and one that does not know the name takes it for a contraction.
pub(crate) const UNFINISHED_IMPORT: &str = "0000_contract_unfinished_import";

pub(super) async fn unfinished_import(store: &Store) -> Result<Option<String>, StoreError> {
    if !exists(store).await? {
        return Ok(None);
    }
    let note: Option<(String,)> = query("SELECT checksum FROM _migrations WHERE name = $1")
        .bind(UNFINISHED_IMPORT)
        .optional(&mut store.read().await?)
        .await?;
    Ok(note.map(|(note,)| note))
}

const APPLIED: &str = "SELECT name, checksum FROM _migrations ORDER BY name";

fn compare(
    engine: EngineKind,
    owner: &str,
    migrations: &[Migration],
    applied: Vec<(String, String)>,
) -> Result<SchemaState, StoreError> {
    let mut applied: HashMap<String, String> = applied
        .into_iter()
        .filter_map(|(label, checksum)| {
            let (whose, name) = label.split_once('/').unwrap_or((HOUSE, &label));
            (whose == owner).then(|| (name.to_owned(), checksum))
        })
        .collect();
    if applied.contains_key(UNFINISHED_IMPORT) {
        return Err(StoreError::Schema(
            "an import into this database has not ended, so that only a part of the house is in it: run the same \
             `tokenhouse import` again"
                .to_owned(),
        ));
    }
    if applied.is_empty() {
        return Ok(SchemaState::Empty);
    }
    let mut pending = Vec::new();
    for migration in migrations {
        match applied.remove(migration.name) {
            None => pending.push(migration.name),
            Some(checksum) if checksum == migration.checksum(engine) => {}
            Some(_) => {
                return Err(StoreError::Schema(format!(
                    "the migration {} was changed after it had been applied to this database: restore its \
                     text, and put the change in a new migration",
                    migration.name
                )));
            }
        }
    }
    let mut unknown: Vec<String> = applied.into_keys().collect();
    unknown.sort_unstable();
    let contracted = unknown.iter().any(|name| contracts(name));
    Ok(match (unknown.is_empty(), pending.is_empty()) {
        (false, true) if !contracted => SchemaState::Expanded { unknown },
        (false, _) => SchemaState::Newer { unknown },
        (true, false) => SchemaState::Older { pending },
        (true, true) => SchemaState::Current,
    })
}

/// Whether programs from before this migration cannot go on after it.
fn contracts(name: &str) -> bool {
    name.split('_').nth(1) == Some("contract")
}

pub(super) async fn migrate(
    store: &Store,
    owner: &str,
    migrations: &[Migration],
) -> Result<Vec<&'static str>, StoreError> {
    let mut names = Vec::new();
    // One at a time: whatever another node has applied meanwhile is seen before the next.
    loop {
        let mut tx = store.write().await?;
        alone(store.engine(), &mut tx).await?;
        let applied: Vec<(String, String)> = query(APPLIED).all(&mut tx).await?;
        let next = match compare(store.engine(), owner, migrations, applied)? {
            SchemaState::Current | SchemaState::Expanded { .. } => break,
            SchemaState::Empty => migrations.first(),
            SchemaState::Older { pending } => migrations
                .iter()
                .find(|migration| pending.first() == Some(&migration.name)),
            SchemaState::Newer { unknown } => {
                return Err(StoreError::Schema(format!(
                    "the database was changed by a newer version of this program (it has {}): install that \
                     version, or restore a backup from before",
                    unknown.join(", ")
                )));
            }
        };
        let Some(next) = next else { break };
        tx.batch(next.text(store.engine())).await?;
        query("INSERT INTO _migrations (name, checksum, applied_at) VALUES ($1, $2, $3)")
            .bind(label(owner, next.name))
            .bind(next.checksum(store.engine()))
            .bind(Clock::system().now())
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        names.push(next.name);
    }
    Ok(names)
}

fn label(owner: &str, name: &str) -> String {
    if owner == HOUSE {
        name.to_owned()
    } else {
        format!("{owner}/{name}")
    }
}

/// SQLite has one writer anyway; PostgreSQL is asked for a lock that its transaction's end releases.
async fn alone(engine: EngineKind, tx: &mut Tx) -> Result<(), StoreError> {
    if engine == EngineKind::Postgres {
        tx.unhurried().await?;
        // Any number will do that nobody else takes: the first bytes of "tokenhouse".
        tx.batch("SELECT pg_advisory_xact_lock(8390044253107189107)")
            .await?;
    }
    tx.batch(
        "CREATE TABLE IF NOT EXISTS _migrations (
           name TEXT NOT NULL PRIMARY KEY,
           checksum TEXT NOT NULL,
           applied_at BIGINT NOT NULL
         )",
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program from before this name was known sees a migration of a newer one.
    #[test]
    fn no_older_program_serves_on_half_an_import() {
        assert!(contracts(UNFINISHED_IMPORT));
    }
}
