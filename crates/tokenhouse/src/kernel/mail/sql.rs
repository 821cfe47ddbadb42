//! The memory of mail that goes out.

use jiff::Timestamp;
use uuid::Uuid;

use super::{MailState, Outgoing};
use crate::base::store::{Executor, FromRow, Row, StoreError, query};

/// A mail somebody has taken on to send.
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) address: String,
    pub(super) sealed: Vec<u8>,
    /// Counts this attempt, and is the proof of having it.
    pub(super) attempts: i64,
    pub(super) created_at: Timestamp,
    pub(super) give_up_at: Timestamp,
}

impl FromRow for Claimed {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            address: row.get(2)?,
            sealed: row.get::<Option<Vec<u8>>>(3)?.unwrap_or_default(),
            attempts: row.get(4)?,
            created_at: row.get(5)?,
            give_up_at: row.get(6)?,
        })
    }
}

impl FromRow for Outgoing {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let state: String = row.get(3)?;
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            address: row.get(2)?,
            state: MailState::parse(&state).ok_or_else(|| row.invalid("the state is none"))?,
            attempts: row.get(4)?,
            created_at: row.get(5)?,
            due_at: row.get(6)?,
            ended_at: row.get(7)?,
            error: row.get(8)?,
        })
    }
}

/// A mail that is to be written down.
pub(super) struct New<'a> {
    pub(super) id: Uuid,
    pub(super) kind: &'a str,
    pub(super) address: &'a str,
    pub(super) sealed: Vec<u8>,
    pub(super) give_up_at: Timestamp,
}

const INSERT: &str = "
    INSERT INTO outbox (id, kind, address, sealed, state, attempts, created_at, due_at, give_up_at)
    VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $5, $6)";

pub(super) async fn insert(on: &mut impl Executor, new: New<'_>, now: Timestamp) -> Result<u64, StoreError> {
    query(INSERT)
        .bind(new.id)
        .bind(new.kind)
        .bind(new.address)
        .bind(new.sealed)
        .bind(now)
        .bind(new.give_up_at)
        .execute(on)
        .await
}

const IS_ANY_DUE: &str = "SELECT 1 FROM outbox WHERE state = 'waiting' AND due_at <= $1 LIMIT 1";

/// Asked first, since it keeps nobody from writing.
pub(super) async fn is_any_due(on: &mut impl Executor, now: Timestamp) -> Result<bool, StoreError> {
    let one: Option<(i64,)> = query(IS_ANY_DUE).bind(now).optional(on).await?;
    Ok(one.is_some())
}

const CLAIM: &str = "
    UPDATE outbox
    SET due_at = $1, attempts = attempts + 1
    WHERE id = (SELECT id FROM outbox WHERE state = 'waiting' AND due_at <= $2 ORDER BY due_at, id LIMIT 1)
      AND state = 'waiting'
      AND due_at <= $2
    RETURNING id, kind, address, sealed, attempts, created_at, give_up_at";

/// Takes the mail longest due, for nobody else to send until `leased_until`. The guard stands twice: of two nodes
/// that found the same mail the second sees, once the first has committed, that it is due no more.
pub(super) async fn claim(
    on: &mut impl Executor,
    leased_until: Timestamp,
    now: Timestamp,
) -> Result<Option<Claimed>, StoreError> {
    query(CLAIM).bind(leased_until).bind(now).optional(on).await
}

const SENT: &str = "
    UPDATE outbox
    SET state = 'sent', sealed = NULL, ended_at = $1, error = NULL
    WHERE id = $2 AND attempts = $3 AND state = 'waiting'";

pub(super) async fn sent(on: &mut impl Executor, mail: &Claimed, now: Timestamp) -> Result<u64, StoreError> {
    query(SENT)
        .bind(now)
        .bind(mail.id)
        .bind(mail.attempts)
        .execute(on)
        .await
}

