//! The memory of the house: one interface over an embedded SQLite file and a PostgreSQL server.
//!
//! ```no_run
//! # async fn example(url: &str, id: uuid::Uuid) -> Result<(), tokenhouse::base::store::StoreError> {
//! use tokenhouse::base::store::{Store, StoreOptions, query};
//!
//! let store = Store::open(url, StoreOptions::default()).await?;
//!
//! // A read takes a connection for the length of one statement.
//! let name: Option<(String,)> =
//!     query("SELECT name FROM users WHERE id = $1").bind(id).optional(&mut store.read().await?).await?;
//!
//! // A change of several statements is one short transaction. Dropped without commit, it never was.
//! let mut tx = store.write().await?;
//! query("UPDATE users SET name = $2 WHERE id = $1").bind(id).bind("Ada").execute(&mut tx).await?;
//! query("INSERT INTO events (user_id, kind) VALUES ($1, $2)").bind(id).bind("renamed").execute(&mut tx).await?;
//! tx.commit().await?;
//!
//! // A change of one statement is its own transaction, and cheaper.
//! let won = query("UPDATE tickets SET spent = TRUE WHERE id = $1 AND NOT spent")
//!     .bind(id)
//!     .execute(&mut store.single())
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! What holds on both engines:
//!
//! - **Acknowledged is durable.** `commit` and a `single` statement return `Ok` only when the change is on the
//!   disk. [`StoreError::Unavailable`] means it is unknown whether it is.
//! - **Guarded statements decide races**: `UPDATE … WHERE id = $1 AND generation = $2` and its row count.
//!   PostgreSQL runs at `READ COMMITTED`, SQLite one writer at a time.
//! - **A transaction is short.** In SQLite it holds the writer's turn, and everyone queues behind it: no
//!   hashing, no HTTP, no second [`Store::write`] inside. Reads inside it go through it.
//! - **One text.** Statements are written in what both engines share; `$1` is the first value bound.
//! - **A failed statement spoils its transaction**, which can then only be dropped.
//! - **Who tells what it read in a transaction commits first**, even if it changed nothing: in SQLite the
//!   neighbours' changes it saw are durable only with the shared commit.

mod error;
mod migrate;
mod notice;
mod postgres;
mod query;
mod row;
mod sqlite;
mod tables;
mod value;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use error::{Source, StoreError};
pub(crate) use migrate::UNFINISHED_IMPORT;
pub use migrate::{Migration, SchemaState};
pub use notice::{Notice, Notices, Notifier};
pub use query::{Query, query};
pub use row::{Cell, Column, FromRow, Row};
pub(crate) use tables::{ColumnKind, ManyRows, Table, tables};
pub use value::Value;

use postgres::{Postgres, Transaction};
use sqlite::{Sqlite, Still, Turn};

/// An open database. Clones share it.
#[derive(Clone)]
pub struct Store(Engine);

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

/// Which engine a store runs on: for messages and metrics, never for deciding anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// A file beside the program.
    Sqlite,
    /// A server.
    Postgres,
}

impl EngineKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// How a store uses its database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// PostgreSQL: connections at most.
    pub max_connections: usize,
    /// How long to wait for a connection, or for the writer's turn. With `statement_timeout` it bounds how
    /// long a caller waits for a database that hangs.
    pub acquire_timeout: Duration,
    /// PostgreSQL: how long one statement may take, and how long a transaction may idle.
    pub statement_timeout: Duration,
    /// SQLite: reading connections kept open.
    pub sqlite_readers: usize,
    /// SQLite: bytes of the file each connection maps into memory; none by default. Mapping spares copying pages
    /// where hardly anything is written. But SQLite lets go of the whole mapping and makes it anew on every
    /// connection after every commit, mapped pages count as the process's memory once per connection, and an
    /// unreadable block of the disk then ends the process in the place of failing a statement.
    pub sqlite_mmap: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(4, usize::from);
        Self {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_millis(2500),
            sqlite_readers: threads + 4,
            sqlite_mmap: 0,
        }
    }
}

