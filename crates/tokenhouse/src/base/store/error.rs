//! What can go wrong between the house and its database, told without a bound value or a password.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The store could not do what was asked. Neither `Display` nor `Debug` nor the chain of sources shows a
/// bound value or the password in the address: statements are constants, and of a server's answer only its
/// code and its sentence are kept (PostgreSQL's `DETAIL` quotes the row).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, is full, is going down, or did not say whether it committed. Whether
    /// the change was made is then *unknown*, never claimed.
    #[error("the database is not available")]
    Unavailable {
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// A statement ran into the store's `statement_timeout`.
    #[error("the database took too long")]
    Timeout,
    /// Another transaction was in the way (deadlock, serialization, lock); trying again is sensible.
    #[error("another transaction was in the way")]
    Contended {
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// The tables are not what this program expects; the sentence says what to do.
    #[error("{0}")]
    Schema(String),
    /// The address of the database cannot be understood; the sentence does not quote it.
    #[error("{0}")]
    BadUrl(String),
    /// The file of the embedded database cannot be made or opened; the sentence names the place.
    #[error("{0}")]
    File(String),
    /// A row did not hold what the program reads from it.
    #[error("a row of {statement:?} cannot be read: {reason}")]
    Decode {
        /// The statement's constant text.
        statement: &'static str,
        /// Which column, and why, without its value.
        reason: String,
    },
    /// The database refused a statement: a constraint, or a mistake in the program.
    #[error("the database refused {statement:?}")]
    Statement {
        /// The statement's constant text.
        statement: &'static str,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// The database refused a statement because a value that must be unique is there already. Prefer `ON
    /// CONFLICT DO NOTHING` and the row count; this is for an `UPDATE`, which has no such clause.
    #[error("a value that must be unique is there already")]
    Taken {
        /// The statement's constant text.
        statement: &'static str,
    },
    /// A statement of this transaction has failed before, so that it can only be rolled back.
    #[error("the transaction has already failed")]
    Failed,
}

/// The cause of a [`StoreError`], shared because one failed flush answers a whole batch.
pub type Source = Arc<dyn Error + Send + Sync>;

impl StoreError {
    /// Whether it is the database's state, and not what was asked of it, so that trying again is sensible.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Timeout | Self::Contended { .. }
        )
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            source: reason_source(reason),
        }
    }

    pub(super) fn statement(statement: &'static str, reason: impl Into<String>) -> Self {
        Self::Statement {
            statement,
            source: reason_source(reason),
        }
    }
}

/// A cause that is only a sentence.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Reason {}

pub(super) fn reason_source(reason: impl Into<String>) -> Source {
    Arc::new(Reason(reason.into()))
}
