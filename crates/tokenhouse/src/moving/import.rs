//! Reading everything back.
//!
//! The file is read twice. The first time to its end, so that nothing is written of one that was cut off or changed;
//! the second time to write it. Rows are written in batches, each with a note of how many are done in the same
//! transaction: an import that was killed finds the note and goes on behind it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;

use super::lines::{self, End, Head};
use super::seal::{MAGIC, Opening};
use super::{MovingError, Progress, at, columns, house};
use crate::base::clock::Clock;
use crate::base::store::{SchemaState, Store, StoreError, Table, UNFINISHED_IMPORT, Value, query};
use crate::kernel::keys::{self, MasterKey};
use crate::migrations::MIGRATIONS;

/// Rows of one commit.
const BATCH: usize = 2000;
/// No row is nearly as long; whoever writes a file without line ends does not fill the memory.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What an export holds, found good to its end.
#[derive(Clone, Debug)]
pub struct Contents {
    /// When it was made: the moment it shows.
    pub made_at: Timestamp,
    /// The version of the program that made it.
    pub made_by: String,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Its tables, and the rows of each.
    pub tables: Vec<(String, u64)>,
    id: uuid::Uuid,
}

impl Contents {
    /// The rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Reads an export to its end and says what it holds; nothing is written anywhere.
///
/// # Errors
/// When it is not whole, not unchanged, of another version, or its keys are not of this master key.
pub fn check(
    path: &Path,
    master: &MasterKey,
    mut progress: impl FnMut(Progress),
) -> Result<Contents, MovingError> {
    let mut export = Export::open(path, master)?;
    let total = export.total;
    // Few, and which table comes first is not for this to know.
    let (mut slots, mut signing_keys) = (Vec::new(), Vec::new());
    let slot = places("key_slots", "name")?;
    let signing_key = places("signing_keys", "kid")?;
    while let Some((table, row)) = export.next()? {
        match table.name.as_str() {
            "key_slots" => slots.push(named(&row, slot)?),
            "signing_keys" => signing_keys.push(named(&row, signing_key)?),
            _ => {}
        }
        if export.done.is_multiple_of(500) || export.done == total {
            progress(Progress {
                table: &table.name,
                done: export.done,
                total,
            });
        }
    }
    let slots = slots
        .iter()
        .map(|(name, sealed)| (name.as_str(), sealed.as_slice()));
    let root = keys::root_among(master, slots).map_err(|_| MovingError::OtherKeys)?;
    for (kid, sealed) in &signing_keys {
        root.open(kid, sealed).map_err(|_| MovingError::OtherKeys)?;
    }
    Ok(export.contents())
}

/// The places of a name and of `sealed` among the columns of a table.
fn places(table: &str, name: &str) -> Result<(usize, usize), MovingError> {
    let place = |name: &str| {
        let table = house()?.iter().find(|one| one.name == table);
        table
            .and_then(|table| columns(table).position(|column| column == name))
            .ok_or_else(|| MovingError::Schema(format!("{name} is no column where keys are")))
    };
    Ok((place(name)?, place("sealed")?))
}

fn named(row: &[Value], (name, sealed): (usize, usize)) -> Result<(String, Vec<u8>), MovingError> {
    match (&row[name], &row[sealed]) {
        (Value::Text(name), Value::Bytes(sealed)) => Ok((name.clone(), sealed.clone())),
        _ => Err(MovingError::OtherKeys),
    }
}

/// Brings an export, which was [checked](check), into an empty database, whose tables are made where there are none, or goes on with what an import
/// of the same file left unfinished. Until it has ended, no house starts on the database. Gives the number of rows
/// that were still to be written.
///
/// Reads as it writes and so blocks the thread that polls it.
///
/// # Errors
/// When somebody lives in the database; when it cannot be written to; as [`check`] where the file has been changed
/// since.
pub async fn import(
    store: &Store,
    path: &Path,
    master: &MasterKey,
    contents: &Contents,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<u64, MovingError> {
    let mut export = Export::open(path, master)?;
    if export.head.id != contents.id || export.total != contents.rows() || export.sealed != contents.sealed {
        return Err(MovingError::Damaged(
            "it is another than the one that was checked".to_owned(),
        ));
    }
    let mut note = begin(store, export.head.id).await?;
    let total = export.total;
    while export.done < note.done {
        if export.next()?.is_none() {
            return Err(MovingError::Damaged(
                "it is shorter than what was imported of it".to_owned(),
            ));
        }
    }
    let before = note.done;
    let mut batch = Vec::with_capacity(BATCH);
    let mut filling: Option<&'static Table> = None;
    loop {
        let next = export.next()?;
        let same =
            matches!((&next, filling), (Some((table, _)), Some(filled)) if std::ptr::eq(*table, filled));
        if let Some(table) = filling
            && (!same || batch.len() >= BATCH)
        {
            note.write(store, table, std::mem::take(&mut batch)).await?;
            progress(Progress {
                table: &table.name,
                done: note.done,
                total,
            });
        }
        let Some((table, row)) = next else { break };
        filling = Some(table);
        batch.push(row);
    }
    note.end(store).await?;
    Ok(total - before)
}

/// How many rows of an export an import into this database would write now. Nothing is written.
///
/// # Errors
/// As [`import`], when somebody lives in the database.
pub async fn left_to_import(store: &Store, contents: &Contents) -> Result<u64, MovingError> {
    let done = standing(store, contents.id).await?.map_or(0, |note| note.done);
    Ok(contents.rows().saturating_sub(done))
}

/// Whether an import may begin here, or where the one that began was killed.
async fn standing(store: &Store, id: uuid::Uuid) -> Result<Option<Note>, MovingError> {
    if let Some(text) = store.unfinished_import().await? {
        let note = Note::parse(&text).filter(|note| note.id == id);
        return note.map(Some).ok_or(MovingError::Busy(
            "another export was begun to be imported here: go on with that one, or begin with an empty database",
        ));
    }
    let refused = |reason: String| Err(MovingError::Schema(reason));
    match store.schema(MIGRATIONS).await? {
        SchemaState::Empty => Ok(None),
        SchemaState::Current => {
            for table in house()? {
                let row: Option<(i64,)> = query(&table.any).optional(&mut store.read().await?).await?;
                if row.is_some() {
                    return Err(MovingError::NotEmpty(table.name.clone()));
                }
            }
            Ok(None)
        }
        SchemaState::Older { pending } => refused(format!(
            "the database lacks the migrations {}: import into an empty one",
            pending.join(", ")
        )),
        // What a newer version added would be left behind.
        SchemaState::Expanded { unknown } | SchemaState::Newer { unknown } => refused(format!(
            "the database was migrated by a newer version (it has {}): use that version",
            unknown.join(", ")
        )),
    }
}

async fn begin(store: &Store, id: uuid::Uuid) -> Result<Note, MovingError> {
    if let Some(note) = standing(store, id).await? {
        return Ok(note);
    }
    store.migrate(MIGRATIONS).await?;
    let note = Note { id, done: 0 };
    let mut tx = store.write().await?;
    let noted = query(BEGIN)
        .bind(UNFINISHED_IMPORT)
        .bind(note.to_string())
        .bind(Clock::system().now())
        .execute(&mut tx)
        .await?;
    if noted == 0 {
        return Err(MovingError::Busy(
            "another import has just begun in this database",
        ));
    }
    // Once more, now that no house starts here any more.
    for table in house()? {
        let row: Option<(i64,)> = query(&table.any).optional(&mut tx).await?;
        if row.is_some() {
            return Err(MovingError::NotEmpty(table.name.clone()));
        }
    }
    tx.commit().await?;
    Ok(note)
}

const BEGIN: &str = "
    INSERT INTO _migrations (name, checksum, applied_at)
    VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING";

const NOTE: &str = "
    UPDATE _migrations
    SET checksum = $1
    WHERE name = $2 AND checksum = $3";

const END: &str = "
    DELETE FROM _migrations
    WHERE name = $1 AND checksum = $2";

/// Which export is being imported, and how many of its rows are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Note {
    id: uuid::Uuid,
    done: u64,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.done)
    }
}