/// What the connections are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Connections somebody holds.
    pub in_use: usize,
    /// Open connections nobody holds.
    pub idle: usize,
    /// Callers that wait for one; in SQLite, for the writer's turn.
    pub waiting: usize,
}

impl Store {
    /// Opens `sqlite:///absolute/path.db`, `sqlite://relative.db` or `postgres://…`.
    ///
    /// An SQLite file is made when there is none, in a directory that exists. PostgreSQL is first connected to
    /// when it is needed; [`ping`](Store::ping) asks whether it is there.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`] and [`StoreError::File`], with a sentence for whoever wrote the address.
    #[allow(
        clippy::unused_async,
        reason = "an engine that connects when opened would need it"
    )]
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() {
                return Err(StoreError::BadUrl(
                    "the address of the database names no file: sqlite:///folder/file.db".to_owned(),
                ));
            }
            return Ok(Self(Engine::Sqlite(Arc::new(Sqlite::open(
                Path::new(path),
                options,
            )?))));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self(Engine::Postgres(Arc::new(Postgres::open(url, &options)?))));
        }
        Err(StoreError::BadUrl(
            "the address of the database begins neither with sqlite:// nor with postgres://".to_owned(),
        ))
    }

    /// Which engine this is.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        match &self.0 {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// Applies the migrations that are missing and returns their names.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when the database belongs to a newer program or an applied migration was
    /// changed; what has been applied before stays.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<Vec<&'static str>, StoreError> {
        migrate::migrate(self, migrate::HOUSE, migrations).await
    }

    /// How the tables stand to `migrations`.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when an applied migration was changed.
    pub async fn schema(&self, migrations: &[Migration]) -> Result<SchemaState, StoreError> {
        migrate::schema(self, migrate::HOUSE, migrations).await
    }

    /// The same as [`migrate`](Self::migrate) for the tables that an application keeps beside the house's. `owner` is the
    /// application's name, which tells its migrations from everybody else's: never changed once released.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate); [`StoreError::Schema`] too where `owner` is empty or holds a `/`.
    pub async fn migrate_for(
        &self,
        owner: &str,
        migrations: &[Migration],
    ) -> Result<Vec<&'static str>, StoreError> {
        migrate::migrate(self, named(owner)?, migrations).await
    }

    /// How the tables of an application stand to its `migrations`.
    ///
    /// # Errors
    /// As [`migrate_for`](Self::migrate_for).
    pub async fn schema_for(&self, owner: &str, migrations: &[Migration]) -> Result<SchemaState, StoreError> {
        migrate::schema(self, named(owner)?, migrations).await
    }

    /// What an import that did not end has noted in this database.
    pub(crate) async fn unfinished_import(&self) -> Result<Option<String>, StoreError> {
        migrate::unfinished_import(self).await
    }

    /// A place to read from, outside any transaction. Each statement takes a connection and gives it back.
    ///
    /// # Errors
    /// None today; an engine may have to connect.
    #[allow(clippy::unused_async, reason = "an engine that connects here would need it")]
    pub async fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader(self.0.clone()))
    }

    /// One short write transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no turn or no connection in time.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Ok(Tx(match &self.0 {
            Engine::Sqlite(sqlite) => Open::Sqlite(Box::new(sqlite.turn().await?)),
            Engine::Postgres(postgres) => Open::Postgres(Box::new(postgres.transaction().await?)),
        }))
    }

    /// A place to read from that shows the database as it was at one moment, however long the reading takes and
    /// whatever is written meanwhile. Meant for copies of everything, since it holds back the engine's tidying up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is no connection in time.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot(match &self.0 {
            Engine::Sqlite(sqlite) => Frozen::Sqlite(Box::new(sqlite.still()?)),
            Engine::Postgres(postgres) => {
                let mut transaction = Box::new(postgres.transaction().await?);
                transaction
                    .batch("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    .await?;
                transaction
                    .batch("SET LOCAL idle_in_transaction_session_timeout = 0")
                    .await?;
                transaction.unhurried().await?;
                Frozen::Postgres(transaction)
            }
        }))
    }

    /// Copies an SQLite database to a file as it is now, while others go on writing. The copy appears at `path` whole,
    /// checked and on the disk, or not at all; only its owner may read it. `progress` is told how many pages of how
    /// many are copied. Gives the copy's length in bytes. Blocks the thread that polls it.
    ///
    /// # Errors
    /// [`StoreError::File`] when something is at `path`, the disk is full, or the database turns out to be damaged;
    /// on PostgreSQL, which has programs of its own for this.
    #[allow(
        clippy::unused_async,
        reason = "an engine that is asked to copy itself would need it"
    )]
    pub async fn backup(
        &self,
        path: &Path,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<u64, StoreError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.backup(path, &mut progress),
            Engine::Postgres(_) => Err(StoreError::File(
                "a backup copies the file of an SQLite database: on PostgreSQL use pg_dump or pg_basebackup, which \
                 know it better, or `tokenhouse export`, which writes a file for either"
                    .to_owned(),
            )),
        }
    }

    /// For a change of exactly one statement, which is its own transaction.
    #[must_use]
    pub fn single(&self) -> Single {
        Single(self.0.clone())
    }

    /// Opens a channel to whoever else has one of this name on this database. SQLite has none: a file belongs to one
    /// program, but for commands that are over in a moment. Needs a runtime.
    #[must_use]
    pub fn notices(&self, channel: &'static str) -> (Notifier, Notices) {
        let (notifier, notices, ends) = notice::pair();
        match &self.0 {
            Engine::Sqlite(_) => drop(ends),
            Engine::Postgres(postgres) => postgres.listen(channel, ends),
        }
        (notifier, notices)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.read(&query("SELECT COUNT(*) FROM sqlite_master"), |_| false),
            Engine::Postgres(postgres) => postgres.ping().await,
        }
    }

    /// Commits what waits, tidies up and lets go of the database; whoever comes later is told
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }

    /// What the connections are doing.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.status(),
            Engine::Postgres(postgres) => postgres.status(),
        }
    }
}

