//! The memory of sessions.

use jiff::Timestamp;
use serde_json::Map;

use super::{Ended, Seen, Session};
use crate::base::id::{SessionId, UserId};
use crate::base::store::{EngineKind, Executor, FromRow, Row, Store, StoreError, query};
use crate::kernel::account::{self, User};

/// As many as [`columns`] names.
const COLUMNS: usize = 14;

macro_rules! columns {
    ($of:literal) => {
        concat!(
            $of,
            "id, ",
            $of,
            "user_id, ",
            $of,
            "client_id, ",
            $of,
            "scope, ",
            $of,
            "method, ",
            $of,
            "generation, ",
            $of,
            "created_at, ",
            $of,
            "rotated_at, ",
            $of,
            "expires_at, ",
            $of,
            "revoked_at, ",
            $of,
            "address, ",
            $of,
            "user_agent, ",
            $of,
            "proved_at, ",
            $of,
            "claims"
        )
    };
}

impl FromRow for Session {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: SessionId(row.get(0)?),
            user_id: UserId(row.get(1)?),
            client_id: row.get(2)?,
            scope: row.get(3)?,
            method: row.get(4)?,
            generation: row.get(5)?,
            created_at: row.get(6)?,
            rotated_at: row.get(7)?,
            expires_at: row.get(8)?,
            revoked_at: row.get(9)?,
            address: row.get(10)?,
            user_agent: row.get(11)?,
            proved_at: row.get(12)?,
            claims: match row.get::<Option<String>>(13)? {
                None => Map::new(),
                Some(_) => row.json(13)?,
            },
        })
    }
}

impl FromRow for Seen {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            network: row.get(0)?,
            user_agent: row.get(1)?,
        })
    }
}

const INSERT: &str = "
    INSERT INTO sessions (id, user_id, client_id, scope, method, generation, created_at, rotated_at, expires_at,
                          address, network, user_agent, proved_at, claims)
    VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13)";

pub(super) async fn insert(
    on: &mut impl Executor,
    session: &Session,
    network: Option<String>,
) -> Result<u64, StoreError> {
    query(INSERT)
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.client_id.as_deref())
        .bind(session.scope.as_str())
        .bind(session.method.as_str())
        .bind(session.created_at)
        .bind(session.rotated_at)
        .bind(session.expires_at)
        .bind(session.address.as_deref())
        .bind(network)
        .bind(session.user_agent.as_deref())
        .bind(session.proved_at)
        .bind((!session.claims.is_empty()).then(|| serde_json::json!(session.claims).to_string()))
        .execute(on)
        .await
}

const PROVE: &str = "
    UPDATE sessions
    SET proved_at = $1
    WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL AND expires_at > $1";

/// The user of this session has just proven again who they are.
pub(super) async fn prove(
    on: &mut impl Executor,
    id: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(PROVE).bind(now).bind(id).bind(user).execute(on).await
}

/// A session with its user.
struct Owned(Session, User);

impl FromRow for Owned {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(Session::from_row(row)?, User::from_row(&row.from(COLUMNS))?))
    }
}

macro_rules! rotate {
    ($from:literal, $where:literal, $returning:expr) => {
        concat!(
            "
    UPDATE sessions
    SET generation = generation + 1, rotated_at = $1
    ",
            $from,
            "
    WHERE sessions.id = $2
      AND generation = $3
      AND revoked_at IS NULL
      AND expires_at > $1
      AND rotated_at > $4
      ",
            $where,
            "
    RETURNING ",
            $returning
        )
    };
}

const ROTATE: &str = rotate!("", "", columns!(""));

/// SQLite returns no columns of the table after `FROM`; PostgreSQL is spared a statement.
const ROTATE_WITH_USER: &str = rotate!(
    "FROM users",
    "AND users.id = user_id",
    concat!(columns!("sessions."), ", ", account::columns!("users."))
);

/// The one statement that decides who of any number of presenters refreshed. With the user, where that costs no
/// statement more.
pub(super) async fn rotate(
    store: &Store,
    id: SessionId,
    generation: i64,
    idle_since: Timestamp,
    now: Timestamp,
) -> Result<Option<(Session, Option<User>)>, StoreError> {
    let rotate = |sql| query(sql).bind(now).bind(id).bind(generation).bind(idle_since);
    match store.engine() {
        EngineKind::Sqlite => {
            let rotated: Option<Session> = rotate(ROTATE).optional(&mut store.single()).await?;
            Ok(rotated.map(|session| (session, None)))
        }
        EngineKind::Postgres => {
            let rotated: Option<Owned> = rotate(ROTATE_WITH_USER).optional(&mut store.single()).await?;
            Ok(rotated.map(|Owned(session, user)| (session, Some(user))))
        }
    }
}

const BY_ID: &str = concat!("SELECT ", columns!(""), " FROM sessions WHERE id = $1");

pub(super) async fn by_id(on: &mut impl Executor, id: SessionId) -> Result<Option<Session>, StoreError> {
    query(BY_ID).bind(id).optional(on).await
}

const TOUCH: &str = "
    UPDATE sessions
    SET rotated_at = $1
    WHERE id = $2 AND revoked_at IS NULL AND rotated_at <= $3";

/// Notes that the session was used, unless that was noted since `before`.
pub(super) async fn touch(
    on: &mut impl Executor,
    id: SessionId,
    before: Timestamp,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(TOUCH).bind(now).bind(id).bind(before).execute(on).await
}

