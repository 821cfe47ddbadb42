//! What PostgreSQL's errors mean, and how values reach it.

use std::error::Error;

use bytes::BytesMut;
use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::error::reason_source;
use crate::base::store::{StoreError, Value};

/// An error, and what it says about the connection.
pub(super) struct Fault {
    pub(super) error: StoreError,
    /// The connection must not be used again.
    pub(super) is_broken: bool,
    /// The connection had been dead or outdated before; on another one it may well work.
    pub(super) is_stale: bool,
    /// The server never saw it: a value that does not fit is found before anything is sent.
    pub(super) is_ours: bool,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            is_broken: false,
            is_stale: false,
            is_ours: true,
        }
    }
}

impl Fault {
    /// Nothing came back. The connection is given up, as the answer might still come.
    pub(super) fn silent() -> Self {
        let error = StoreError::unavailable("the server did not answer in time");
        Self {
            error,
            is_broken: true,
            is_stale: false,
            is_ours: false,
        }
    }

    /// What to tell whoever asked. The connection is closed where it must not be used again.
    pub(super) fn give_up(self, connection: Object) -> StoreError {
        if self.is_broken {
            drop(Object::take(connection));
        }
        self.error
    }

    pub(super) fn of(statement: &'static str, error: &tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            return match error.source() {
                // A value that does not fit its parameter never leaves this process.
                Some(source) if source.is::<Unfit>() => {
                    StoreError::statement(statement, source.to_string()).into()
                }
                _ => Self {
                    error: StoreError::unavailable(story(error)),
                    is_broken: true,
                    is_stale: true,
                    is_ours: false,
                },
            };
        };
        let code = refusal.code();
        let class = code.code().get(..2).unwrap_or_default();
        // Class 22 quotes the value it cannot read.
        let text = if class == "22" {
            "a value does not fit"
        } else {
            refusal.message()
        };
        let source = reason_source(format!("{text} (SQLSTATE {})", code.code()));
        let kept = |error| Self {
            error,
            is_broken: false,
            is_stale: false,
            is_ours: false,
        };
        let lost = |error| Self {
            error,
            is_broken: true,
            is_stale: true,
            is_ours: false,
        };
        match code {
            &SqlState::T_R_SERIALIZATION_FAILURE
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::LOCK_NOT_AVAILABLE => kept(StoreError::Contended { source }),
            &SqlState::UNIQUE_VIOLATION => kept(StoreError::Taken { statement }),
            &SqlState::QUERY_CANCELED => kept(StoreError::Timeout),
            // The connection's prepared statements are of another time: a migration, a connection pooler.
            &SqlState::FEATURE_NOT_SUPPORTED | &SqlState::INVALID_SQL_STATEMENT_NAME => {
                lost(StoreError::Statement { statement, source })
            }
            // Going down, or demoted to a standby.
            &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW
            | &SqlState::READ_ONLY_SQL_TRANSACTION
            | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => lost(StoreError::Unavailable { source }),
            // 08 connection, 53 resources (disk full, too many connections), 58 system, XX internal.
            _ if matches!(class, "08" | "53" | "58" | "XX") => lost(StoreError::Unavailable { source }),
            _ => kept(StoreError::Statement { statement, source }),
        }
    }
}

/// No connection could be made.
pub(super) fn unconnected(error: &tokio_postgres::Error) -> StoreError {
    StoreError::unavailable(match error.as_db_error() {
        Some(refusal) => format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code()),
        None => story(error),
    })
}

/// An error with its causes, in one line.
fn story(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A value of the wrong type for its parameter.
#[derive(Debug, thiserror::Error)]
#[error("{kind} cannot be bound to a parameter of type {wanted}")]
struct Unfit {
    kind: &'static str,
    wanted: String,
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let unfit = || Unfit {
            kind: self.kind(),
            wanted: ty.name().to_owned(),
        };
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) if *ty == Type::BOOL => value.to_sql(ty, out),
            Self::Integer(value) => match *ty {
                Type::INT8 => value.to_sql(ty, out),
                Type::INT4 => i32::try_from(*value).map_err(|_| unfit())?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*value).map_err(|_| unfit())?.to_sql(ty, out),
                _ => Err(unfit().into()),
            },
            Self::Text(value) if <&str as ToSql>::accepts(ty) => value.to_sql(ty, out),
            Self::Bytes(value) if *ty == Type::BYTEA => value.to_sql(ty, out),
            Self::Uuid(value) if *ty == Type::UUID => value.to_sql(ty, out),
            // To SQLite, where a copied row may come from, both are 16 bytes.
            Self::Uuid(value) if *ty == Type::BYTEA => value.as_bytes().as_slice().to_sql(ty, out),
            _ => Err(unfit().into()),
        }
    }

    /// Which value fits which type is seen in [`to_sql`](Self::to_sql), where the value is known.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