fn named(owner: &str) -> Result<&str, StoreError> {
    if owner.is_empty() || owner.contains('/') {
        return Err(StoreError::Schema(format!(
            "migrations belong to an application whose name is not empty and holds no `/`, unlike `{owner}`"
        )));
    }
    Ok(owner)
}

/// Reads outside any transaction; see [`Store::read`].
pub struct Reader(Engine);

/// Reads what was there at one moment; see [`Store::snapshot`].
pub struct Snapshot(Frozen);

enum Frozen {
    Sqlite(Box<Still>),
    Postgres(Box<Transaction>),
}

/// Runs one changing statement; see [`Store::single`].
pub struct Single(Engine);

/// A write transaction; see [`Store::write`]. Dropped without [`commit`](Tx::commit), it leaves nothing behind.
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Tx(Open);

enum Open {
    Sqlite(Box<Turn>),
    Postgres(Box<Transaction>),
}

impl Tx {
    /// Makes the changes last. `Ok` means they are on the disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it is unknown whether they are, [`StoreError::Failed`] when a statement
    /// had failed before, so that they are not.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Open::Sqlite(turn) => turn.commit().await,
            Open::Postgres(transaction) => transaction.commit().await,
        }
    }

    /// Several statements without values.
    async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.0 {
            Open::Sqlite(turn) => turn.batch(sql),
            Open::Postgres(transaction) => transaction.batch(sql).await,
        }
    }

    /// Lifts the timeouts, for migrations.
    async fn unhurried(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            Open::Sqlite(_) => Ok(()),
            Open::Postgres(transaction) => transaction.unhurried().await,
        }
    }
}

