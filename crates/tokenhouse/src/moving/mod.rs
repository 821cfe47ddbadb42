//! Moving out and in: a whole house as one file.
//!
//! [`export`] writes everything that the house's tables hold, as they were at one moment, while the house may go on
//! working. [`import`] brings it into an empty database, of either engine; killed in the middle, it goes on where it
//! was. `docs/moving.md` describes the file.
//!
//! Which tables there are is read off the migrations, so nothing that a later migration adds can be forgotten.

mod export;
mod import;
mod lines;
mod seal;

use std::path::Path;
use std::sync::OnceLock;

pub use self::export::{export, measure};
pub use self::import::{Contents, check, import, left_to_import};
use crate::base::store::{StoreError, Table, tables};
use crate::migrations::MIGRATIONS;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The table that is read or written.
    pub table: &'static str,
    /// Rows done, of all tables together.
    pub done: u64,
    /// Rows there are.
    pub total: u64,
}

/// Why a house could not be moved; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MovingError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is something else.
    #[error("this is no export of a house")]
    NotAnExport,
    /// Its form is of another version.
    #[error(
        "the export is of version {0}, and this program knows version 1 only: use the program that made it"
    )]
    Version(u64),
    /// It cannot be opened.
    #[error("the export was sealed under another master key: give this house the master key of the old one")]
    WrongKey,
    /// It was not sealed under the key that is given.
    #[error(
        "the signing keys in the export were sealed under another master key: give this house the master key of the \
         old one"
    )]
    OtherKeys,
    /// Bytes are missing, changed, doubled or in another order.
    #[error("the export is damaged: {0}")]
    Damaged(String),
    /// Two versions.
    #[error("{0}")]
    Schema(String),
    /// Somebody lives there.
    #[error("the database is not empty (its table {0} holds rows): import into an empty one")]
    NotEmpty(String),
    /// Two imports.
    #[error("{0}")]
    Busy(&'static str),
}

/// The house's tables, each after those it refers to.
fn house() -> Result<&'static [Table], StoreError> {
    static TABLES: OnceLock<Result<Vec<Table>, StoreError>> = OnceLock::new();
    match TABLES.get_or_init(|| tables(MIGRATIONS)) {
        Ok(tables) => Ok(tables),
        Err(error) => Err(error.clone()),
    }
}

/// The names of the tables that are moved, in the order they are filled in, with their columns.
///
/// # Errors
/// Where a migration makes what cannot be copied from engine to engine.
pub fn moved() -> Result<Vec<(&'static str, Vec<&'static str>)>, StoreError> {
    Ok(house()?
        .iter()
        .map(|table| (table.name.as_str(), columns(table).collect()))
        .collect())
}

fn columns(table: &'static Table) -> impl Iterator<Item = &'static str> {
    table.columns.iter().map(|column| column.name.as_str())
}

/// An error of the file system, with the place.
fn at(path: &Path, what: &str, error: &std::io::Error) -> MovingError {
    MovingError::File(std::io::Error::new(
        error.kind(),
        format!("{} cannot be {what}: {error}", path.display()),
    ))
}