const OVERTAKEN: MovingError =
    MovingError::Busy("another import works on this database at the same time: let that one end");

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let (id, done) = text.split_once(' ')?;
        Some(Self {
            id: id.parse().ok()?,
            done: done.parse().ok()?,
        })
    }

    async fn write(
        &mut self,
        store: &Store,
        table: &'static Table,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), MovingError> {
        let next = Self {
            done: self.done + rows.len() as u64,
            ..*self
        };
        let mut tx = store.write().await?;
        // First, so that of two imports one waits here and then finds that it was overtaken.
        let noted = query(NOTE)
            .bind(next.to_string())
            .bind(UNFINISHED_IMPORT)
            .bind(self.to_string())
            .execute(&mut tx)
            .await?;
        if noted == 0 {
            return Err(OVERTAKEN);
        }
        for insert in table.insert(rows) {
            insert.execute(&mut tx).await.map_err(|error| match error {
                StoreError::Taken { .. } => MovingError::NotEmpty(table.name.clone()),
                other => other.into(),
            })?;
        }
        tx.commit().await?;
        *self = next;
        Ok(())
    }

    async fn end(self, store: &Store) -> Result<(), MovingError> {
        let ended = query(END)
            .bind(UNFINISHED_IMPORT)
            .bind(self.to_string())
            .execute(&mut store.single())
            .await?;
        if ended == 0 { Err(OVERTAKEN) } else { Ok(()) }
    }
}

/// An export that is being read.
struct Export {
    head: Head,
    sealed: bool,
    lines: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    total: u64,
    done: u64,
    table: usize,
    left: u64,
}