/// Where a [`Query`] can run: [`Reader`], [`Snapshot`], [`Tx`] and [`Single`].
pub trait Executor: Send + target::HasTarget {}
impl Executor for Reader {}
impl Executor for Snapshot {}
impl Executor for Tx {}
impl Executor for Single {}

mod target {
    use super::{
        Engine, Frozen, Open, Postgres, Query, Reader, Row, Single, Snapshot, Sqlite, Still, StoreError,
        Transaction, Turn, Tx,
    };

    pub trait HasTarget {
        fn target(&mut self) -> Target<'_>;
    }

    /// The seven ways a statement can take.
    pub struct Target<'a>(Way<'a>);

    enum Way<'a> {
        SqliteRead(&'a Sqlite),
        SqliteStill(&'a mut Still),
        SqliteTurn(&'a mut Turn),
        SqliteSingle(&'a Sqlite),
        PostgresRead(&'a Postgres),
        PostgresTransaction(&'a mut Transaction),
        PostgresSingle(&'a Postgres),
    }

    impl HasTarget for Reader {
        fn target(&mut self) -> Target<'_> {
            Target(match &self.0 {
                Engine::Sqlite(sqlite) => Way::SqliteRead(sqlite),
                Engine::Postgres(postgres) => Way::PostgresRead(postgres),
            })
        }
    }

    impl HasTarget for Snapshot {
        fn target(&mut self) -> Target<'_> {
            Target(match &mut self.0 {
                Frozen::Sqlite(still) => Way::SqliteStill(still),
                Frozen::Postgres(transaction) => Way::PostgresTransaction(transaction),
            })
        }
    }

    impl HasTarget for Tx {
        fn target(&mut self) -> Target<'_> {
            Target(match &mut self.0 {
                Open::Sqlite(turn) => Way::SqliteTurn(turn),
                Open::Postgres(transaction) => Way::PostgresTransaction(transaction),
            })
        }
    }

    impl HasTarget for Single {
        fn target(&mut self) -> Target<'_> {
            Target(match &self.0 {
                Engine::Sqlite(sqlite) => Way::SqliteSingle(sqlite),
                Engine::Postgres(postgres) => Way::PostgresSingle(postgres),
            })
        }
    }

    impl Target<'_> {
        /// Gives each row to `row` until that wants no more.
        pub(in super::super) async fn rows(
            self,
            query: &Query,
            row: impl FnMut(&Row<'_>) -> bool,
        ) -> Result<(), StoreError> {
            tracing::trace!(target: "tokenhouse::sql", statement = query.sql);
            match self.0 {
                Way::SqliteRead(sqlite) => sqlite.read(query, row),
                Way::SqliteStill(still) => still.rows(query, row),
                Way::SqliteTurn(turn) => turn.rows(query, row),
                Way::SqliteSingle(sqlite) => sqlite.single_rows(query, row).await,
                Way::PostgresRead(postgres) => postgres.read(query, row).await,
                Way::PostgresTransaction(transaction) => transaction.rows(query, row).await,
                Way::PostgresSingle(postgres) => {
                    postgres.single(query).await?.give(query, row);
                    Ok(())
                }
            }
        }

        /// Says how many rows were touched.
        pub(in super::super) async fn execute(self, query: &Query) -> Result<u64, StoreError> {
            tracing::trace!(target: "tokenhouse::sql", statement = query.sql);
            match self.0 {
                Way::SqliteRead(sqlite) => sqlite.read_execute(query),
                Way::SqliteStill(still) => still.execute(query),
                Way::SqliteTurn(turn) => turn.execute(query),
                Way::SqliteSingle(sqlite) => sqlite.single_execute(query).await,
                Way::PostgresRead(postgres) | Way::PostgresSingle(postgres) => {
                    Ok(postgres.single(query).await?.touched)
                }
                Way::PostgresTransaction(transaction) => transaction.execute(query).await,
            }
        }
    }
}
