//! What a statement answers, column by column, the same on both engines.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use super::{StoreError, Value};

/// One row of an answer.
pub struct Row<'a> {
    statement: &'static str,
    cells: Cells<'a>,
    first: usize,
}

#[derive(Clone, Copy)]
enum Cells<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(super) fn sqlite(statement: &'static str, row: &'a rusqlite::Row<'a>) -> Self {
        Self {
            statement,
            cells: Cells::Sqlite(row),
            first: 0,
        }
    }

    pub(super) fn postgres(statement: &'static str, row: &'a tokio_postgres::Row) -> Self {
        Self {
            statement,
            cells: Cells::Postgres(row),
            first: 0,
        }
    }

    /// The column at `index`, counted from 0 in the order the statement names them.
    ///
    /// # Errors
    /// [`StoreError::Decode`] when there is no such column, or it holds something else.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, StoreError> {
        let index = self.first + index;
        T::column(Cell { row: self, index })
    }

    /// The columns from `index` on: the second thing of a row that holds two.
    #[must_use]
    pub fn from(&self, index: usize) -> Self {
        Self {
            first: self.first + index,
            ..*self
        }
    }

    /// The JSON text in the column at `index`.
    ///
    /// # Errors
    /// [`StoreError::Decode`] when it is no JSON, or of another shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, StoreError> {
        let text: String = self.get(index)?;
        serde_json::from_str(&text)
            .map_err(|_| self.invalid(format!("column {index} does not hold the JSON expected")))
    }

    /// The error for a row that was read but makes no sense (an unknown word in a status column).
    #[must_use]
    pub fn invalid(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Decode {
            statement: self.statement,
            reason: reason.into(),
        }
    }
}

/// A type that is read from a whole row.
pub trait FromRow: Sized {
    /// Reads the columns.
    ///
    /// # Errors
    /// [`StoreError::Decode`] when a column is missing or of another type.
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError>;
}

/// Whatever the columns hold, for whoever copies rows without knowing them.
impl FromRow for Vec<Value> {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let width = match row.cells {
            Cells::Sqlite(row) => row.as_ref().column_count(),
            Cells::Postgres(row) => row.len(),
        };
        (0..width - row.first).map(|index| row.get(index)).collect()
    }
}

macro_rules! tuple {
    ($($type:ident $index:tt),*) => {
        impl<$($type: Column),*> FromRow for ($($type,)*) {
            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                Ok(($(row.get::<$type>($index)?,)*))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// A type that is read from one column. Sealed: these are the types both engines agree about.
pub trait Column: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn column(cell: Cell<'_>) -> Result<Self, StoreError>;
}

mod sealed {
    pub trait Sealed {}
}

/// A place in a row.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    row: &'a Row<'a>,
    index: usize,
}

impl<'a> Cell<'a> {
    fn mismatch(self, wanted: &str) -> StoreError {
        self.row
            .invalid(format!("column {} does not hold {wanted}", self.index))
    }

    fn is_null(self) -> bool {
        match self.row.cells {
            Cells::Sqlite(row) => matches!(row.get_ref(self.index), Ok(ValueRef::Null)),
            Cells::Postgres(row) => matches!(row.try_get::<_, Option<Any>>(self.index), Ok(None)),
        }
    }

    fn sqlite(self, row: &'a rusqlite::Row<'a>, wanted: &str) -> Result<ValueRef<'a>, StoreError> {
        row.get_ref(self.index).map_err(|_| self.mismatch(wanted))
    }

    fn postgres<T: FromSql<'a>>(self, row: &'a tokio_postgres::Row, wanted: &str) -> Result<T, StoreError> {
        row.try_get(self.index).map_err(|_| self.mismatch(wanted))
    }
}

macro_rules! column {
    ($type:ty, $wanted:literal, $pattern:pat => $value:expr, $postgres:ty => |$read:ident| $from:expr) => {
        impl sealed::Sealed for $type {}
        impl Column for $type {
            fn column(cell: Cell<'_>) -> Result<Self, StoreError> {
                let value = match cell.row.cells {
                    Cells::Sqlite(row) => match cell.sqlite(row, $wanted)? {
                        $pattern => $value,
                        _ => None,
                    },
                    Cells::Postgres(row) => {
                        let $read: $postgres = cell.postgres(row, $wanted)?;
                        $from
                    }
                };
                value.ok_or_else(|| cell.mismatch($wanted))
            }
        }
    };
}

column!(i64, "an integer", ValueRef::Integer(value) => Some(value), Integer => |read| Some(read.0));
column!(i32, "an integer of 32 bits",
    ValueRef::Integer(value) => value.try_into().ok(), Integer => |read| read.0.try_into().ok());
column!(u32, "an integer of 32 bits, not negative",
    ValueRef::Integer(value) => value.try_into().ok(), Integer => |read| read.0.try_into().ok());
column!(bool, "a boolean",
    ValueRef::Integer(value @ (0 | 1)) => Some(value == 1), bool => |read| Some(read));
column!(String, "text",
    ValueRef::Text(value) => str::from_utf8(value).ok().map(str::to_owned), String => |read| Some(read));
column!(Vec<u8>, "bytes", ValueRef::Blob(value) => Some(value.to_vec()), Vec<u8> => |read| Some(read));
column!(Uuid, "a uuid", ValueRef::Blob(value) => Self::from_slice(value).ok(), Self => |read| Some(read));
column!(Timestamp, "an instant in microseconds",
    ValueRef::Integer(value) => Self::from_microsecond(value).ok(),
    Integer => |read| Self::from_microsecond(read.0).ok());

impl sealed::Sealed for Value {}
impl Column for Value {
    fn column(cell: Cell<'_>) -> Result<Self, StoreError> {
        const WANTED: &str = "anything the store knows";
        if cell.is_null() {
            return Ok(Self::Null);
        }
        match cell.row.cells {
            Cells::Sqlite(row) => match cell.sqlite(row, WANTED)? {
                ValueRef::Integer(value) => Ok(Self::Integer(value)),
                ValueRef::Text(_) => String::column(cell).map(Self::Text),
                ValueRef::Blob(value) => Ok(Self::Bytes(value.to_vec())),
                _ => Err(cell.mismatch(WANTED)),
            },
            Cells::Postgres(row) => match row.columns().get(cell.index).map(tokio_postgres::Column::type_) {
                Some(&Type::BOOL) => bool::column(cell).map(Self::Bool),
                Some(&Type::INT2 | &Type::INT4 | &Type::INT8) => i64::column(cell).map(Self::Integer),
                Some(&Type::BYTEA) => Vec::column(cell).map(Self::Bytes),
                Some(&Type::UUID) => Uuid::column(cell).map(Self::Uuid),
                Some(_) => String::column(cell).map(Self::Text),
                None => Err(cell.mismatch(WANTED)),
            },
        }
    }
}

impl<T: Column> sealed::Sealed for Option<T> {}
impl<T: Column> Column for Option<T> {
    fn column(cell: Cell<'_>) -> Result<Self, StoreError> {
        if cell.is_null() {
            Ok(None)
        } else {
            T::column(cell).map(Some)
        }
    }
}

/// An integer of any width PostgreSQL has; SQLite knows only one.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8)
    }
}

/// Anything at all: only asked whether it is there.
struct Any;

impl<'a> FromSql<'a> for Any {
    fn from_sql(_: &Type, _: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
