//! A statement with its values, and the four ways to run it.

use super::{Executor, FromRow, Row, StoreError, Value};

/// A statement and what is bound to it. The text is a constant, so that nothing from outside can get into it.
#[must_use = "a query does nothing until it is run"]
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value>,
}

/// Begins a statement: `query("SELECT name FROM users WHERE id = $1").bind(id)`.
///
/// `$1` is the first value bound, on both engines, in whatever order the text mentions them and however often.
pub fn query(sql: &'static str) -> Query {
    Query {
        sql,
        values: Vec::new(),
    }
}

impl Query {
    /// Binds the next `$n`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As the database says; see [`StoreError`].
    pub async fn optional<T: FromRow>(
        self,
        on: &mut (impl Executor + ?Sized),
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        on.target()
            .rows(&self, |row| {
                if found.is_none() {
                    found = Some(T::from_row(row));
                }
                false
            })
            .await?;
        found.transpose()
    }

    /// The one row a statement always has (`SELECT COUNT(*)`, `INSERT … RETURNING`).
    ///
    /// # Errors
    /// [`StoreError::Decode`] when there is none.
    pub async fn one<T: FromRow>(self, on: &mut (impl Executor + ?Sized)) -> Result<T, StoreError> {
        let statement = self.sql;
        self.optional(on).await?.ok_or_else(|| StoreError::Decode {
            statement,
            reason: "there is no row".to_owned(),
        })
    }

    /// All rows; the statement bounds how many (`LIMIT`).
    ///
    /// # Errors
    /// As the database says; see [`StoreError`].
    pub async fn all<T: FromRow>(self, on: &mut (impl Executor + ?Sized)) -> Result<Vec<T>, StoreError> {
        let mut rows = Ok(Vec::new());
        on.target()
            .rows(&self, |row: &Row<'_>| match (&mut rows, T::from_row(row)) {
                (Ok(all), Ok(value)) => {
                    all.push(value);
                    true
                }
                (Ok(_), Err(error)) => {
                    rows = Err(error);
                    false
                }
                (Err(_), _) => false,
            })
            .await?;
        rows
    }

    /// Runs a statement without an answer and says how many rows it touched.
    ///
    /// # Errors
    /// As the database says; see [`StoreError`].
    pub async fn execute(self, on: &mut (impl Executor + ?Sized)) -> Result<u64, StoreError> {
        on.target().execute(&self).await
    }
}
