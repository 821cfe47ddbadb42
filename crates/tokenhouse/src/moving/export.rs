//! Writing everything.

use std::io::Write;

use super::lines::{self, End, Head, Heading};
use super::seal::Sealing;
use super::{MovingError, Progress, columns, house};
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::store::{SchemaState, Snapshot, Store, Value, query};
use crate::kernel::keys::MasterKey;
use crate::migrations::MIGRATIONS;

/// How many rows an export of this database would hold now, table by table.
///
/// # Errors
/// When the database cannot be read, or is of another version.
pub async fn measure(store: &Store) -> Result<Vec<(&'static str, u64)>, MovingError> {
    same_version(store).await?;
    count(&mut store.snapshot().await?).await
}

/// Writes everything in the house's tables to `out`, sealed under `master`, or readable by everybody without one.
/// What is written is what was there at one moment; the house may go on working meanwhile. Gives the number of rows.
///
/// Writes as it reads and so blocks the thread that polls it.
///
/// # Errors
/// When the database cannot be read, is of another version than this program, or `out` takes no more.
pub async fn export<W: Write + Send>(
    store: &Store,
    master: Option<&MasterKey>,
    out: &mut W,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<u64, MovingError> {
    same_version(store).await?;
    let mut snapshot = store.snapshot().await?;
    let counts = count(&mut snapshot).await?;
    let total = counts.iter().map(|(_, rows)| rows).sum();
    let entropy = Entropy::system();
    let now = Clock::system().now();
    let head = Head {
        tokenhouse_export: 1,
        id: entropy.uuid_v7(now).map_err(std::io::Error::other)?,
        made_at: now,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        migrations: MIGRATIONS
            .iter()
            .map(|migration| migration.name.to_owned())
            .collect(),
        tables: house()?
            .iter()
            .zip(&counts)
            .map(|(table, (_, rows))| Heading {
                name: table.name.clone(),
                columns: columns(table).map(str::to_owned).collect(),
                rows: *rows,
            })
            .collect(),
    };
    match master {
        None => rows(&mut snapshot, &head, total, out, &mut progress).await?,
        Some(master) => {
            let mut sealing = Sealing::begin(&mut *out, master, &entropy)?;
            rows(&mut snapshot, &head, total, &mut sealing, &mut progress).await?;
            sealing.end()?;
        }
    }
    out.flush()?;
    Ok(total)
}

async fn same_version(store: &Store) -> Result<(), MovingError> {
    let refused = |reason: String| Err(MovingError::Schema(reason));
    match store.schema(MIGRATIONS).await? {
        SchemaState::Current => Ok(()),
        SchemaState::Empty => refused("there is no house in this database".to_owned()),
        SchemaState::Older { pending } => refused(format!(
            "the database lacks the migrations {}: run `tokenhouse migrate` first, or use the version that runs on it",
            pending.join(", ")
        )),
        // What a newer version added would be left behind.
        SchemaState::Expanded { unknown } | SchemaState::Newer { unknown } => refused(format!(
            "the database was migrated by a newer version (it has {}): use that version",
            unknown.join(", ")
        )),
    }
}

async fn count(snapshot: &mut Snapshot) -> Result<Vec<(&'static str, u64)>, MovingError> {
    let mut counts = Vec::new();
    for table in house()? {
        let (rows,): (i64,) = query(&table.count).one(snapshot).await?;
        counts.push((table.name.as_str(), u64::try_from(rows).unwrap_or_default()));
    }
    Ok(counts)
}

async fn rows(
    snapshot: &mut Snapshot,
    head: &Head,
    total: u64,
    out: &mut (impl Write + Send),
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<(), MovingError> {
    let mut line = Vec::new();
    put(&mut line, head)?;
    out.write_all(&line)?;
    let mut done = 0;
    for table in house()? {
        let mut after: Option<Vec<Value>> = None;
        loop {
            let page: Vec<Vec<Value>> = table.page(after.as_deref()).all(snapshot).await?;
            line.clear();
            for row in &page {
                lines::write(table, row, &mut line).ok_or_else(|| {
                    MovingError::Schema(format!("a row of {} holds what its columns cannot", table.name))
                })?;
                done += 1;
            }
            out.write_all(&line)?;
            progress(Progress {
                table: &table.name,
                done,
                total,
            });
            let Some(last) = page.into_iter().next_back() else {
                break;
            };
            after = Some(last);
        }
    }
    line.clear();
    put(&mut line, &End { rows: done })?;
    out.write_all(&line)?;
    Ok(())
}

fn put(line: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), MovingError> {
    serde_json::to_writer(&mut *line, value).map_err(std::io::Error::other)?;
    line.push(b'\n');
    Ok(())
}
