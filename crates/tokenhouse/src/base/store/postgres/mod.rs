//! The engine for more than one machine: a pool of connections to PostgreSQL.

mod address;
mod error;
mod notices;
mod shared;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use futures_util::TryStreamExt;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::notice::Ends;
use super::{Query, Row, StoreError, StoreOptions, StoreStatus};
use error::Fault;
use shared::Lanes;

/// What the server's own timeouts are given before the connection is taken for dead.
const GRACE: Duration = Duration::from_millis(250);

/// A server, and what goes to it.
pub(super) struct Postgres {
    connections: Connections,
    lanes: Lanes,
    notices: notices::Line,
}

/// A pool of connections. Clones share it.
#[derive(Clone)]
struct Connections {
    pool: Pool,
    acquire: Duration,
    /// How long an answer may take; past it the server hangs or the network is gone.
    answer: Duration,
}

impl Postgres {
    /// Reads the address. Connections are made when they are needed.
    pub(super) fn open(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let (config, tls) = address::parse(url, options)?;
        let notices = notices::Line::new(config.clone(), tls.clone());
        let recycle = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let limit = Some(options.acquire_timeout);
        let pool = Pool::builder(Manager::from_config(config, tls, recycle))
            .max_size(options.max_connections.max(1))
            .runtime(Runtime::Tokio1)
            // The server's process that ran last is the one whose caches are warm.
            .queue_mode(QueueMode::Lifo)
            .timeouts(Timeouts {
                wait: limit,
                create: limit,
                recycle: limit,
            })
            .build()
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        let connections = Connections {
            pool,
            acquire: options.acquire_timeout,
            answer: options.statement_timeout + GRACE,
        };
        Ok(Self {
            lanes: Lanes::new(connections.clone()),
            connections,
            notices,
        })
    }

    /// A read. It changes nothing, so when its connection turns out to be dead it is run again on a new one.
    pub(super) async fn read(
        &self,
        query: &Query,
        row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let first = self.autocommit(query).await;
        let answer = match first {
            Err(fault) if fault.is_stale => self.autocommit(query).await,
            other => other,
        }
        .map_err(|fault| fault.error)?;
        answer.give(query, row);
        Ok(())
    }

    async fn autocommit(&self, query: &Query) -> Result<Answer, Fault> {
        self.connections.alone(query).await
    }

    /// One changing statement that is its own transaction, and never repeated.
    pub(super) async fn single(&self, query: &Query) -> Result<Answer, StoreError> {
        self.lanes.run(query).await
    }

    /// A transaction, at `READ COMMITTED`; it begins with its first statement.
    pub(super) async fn transaction(&self) -> Result<Transaction, StoreError> {
        Ok(Transaction {
            connection: Some(self.connections.get().await?),
            answer: self.connections.answer,
            begun: false,
            failed: false,
        })
    }

    /// Asks the server for nothing.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connections.get().await?;
        for again in [true, false] {
            match within(self.connections.answer, simple(&connection, "")).await {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    drop(Object::take(connection));
                    if !(again && fault.is_stale) {
                        return Err(fault.error);
                    }
                    connection = self.connections.get().await?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> StoreStatus {
        let status = self.connections.pool.status();
        StoreStatus {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: status.waiting + self.lanes.waiting(),
        }
    }

    pub(super) fn listen(&self, channel: &'static str, ends: Ends) {
        self.notices.open(channel, ends);
    }

    pub(super) fn close(&self) {
        self.notices.close();
        self.connections.pool.close();
    }
}

impl Connections {
    async fn get(&self) -> Result<Object, StoreError> {
        let taken = tokio::time::timeout(self.acquire, self.pool.get()).await;
        match taken {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error::unconnected(&error)),
            Ok(Err(PoolError::Closed)) => Err(StoreError::unavailable("the store is closed")),
            Ok(Err(error)) => Err(StoreError::unavailable(error.to_string())),
            Err(_) => Err(StoreError::unavailable("no connection became free in time")),
        }
    }

    /// One statement outside any transaction.
    async fn alone(&self, query: &Query) -> Result<Answer, Fault> {
        let mut busy = Busy {
            connection: Some(self.get().await?),
            answer: self.answer,
        };
        let outcome = match &busy.connection {
            Some(connection) => within(self.answer, fetch(connection, query)).await,
            None => Err(Fault::silent()),
        };
        let connection = busy.connection.take();
        if matches!(&outcome, Err(fault) if fault.is_broken) {
            connection.map(Object::take);
        }
        outcome
    }
}

/// A connection that has been asked something. Whoever asked may go away before the answer is there, and then it is
/// nobody else's until it is.
struct Busy {
    connection: Option<Object>,
    answer: Duration,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            return_after("", connection, self.answer);
        }
    }
}

/// Gives a connection back once it has answered all that it was asked, and this; else it is closed.
fn return_after(sql: &'static str, connection: Object, answer: Duration) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        drop(Object::take(connection));
        return;
    };
    let mut held = Held(Some(connection));
    runtime.spawn(async move {
        if let Some(connection) = &held.0
            && within(answer, simple(connection, sql)).await.is_ok()
        {
            drop(held.0.take());
        }
    });
}