impl Export {
    fn open(path: &Path, master: &MasterKey) -> Result<Self, MovingError> {
        let file = File::open(path).map_err(|error| at(path, "read", &error))?;
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let begin = file.fill_buf().map_err(|error| at(path, "read", &error))?;
        let sealed = begin.starts_with(MAGIC);
        let lines: Box<dyn BufRead + Send> = if sealed {
            file.consume(MAGIC.len());
            Box::new(BufReader::with_capacity(64 * 1024, Opening::begin(file, master)?))
        } else if begin.starts_with(b"{") {
            Box::new(file)
        } else {
            return Err(MovingError::NotAnExport);
        };
        let mut export = Self {
            head: Head {
                tokenhouse_export: 0,
                id: uuid::Uuid::nil(),
                made_at: Timestamp::UNIX_EPOCH,
                made_by: String::new(),
                migrations: Vec::new(),
                tables: Vec::new(),
            },
            sealed,
            lines,
            line: Vec::new(),
            total: 0,
            done: 0,
            table: 0,
            left: 0,
        };
        export.read_head()?;
        Ok(export)
    }

    fn read_head(&mut self) -> Result<(), MovingError> {
        self.read_line()?;
        let head: serde_json::Value =
            serde_json::from_slice(&self.line).map_err(|_| MovingError::NotAnExport)?;
        match head["tokenhouse_export"].as_u64() {
            Some(1) => {}
            Some(other) => return Err(MovingError::Version(other)),
            None => return Err(MovingError::NotAnExport),
        }
        self.head = serde_json::from_value(head)
            .map_err(|_| MovingError::Damaged("its first line cannot be read".to_owned()))?;
        let ours: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        if self.head.migrations != ours {
            let theirs = &self.head.migrations;
            let differing = ours
                .iter()
                .filter(|name| !theirs.iter().any(|their| their == *name))
                .map(|name| (*name).to_owned())
                .chain(
                    theirs
                        .iter()
                        .filter(|name| !ours.contains(&name.as_str()))
                        .cloned(),
                );
            let differing: Vec<String> = differing.collect();
            return Err(MovingError::Schema(format!(
                "the export was made by version {} on other tables than this version has (they differ in {}): use \
                 the same version on both sides, and migrate before or after",
                self.head.made_by,
                differing.join(", ")
            )));
        }
        let tables = house()?;
        let is_same = self.head.tables.len() == tables.len()
            && tables.iter().zip(&self.head.tables).all(|(table, heading)| {
                table.name == heading.name && columns(table).eq(heading.columns.iter().map(String::as_str))
            });
        if !is_same {
            return Err(MovingError::Damaged(
                "its tables are not those that its migrations make".to_owned(),
            ));
        }
        let rows = self.head.tables.iter().map(|heading| heading.rows);
        self.total = rows.fold(0, u64::saturating_add);
        self.left = self.head.tables.first().map_or(0, |heading| heading.rows);
        Ok(())
    }

    /// The next row; nothing after the last, when the end has been found to be one.
    fn next(&mut self) -> Result<Option<(&'static Table, Vec<Value>)>, MovingError> {
        let tables = house()?;
        while self.left == 0 {
            self.table += 1;
            let Some(heading) = self.head.tables.get(self.table) else {
                self.read_end()?;
                return Ok(None);
            };
            self.left = heading.rows;
        }
        let table = tables
            .get(self.table)
            .ok_or_else(|| MovingError::Damaged("it has too many tables".to_owned()))?;
        self.read_line()?;
        let row = lines::read(table, &self.line).ok_or_else(|| {
            MovingError::Damaged(format!("line {} is no row of {}", self.done + 2, table.name))
        })?;
        self.left -= 1;
        self.done += 1;
        Ok(Some((table, row)))
    }

    fn read_end(&mut self) -> Result<(), MovingError> {
        if self.table > self.head.tables.len() {
            return Ok(());
        }
        self.read_line()?;
        let end: Option<End> = serde_json::from_slice(&self.line).ok();
        let mut rest = [0];
        let nothing_follows = self.lines.read(&mut rest).map_err(unsealed)? == 0;
        if end.is_some_and(|end| end.rows == self.total) && nothing_follows {
            return Ok(());
        }
        Err(MovingError::Damaged(
            "its end is not where it should be".to_owned(),
        ))
    }

    fn read_line(&mut self) -> Result<(), MovingError> {
        self.line.clear();
        (&mut self.lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line)
            .map_err(unsealed)?;
        if self.line.pop() == Some(b'\n') {
            return Ok(());
        }
        Err(MovingError::Damaged("it was cut off".to_owned()))
    }

    fn contents(&self) -> Contents {
        let tables = self.head.tables.iter();
        Contents {
            made_at: self.head.made_at,
            made_by: self.head.made_by.clone(),
            sealed: self.sealed,
            id: self.head.id,
            tables: tables
                .map(|heading| (heading.name.clone(), heading.rows))
                .collect(),
        }
    }
}

/// The envelope tells by the kind of its error what is the disk's fault and what is not.
fn unsealed(error: std::io::Error) -> MovingError {
    if error.kind() == std::io::ErrorKind::InvalidData {
        MovingError::Damaged(error.to_string())
    } else {
        error.into()
    }
}
