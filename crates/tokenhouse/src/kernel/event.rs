//! What happened: an append-only log, written in the transaction of the change itself, which the audit, the
//! user's recent activity and, later, webhooks read. It never holds a password, hash, token or key.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::store::{Executor, FromRow, ManyRows, Row, Store, StoreError, query};

/// One thing that happened.
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) user: Option<UserId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) address: Option<std::net::IpAddr>,
    pub(crate) data: Value,
}

impl Event {
    pub(crate) fn new(kind: &'static str, at: Timestamp) -> Self {
        Self {
            kind,
            at,
            user: None,
            session: None,
            address: None,
            data: Value::Object(serde_json::Map::new()),
        }
    }

    pub(crate) fn of_user(self, user: UserId) -> Self {
        Self {
            user: Some(user),
            ..self
        }
    }

    pub(crate) fn in_session(self, session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    pub(crate) fn seen_from(self, origin: &Origin) -> Self {
        Self {
            address: origin.address,
            ..self
        }
    }
}

const INSERT: &str = "
    INSERT INTO events (id, at, kind, user_id, session_id, address, data)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Takes part in the transaction of the change.
pub(crate) async fn write(on: &mut impl Executor, entropy: &Entropy, event: Event) -> Result<(), Error> {
    query(INSERT)
        .bind(entropy.ordered_uuid_v7(event.at)?)
        .bind(event.at)
        .bind(event.kind)
        .bind(event.user)
        .bind(event.session)
        .bind(event.address.map(|address| address.to_string()))
        .bind(event.data.to_string())
        .execute(on)
        .await?;
    Ok(())
}

static INSERT_MANY: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO events (id, at, kind, user_id, session_id, address, data) VALUES",
        7,
        "",
    )
});

/// The same for many at once.
pub(crate) async fn write_many(
    on: &mut impl Executor,
    entropy: &Entropy,
    events: impl IntoIterator<Item = Event>,
) -> Result<(), Error> {
    let mut rows = Vec::new();
    for event in events {
        rows.push(vec![
            entropy.ordered_uuid_v7(event.at)?.into(),
            event.at.into(),
            event.kind.into(),
            event.user.into(),
            event.session.into(),
            event.address.map(|address| address.to_string()).into(),
            event.data.to_string().into(),
        ]);
    }
    for insert in INSERT_MANY.of(rows) {
        insert.execute(on).await?;
    }
    Ok(())
}

/// One thing that happened, as it is remembered.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Happened {
    pub(crate) id: uuid::Uuid,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) session_id: Option<uuid::Uuid>,
    pub(crate) address: Option<String>,
    pub(crate) data: serde_json::Map<String, Value>,
}

impl FromRow for Happened {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            kind: row.get(2)?,
            session_id: row.get(3)?,
            address: row.get(4)?,
            data: row.json(5)?,
        })
    }
}

const OF_USER: &str = "
    SELECT id, at, kind, session_id, address, data
    FROM events
    WHERE user_id = $1 AND id < $2
    ORDER BY id DESC
    LIMIT $3";

/// What happened to a user before the event `before`, the last first.
pub(crate) async fn of_user(
    on: &mut impl Executor,
    user: UserId,
    before: Option<uuid::Uuid>,
    most: u32,
) -> Result<Vec<Happened>, Error> {
    Ok(query(OF_USER)
        .bind(user)
        .bind(before.unwrap_or(uuid::Uuid::max()))
        .bind(i64::from(most))
        .all(on)
        .await?)
}

/// Everything that is remembered of a user, the last first.
pub(crate) async fn every_one_of(on: &mut impl Executor, user: UserId) -> Result<Vec<Happened>, Error> {
    of_user(on, user, None, u32::MAX).await
}

const SWEEP: &str = "
    DELETE FROM events
    WHERE id IN (SELECT id FROM events WHERE at < $1 ORDER BY at LIMIT 1000)";

/// Page by page, so that nobody waits long for their turn to write.
pub(crate) async fn sweep(store: &Store, before: Timestamp) -> Result<(), Error> {
    while query(SWEEP).bind(before).execute(&mut store.single()).await? > 0 {}
    Ok(())
}