/// What the server answered to one statement.
pub(super) struct Answer {
    rows: Vec<tokio_postgres::Row>,
    pub(super) touched: u64,
}

impl Answer {
    /// Gives each row to `row` until that wants no more.
    pub(super) fn give(&self, query: &Query, mut row: impl FnMut(&Row<'_>) -> bool) {
        for next in &self.rows {
            if !row(&Row::postgres(query.sql, next)) {
                break;
            }
        }
    }
}

/// A transaction on a connection of its own.
pub(super) struct Transaction {
    /// Always there until the end.
    connection: Option<Object>,
    answer: Duration,
    begun: bool,
    failed: bool,
}

impl Transaction {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<(), StoreError> {
        self.run(async |connection| fetch(connection, query).await)
            .await?
            .give(query, row);
        Ok(())
    }

    pub(super) async fn execute(&mut self, query: &Query) -> Result<u64, StoreError> {
        let answer = self
            .run(async |connection| fetch(connection, query).await)
            .await?;
        Ok(answer.touched)
    }

    /// Several statements without values: the text of a migration.
    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(async |connection| simple(connection, sql).await).await
    }

    /// Lets this transaction take as long as it takes.
    pub(super) async fn unhurried(&mut self) -> Result<(), StoreError> {
        self.batch("SET LOCAL statement_timeout = 0").await?;
        self.answer = Duration::MAX;
        Ok(())
    }

    /// Sending `BEGIN` together with the first statement would spare a round trip. It is not done: a `BEGIN`
    /// that fails alone (cancelled, timed out) would leave that statement committed by itself.
    async fn run<T>(&mut self, run: impl AsyncFnOnce(&Object) -> Result<T, Fault>) -> Result<T, StoreError> {
        let Some(connection) = self.connection.as_ref().filter(|_| !self.failed) else {
            return Err(StoreError::Failed);
        };
        // Until the answer is there, a caller that goes away leaves a transaction that has failed.
        self.failed = true;
        let begun = std::mem::replace(&mut self.begun, true);
        let outcome = within(self.answer, async {
            if !begun {
                simple(connection, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
            }
            run(connection).await
        })
        .await;
        match outcome {
            Ok(value) => {
                self.failed = false;
                Ok(value)
            }
            Err(fault) => {
                if fault.is_broken {
                    self.discard();
                }
                Err(fault.error)
            }
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if !self.begun {
            return Ok(());
        }
        self.run(async |connection| simple(connection, "COMMIT").await)
            .await?;
        self.begun = false;
        Ok(())
    }

    /// Closes the connection; the server rolls back by itself.
    fn discard(&mut self) {
        self.connection.take().map(Object::take);
    }
}

impl Drop for Transaction {
    /// The connection goes back to the pool only outside a transaction.
    fn drop(&mut self) {
        if !self.begun {
            return;
        }
        if let Some(connection) = self.connection.take() {
            return_after("ROLLBACK", connection, self.answer);
        }
    }
}

/// A connection that is not idle: closed rather than returned, unless it was taken out.
struct Held(Option<Object>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.take().map(Object::take);
    }
}

async fn within<T>(limit: Duration, run: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(limit, run)
        .await
        .unwrap_or_else(|_| Err(Fault::silent()))
}

async fn simple(connection: &Object, sql: &'static str) -> Result<(), Fault> {
    connection
        .batch_execute(sql)
        .await
        .map_err(|error| Fault::of(sql, &error))
}

async fn fetch(connection: &Object, query: &Query) -> Result<Answer, Fault> {
    let statement = prepare(connection, query).await?;
    ask(connection, &statement, query).await
}

async fn prepare(connection: &Object, query: &Query) -> Result<Statement, Fault> {
    let prepared = connection.prepare_cached(query.sql).await;
    let statement = prepared.map_err(|error| Fault::of(query.sql, &error))?;
    counted(query, statement.params().len())?;
    Ok(statement)
}

async fn ask(connection: &Object, statement: &Statement, query: &Query) -> Result<Answer, Fault> {
    let wrong = |error| Fault::of(query.sql, &error);
    let stream = connection
        .query_raw(statement, values(query))
        .await
        .map_err(wrong)?;
    let mut stream = pin!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(wrong)? {
        rows.push(row);
    }
    let touched = stream.rows_affected().unwrap_or(0);
    Ok(Answer { rows, touched })
}

/// The driver would panic.
fn counted(query: &Query, count: usize) -> Result<(), Fault> {
    if count == query.values.len() {
        return Ok(());
    }
    let reason = format!("it has {count} parameters and got {} values", query.values.len());
    Err(StoreError::statement(query.sql, reason).into())
}

fn values(query: &Query) -> impl ExactSizeIterator<Item = &(dyn ToSql + Sync)> {
    query.values.iter().map(|value| value as &(dyn ToSql + Sync))
}
