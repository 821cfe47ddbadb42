//! The memory of tickets.

use jiff::Timestamp;

use super::{Key, Pending, Purpose, Ticket};
use crate::base::id::UserId;
use crate::base::store::{Executor, FromRow, Row, StoreError, query};

macro_rules! columns {
    () => {
        "digest, user_id, subject, data, created_at, expires_at"
    };
}

impl FromRow for Ticket {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            key: Key(row.get(0)?),
            user: row.get::<Option<uuid::Uuid>>(1)?.map(UserId),
            subject: row.get(2)?,
            data: row.json(3)?,
            created_at: row.get(4)?,
            expires_at: row.get(5)?,
        })
    }
}

impl FromRow for Pending {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            purpose: row.get(0)?,
            data: row.json(1)?,
            created_at: row.get(2)?,
            expires_at: row.get(3)?,
        })
    }
}

const ALL: &str = "
    SELECT purpose, data, created_at, expires_at
    FROM tickets
    WHERE user_id = $1
    ORDER BY created_at, digest";

pub(super) async fn all(on: &mut impl Executor, user: UserId) -> Result<Vec<Pending>, StoreError> {
    query(ALL).bind(user).all(on).await
}

const INSERT: &str = "
    INSERT INTO tickets (digest, purpose, user_id, subject, code_mac, data, tries, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)";

pub(super) async fn insert(
    on: &mut impl Executor,
    purpose: Purpose,
    ticket: &Ticket,
    code_mac: Option<Vec<u8>>,
) -> Result<u64, StoreError> {
    query(INSERT)
        .bind(ticket.key.0.clone())
        .bind(purpose.0)
        .bind(ticket.user.map(|user| user.0))
        .bind(ticket.subject.as_str())
        .bind(code_mac)
        .bind(ticket.data.to_string())
        .bind(ticket.created_at)
        .bind(ticket.expires_at)
        .execute(on)
        .await
}

const RETIRE_CODES: &str = "
    UPDATE tickets
    SET code_mac = NULL
    WHERE purpose = $1 AND subject = $2 AND code_mac IS NOT NULL";

/// Only the newest code of a subject can be typed, so that asking again gives nobody more tries at once.
pub(super) async fn retire_codes(
    on: &mut impl Executor,
    purpose: Purpose,
    subject: &str,
) -> Result<u64, StoreError> {
    query(RETIRE_CODES)
        .bind(purpose.0)
        .bind(subject)
        .execute(on)
        .await
}

const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tickets WHERE digest = $1 AND purpose = $2 AND expires_at > $3"
);

pub(super) async fn find(
    on: &mut impl Executor,
    purpose: Purpose,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Ticket>, StoreError> {
    query(FIND)
        .bind(key.0.clone())
        .bind(purpose.0)
        .bind(now)
        .optional(on)
        .await
}

const SPEND: &str = concat!(
    "
    DELETE FROM tickets
    WHERE purpose = $1 AND subject = $2
    RETURNING ",
    columns!()
);

/// Takes away every ticket of the subject. Of two who do so together the second finds none left.
pub(super) async fn spend(
    on: &mut impl Executor,
    purpose: Purpose,
    subject: &str,
) -> Result<Vec<Ticket>, StoreError> {
    query(SPEND).bind(purpose.0).bind(subject).all(on).await
}

const COUNT_TRY: &str = concat!(
    "
    UPDATE tickets
    SET tries = tries + 1
    WHERE digest = $1 AND purpose = $2 AND tries < $3 AND expires_at > $4
    RETURNING ",
    columns!()
);

pub(super) async fn count_try(
    on: &mut impl Executor,
    purpose: Purpose,
    key: &Key,
    most: i64,
    now: Timestamp,
) -> Result<Option<Ticket>, StoreError> {
    query(COUNT_TRY)
        .bind(key.0.clone())
        .bind(purpose.0)
        .bind(most)
        .bind(now)
        .optional(on)
        .await
}

const COUNT_CODE_TRY: &str = "
    UPDATE tickets
    SET tries = tries + 1
    WHERE purpose = $1 AND subject = $2 AND code_mac IS NOT NULL AND tries < $3 AND expires_at > $4
    RETURNING digest, code_mac";

/// The codes that may still be typed for the subject, each with one try fewer.
pub(super) async fn count_code_try(
    on: &mut impl Executor,
    purpose: Purpose,
    subject: &str,
    most: i64,
    now: Timestamp,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    query(COUNT_CODE_TRY)
        .bind(purpose.0)
        .bind(subject)
        .bind(most)
        .bind(now)
        .all(on)
        .await
}

const VOID_SINCE: &str = "DELETE FROM tickets WHERE purpose = $1 AND user_id = $2 AND created_at > $3";

pub(super) async fn void_since(
    on: &mut impl Executor,
    purpose: Purpose,
    user: UserId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    query(VOID_SINCE)
        .bind(purpose.0)
        .bind(user)
        .bind(since)
        .execute(on)
        .await
}

const SWEEP: &str = "
    DELETE FROM tickets
    WHERE digest IN (SELECT digest FROM tickets WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)";

pub(super) async fn sweep(on: &mut impl Executor, now: Timestamp) -> Result<u64, StoreError> {
    query(SWEEP).bind(now).execute(on).await
}