const LIVE: &str = concat!(
    "SELECT ",
    columns!(""),
    "
    FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND rotated_at > $3
    ORDER BY rotated_at DESC, id DESC
    LIMIT 1000"
);

pub(super) async fn live(
    on: &mut impl Executor,
    user: UserId,
    idle_since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    query(LIVE).bind(user).bind(now).bind(idle_since).all(on).await
}

const ALL: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM sessions WHERE user_id = $1 ORDER BY id DESC"
);

/// Every session of the user that is remembered, over or not.
pub(super) async fn all(on: &mut impl Executor, user: UserId) -> Result<Vec<Session>, StoreError> {
    query(ALL).bind(user).all(on).await
}

const BEYOND: &str = "
    SELECT id
    FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND rotated_at > $3
    ORDER BY rotated_at DESC, id DESC
    LIMIT 100 OFFSET $4";

/// The sessions longest unused, beyond the `most` that may stay.
pub(super) async fn beyond(
    on: &mut impl Executor,
    user: UserId,
    most: u32,
    idle_since: Timestamp,
    now: Timestamp,
) -> Result<Vec<(uuid::Uuid,)>, StoreError> {
    query(BEYOND)
        .bind(user)
        .bind(now)
        .bind(idle_since)
        .bind(i64::from(most))
        .all(on)
        .await
}

const KNOWN_NETWORK: &str = "
    SELECT 1
    FROM sessions
    WHERE user_id = $1 AND network = $2
    LIMIT 1";

/// Whether the user has logged in from there before, as far as sessions are remembered.
pub(super) async fn known_network(
    on: &mut impl Executor,
    user: UserId,
    network: &str,
) -> Result<bool, StoreError> {
    let one: Option<(i64,)> = query(KNOWN_NETWORK).bind(user).bind(network).optional(on).await?;
    Ok(one.is_some())
}

const SEEN_BEFORE: &str = "
    SELECT network, user_agent
    FROM sessions
    WHERE user_id = $1 AND id <> $2
    ORDER BY id DESC
    LIMIT 200";

pub(super) async fn seen_before(
    on: &mut impl Executor,
    user: UserId,
    except: SessionId,
) -> Result<Vec<Seen>, StoreError> {
    query(SEEN_BEFORE).bind(user).bind(except).all(on).await
}

const END: &str = "
    UPDATE sessions
    SET revoked_at = $1
    WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL
    RETURNING rotated_at";

pub(super) async fn end(
    on: &mut impl Executor,
    id: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<(Timestamp,)>, StoreError> {
    query(END).bind(now).bind(id).bind(user).optional(on).await
}

const END_ALL: &str = "
    UPDATE sessions
    SET revoked_at = $1
    WHERE user_id = $2 AND revoked_at IS NULL AND id <> $3
    RETURNING id, rotated_at";

/// Ends every session of the user but `except`; gives those that were not over before.
pub(super) async fn end_all(
    on: &mut impl Executor,
    user: UserId,
    except: SessionId,
    now: Timestamp,
) -> Result<Vec<(uuid::Uuid, Timestamp)>, StoreError> {
    query(END_ALL).bind(now).bind(user).bind(except).all(on).await
}

const REVOKE: &str = "
    INSERT INTO revocations (id, revoked_at, forget_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (id) DO NOTHING";

/// Tells every node, through the database, that access tokens of this session are dead.
pub(super) async fn revoke(
    on: &mut impl Executor,
    session: &Ended,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(REVOKE)
        .bind(session.id)
        .bind(now)
        .bind(session.forget_at)
        .execute(on)
        .await
}

const REVOKED_SINCE: &str = "
    SELECT id, forget_at
    FROM revocations
    WHERE revoked_at > $1 AND forget_at > $2";

pub(super) async fn revoked_since(
    on: &mut impl Executor,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<(uuid::Uuid, Timestamp)>, StoreError> {
    query(REVOKED_SINCE).bind(since).bind(now).all(on).await
}

const SWEEP_REVOCATIONS: &str = "
    DELETE FROM revocations
    WHERE id IN (SELECT id FROM revocations WHERE forget_at < $1 LIMIT 1000)";

pub(super) async fn sweep_revocations(on: &mut impl Executor, now: Timestamp) -> Result<u64, StoreError> {
    query(SWEEP_REVOCATIONS).bind(now).execute(on).await
}

const PAGE_END: &str = "
    SELECT id
    FROM sessions
    WHERE id > $1
    ORDER BY id
    LIMIT 1 OFFSET 999";

const SWEEP_PAGE: &str = "
    DELETE FROM sessions
    WHERE id > $1 AND id <= $2 AND (expires_at < $3 OR rotated_at < $4)";

/// Removes what is over from the thousand sessions that follow `after`; gives where to go on. Pages, and no
/// index on the times: a refresh changes them, and would have to change the index too.
pub(super) async fn sweep_page(
    on: &mut impl Executor,
    after: SessionId,
    idle_since: Timestamp,
    now: Timestamp,
) -> Result<Option<SessionId>, StoreError> {
    let end: Option<(uuid::Uuid,)> = query(PAGE_END).bind(after).optional(on).await?;
    let last = end.map_or(uuid::Uuid::max(), |(id,)| id);
    query(SWEEP_PAGE)
        .bind(after)
        .bind(last)
        .bind(now)
        .bind(idle_since)
        .execute(on)
        .await?;
    Ok(end.map(|(id,)| SessionId(id)))
}
