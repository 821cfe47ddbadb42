//! One statement on one connection.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql};

use super::super::error::reason_source;
use super::{Query, Row, StoreError};
use crate::base::store::Value;

/// Gives each row of the answer to `row`, until that wants no more.
pub(super) fn rows(
    connection: &Connection,
    query: &Query,
    mut row: impl FnMut(&Row<'_>) -> bool,
) -> Result<(), StoreError> {
    let mut statement = bound(connection, query)?;
    // A writing statement is stepped to its end, where its last constraints are checked.
    let may_stop = statement.readonly();
    let mut answer = statement.raw_query();
    while let Some(next) = answer.next().map_err(|error| during(query, &error))? {
        if !row(&Row::sqlite(query.sql, next)) && may_stop {
            break;
        }
    }
    Ok(())
}

/// Runs a statement without an answer.
pub(super) fn execute(connection: &Connection, query: &Query) -> Result<u64, StoreError> {
    let touched = bound(connection, query)?
        .raw_execute()
        .map_err(|error| during(query, &error))?;
    Ok(u64::try_from(touched).unwrap_or(u64::MAX))
}

/// Prepares and binds. To SQLite `$2` is a *name*, numbered by where it first stands in the text; PostgreSQL
/// takes it for the second value. So each parameter is bound by what it is called.
fn bound<'a>(connection: &'a Connection, query: &Query) -> Result<CachedStatement<'a>, StoreError> {
    let mut statement = connection
        .prepare_cached(query.sql)
        .map_err(|error| during(query, &error))?;
    let count = statement.parameter_count();
    if count != query.values.len() {
        let reason = format!("it has {count} parameters and got {} values", query.values.len());
        return Err(StoreError::statement(query.sql, reason));
    }
    for index in 1..=count {
        let value = statement
            .parameter_name(index)
            .and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1))
            .and_then(|position| query.values.get(position))
            .ok_or_else(|| StoreError::statement(query.sql, "its parameters are not $1 to $n"))?;
        statement
            .raw_bind_parameter(index, value)
            .map_err(|error| during(query, &error))?;
    }
    Ok(statement)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Integer((*value).into()),
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
            Self::Uuid(value) => ValueRef::Blob(value.as_bytes()),
        }))
    }
}

/// What an error of a statement means.
fn during(query: &Query, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_error().map(|failure| failure.extended_code);
    if matches!(
        code,
        Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)
    ) {
        return StoreError::Taken { statement: query.sql };
    }
    match outside(error) {
        StoreError::Unavailable { source } if !is_outside(error) => StoreError::Statement {
            statement: query.sql,
            source,
        },
        other => other,
    }
}

/// What an error of SQLite's own doing (`BEGIN`, `COMMIT`, opening a file) means.
pub(super) fn outside(error: &rusqlite::Error) -> StoreError {
    let source = reason_source(match error {
        rusqlite::Error::SqliteFailure(failure, Some(text)) => {
            format!("{text} (SQLite code {})", failure.extended_code)
        }
        // Its display repeats the statement, which the caller names already.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    });
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Contended { source },
        _ => StoreError::Unavailable { source },
    }
}

/// Whether the fault lies with the disk or the file and not with the statement.
fn is_outside(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}
