//! The tables that migrations make: what a copy of a whole database consists of.
//!
//! They are read off the migrations themselves, which are run on an empty database in memory. So a table that a new
//! migration brings is copied from then on, and nobody has to think of it.

use rusqlite::Connection;

use super::{Migration, StoreError, query};

/// Rows read or written by one statement.
const PAGE: usize = 500;
const TOGETHER: usize = 50;

/// A table with the statements that copy it, whole rows at a time.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<TableColumn>,
    /// The places of the primary key's columns among all, in the key's order.
    pub(crate) key: Vec<usize>,
    refers_to: Vec<String>,
    pub(crate) count: String,
    pub(crate) any: String,
    first: String,
    next: String,
    insert: ManyRows,
}

/// A column of a [`Table`].
#[derive(Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// What both engines agree a column may hold. Ids are bytes here, as SQLite does not tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Bool,
    Integer,
    Text,
    Bytes,
}

impl Table {
    /// The first rows in the order of the key, or those after the key `after`.
    pub(crate) fn page(&'static self, after: Option<&[super::Value]>) -> super::Query {
        let Some(after) = after else {
            return query(&self.first);
        };
        self.key.iter().fold(query(&self.next), |query, place| {
            query.bind(after[*place].clone())
        })
    }

    /// The statements that insert `rows`.
    pub(crate) fn insert(&'static self, rows: Vec<Vec<super::Value>>) -> Vec<super::Query> {
        self.insert.of(rows)
    }
}

/// A statement with a place for the rows it is about, which takes many at a time: what costs is the statement.
#[derive(Debug)]
pub(crate) struct ManyRows {
    one: String,
    many: String,
}

impl ManyRows {
    /// The places of rows of so many `columns` come between `before` and `after`.
    pub(crate) fn new(before: &str, columns: usize, after: &str) -> Self {
        let statement = |rows| format!("{before} {} {after}", places(columns, rows));
        Self {
            one: statement(1),
            many: statement(TOGETHER),
        }
    }

    /// The statements for these rows.
    pub(crate) fn of(&'static self, rows: Vec<Vec<super::Value>>) -> Vec<super::Query> {
        let mut queries = Vec::with_capacity(rows.len() / TOGETHER + TOGETHER);
        let mut rows = rows.into_iter();
        while rows.len() >= TOGETHER {
            let values = rows.by_ref().take(TOGETHER).flatten();
            queries.push(values.fold(query(&self.many), super::Query::bind));
        }
        queries.extend(rows.map(|row| row.into_iter().fold(query(&self.one), super::Query::bind)));
        queries
    }
}

/// `($1, $2), ($3, $4)`: places for so many rows.
fn places(columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=columns)
            .map(|column| format!("${}", row * columns + column))
            .collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The tables, each after those it refers to.