const DEFER: &str = "
    UPDATE outbox
    SET due_at = $1, error = $2
    WHERE id = $3 AND attempts = $4 AND state = 'waiting'";

pub(super) async fn defer(
    on: &mut impl Executor,
    mail: &Claimed,
    until: Timestamp,
    error: &str,
) -> Result<u64, StoreError> {
    query(DEFER)
        .bind(until)
        .bind(error)
        .bind(mail.id)
        .bind(mail.attempts)
        .execute(on)
        .await
}

const BURY: &str = "
    UPDATE outbox
    SET state = 'dead', ended_at = $1, error = $2
    WHERE id = $3 AND attempts = $4 AND state = 'waiting'";

pub(super) async fn bury(
    on: &mut impl Executor,
    mail: &Claimed,
    error: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(BURY)
        .bind(now)
        .bind(error)
        .bind(mail.id)
        .bind(mail.attempts)
        .execute(on)
        .await
}

const DROP: &str = "DELETE FROM outbox WHERE id = $1 AND attempts = $2";

pub(super) async fn drop_decoy(on: &mut impl Executor, mail: &Claimed) -> Result<u64, StoreError> {
    query(DROP).bind(mail.id).bind(mail.attempts).execute(on).await
}

const REVIVE: &str = "
    UPDATE outbox
    SET state = 'waiting', attempts = 0, due_at = $1, give_up_at = $2, ended_at = NULL
    WHERE id = $3 AND state = 'dead'";

pub(super) async fn revive(
    on: &mut impl Executor,
    id: Uuid,
    give_up_at: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(REVIVE)
        .bind(now)
        .bind(give_up_at)
        .bind(id)
        .execute(on)
        .await
}

const REVIVE_ALL: &str = "
    UPDATE outbox
    SET state = 'waiting', attempts = 0, due_at = $1, give_up_at = $2, ended_at = NULL
    WHERE state = 'dead'";

pub(super) async fn revive_all(
    on: &mut impl Executor,
    give_up_at: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(REVIVE_ALL).bind(now).bind(give_up_at).execute(on).await
}

macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "
    SELECT id, kind, address, state, attempts, created_at, due_at, ended_at, error
    FROM outbox
    ",
            $condition,
            "
    ORDER BY id DESC
    LIMIT "
        )
    };
}

const LIST: &str = concat!(listed!(""), "$1");
const LIST_OF_STATE: &str = concat!(listed!("WHERE state = $1"), "$2");

/// The newest first.
pub(super) async fn list(
    on: &mut impl Executor,
    state: Option<MailState>,
    limit: u32,
) -> Result<Vec<Outgoing>, StoreError> {
    match state {
        Some(state) => query(LIST_OF_STATE).bind(state.as_str()),
        None => query(LIST),
    }
    .bind(i64::from(limit))
    .all(on)
    .await
}

const TO: &str = "
    SELECT id, kind, address, state, attempts, created_at, due_at, ended_at, error
    FROM outbox
    WHERE address = $1
    ORDER BY id DESC";

/// Those to this address, the newest first.
pub(super) async fn to(on: &mut impl Executor, address: &str) -> Result<Vec<Outgoing>, StoreError> {
    query(TO).bind(address).all(on).await
}

const COUNT: &str = "
    SELECT (SELECT COUNT(*) FROM outbox WHERE state = 'waiting'), (SELECT COUNT(*) FROM outbox WHERE state = 'dead')";

/// Those that wait, and those that were given up.
pub(super) async fn count(on: &mut impl Executor) -> Result<(i64, i64), StoreError> {
    query(COUNT).one(on).await
}

const SWEEP: &str = "
    DELETE FROM outbox
    WHERE id IN (SELECT id FROM outbox WHERE state <> 'waiting' AND ended_at < $1 ORDER BY ended_at LIMIT 1000)";

pub(super) async fn sweep(on: &mut impl Executor, before: Timestamp) -> Result<u64, StoreError> {
    query(SWEEP).bind(before).execute(on).await
}