///
/// # Errors
/// [`StoreError::Schema`] where one could not be copied: it has no primary key, or refers to itself, or holds what
/// only one engine knows.
pub(crate) fn tables(migrations: &[Migration]) -> Result<Vec<Table>, StoreError> {
    let unread =
        |error: rusqlite::Error| StoreError::Schema(format!("the migrations cannot be read: {error}"));
    let connection = Connection::open_in_memory().map_err(unread)?;
    for migration in migrations {
        connection.execute_batch(migration.sqlite).map_err(unread)?;
    }
    let names = strings(
        &connection,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
        "",
    )
    .map_err(unread)?;
    let mut waiting = names
        .into_iter()
        .map(|name| table(&connection, name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sorted: Vec<Table> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |table: &Table| {
            let known = |other: &String| sorted.iter().any(|table| table.name == *other);
            table.refers_to.iter().all(known)
        };
        let Some(ready) = waiting.iter().position(is_ready) else {
            let names: Vec<&str> = waiting.iter().map(|table| table.name.as_str()).collect();
            return Err(StoreError::Schema(format!(
                "the tables {} refer to themselves or each other, so none can be filled first",
                names.join(", ")
            )));
        };
        sorted.push(waiting.remove(ready));
    }
    Ok(sorted)
}

fn table(connection: &Connection, name: String) -> Result<Table, StoreError> {
    let unread =
        |error: rusqlite::Error| StoreError::Schema(format!("the table {name} cannot be read: {error}"));
    let mut columns = Vec::new();
    let mut key = Vec::new();
    let mut statement = connection
        .prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")
        .map_err(unread)?;
    let mut rows = statement.query([&name]).map_err(unread)?;
    while let Some(row) = rows.next().map_err(unread)? {
        let column: String = row.get(0).map_err(unread)?;
        let declared: String = row.get(1).map_err(unread)?;
        let place: i64 = row.get(2).map_err(unread)?;
        let kind = match declared.as_str() {
            "BOOLEAN" => ColumnKind::Bool,
            "BIGINT" | "INTEGER" => ColumnKind::Integer,
            "TEXT" => ColumnKind::Text,
            "BLOB" => ColumnKind::Bytes,
            other => {
                return Err(StoreError::Schema(format!(
                    "the column {name}.{column} is of the type {other}, which cannot be copied from engine to engine"
                )));
            }
        };
        if place > 0 {
            key.push((place, columns.len()));
        }
        columns.push(TableColumn { name: column, kind });
    }
    if key.is_empty() {
        return Err(StoreError::Schema(format!(
            "the table {name} has no primary key, so its rows have no order to be read in"
        )));
    }
    key.sort_unstable();
    let key: Vec<usize> = key.into_iter().map(|(_, index)| index).collect();
    let refers_to = strings(
        connection,
        "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?1)",
        &name,
    )
    .map_err(unread)?;

    let list = |places: &mut dyn Iterator<Item = usize>| {
        places
            .map(|place| format!("\"{}\"", columns[place].name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let all = list(&mut (0..columns.len()));
    let by = list(&mut key.iter().copied());
    let after: Vec<String> = (1..=key.len()).map(|number| format!("${number}")).collect();
    let after = after.join(", ");
    Ok(Table {
        count: format!("SELECT COUNT(*) FROM \"{name}\""),
        any: format!("SELECT 1 FROM \"{name}\" LIMIT 1"),
        first: format!("SELECT {all} FROM \"{name}\" ORDER BY {by} LIMIT {PAGE}"),
        next: format!("SELECT {all} FROM \"{name}\" WHERE ({by}) > ({after}) ORDER BY {by} LIMIT {PAGE}"),
        insert: ManyRows::new(
            &format!("INSERT INTO \"{name}\" ({all}) VALUES"),
            columns.len(),
            "",
        ),
        columns,
        key,
        refers_to,
        name,
    })
}

/// The first column of every row; `about` is `?1` where the statement has one.
fn strings(connection: &Connection, sql: &str, about: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let bound: &[&str] = if statement.parameter_count() == 0 {
        &[]
    } else {
        &[about]
    };
    let rows = statement.query_map(rusqlite::params_from_iter(bound), |row| row.get(0))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_by(sqlite: &'static str) -> Result<Vec<Table>, StoreError> {
        tables(&[Migration {
            name: "0001_test",
            sqlite,
            postgres: "",
        }])
    }

    #[test]
    fn a_table_comes_after_those_it_refers_to() {
        let tables = made_by(
            "CREATE TABLE a (id BLOB NOT NULL PRIMARY KEY, b BLOB REFERENCES b (id)) WITHOUT ROWID;
             CREATE TABLE b (x TEXT NOT NULL, y BIGINT, id BLOB UNIQUE, PRIMARY KEY (y, x));",
        )
        .unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(tables[0].key, [1, 0]);
        assert_eq!(
            tables[0].next,
            "SELECT \"x\", \"y\", \"id\" FROM \"b\" WHERE (\"y\", \"x\") > ($1, $2) ORDER BY \"y\", \"x\" LIMIT 500"
        );
        assert_eq!(places(2, 2), "($1, $2), ($3, $4)");
    }

    #[test]
    fn what_could_not_be_copied_is_refused() {
        for (text, part) in [
            ("CREATE TABLE a (id BLOB)", "no primary key"),
            ("CREATE TABLE a (id REAL PRIMARY KEY)", "REAL"),
            (
                "CREATE TABLE a (id BLOB PRIMARY KEY, up BLOB REFERENCES a (id))",
                "themselves",
            ),
        ] {
            let told = made_by(text).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
