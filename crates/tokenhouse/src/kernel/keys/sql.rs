//! The memory of the keyring.

use jiff::Timestamp;
use tokenhouse_verify::Algorithm;

use crate::base::store::{Executor, FromRow, Row, StoreError, query};

/// A key as it lies in the database.
pub(super) struct KeyRow {
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) state: String,
    pub(super) sealed: Vec<u8>,
    pub(super) created_at: Timestamp,
    pub(super) activated_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
}

impl FromRow for KeyRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            kid: row.get(0)?,
            algorithm: row.get(1)?,
            state: row.get(2)?,
            sealed: row.get(3)?,
            created_at: row.get(4)?,
            activated_at: row.get(5)?,
            expires_at: row.get(6)?,
        })
    }
}

const ALL: &str = "
    SELECT kid, algorithm, state, sealed, created_at, activated_at, expires_at
    FROM signing_keys
    ORDER BY created_at, kid";

pub(super) async fn all(on: &mut impl Executor) -> Result<Vec<KeyRow>, StoreError> {
    query(ALL).all(on).await
}

const EXISTS: &str = "SELECT (SELECT COUNT(*) FROM signing_keys) + (SELECT COUNT(*) FROM key_slots)";

/// Whether there is anything that the master key must open.
pub(super) async fn any(on: &mut impl Executor) -> Result<bool, StoreError> {
    let (count,): (i64,) = query(EXISTS).one(on).await?;
    Ok(count > 0)
}

const RETIRE_ACTIVE: &str = "
    UPDATE signing_keys
    SET state = 'retired', retired_at = $1, expires_at = $2
    WHERE state = 'active' AND kid <> $3 AND activated_at <= $4";

/// Nobody signs with it any more, and its last token is dead at `expires_at`; nothing where the key that signs began
/// after `activated_before`.
pub(super) async fn retire_active(
    on: &mut impl Executor,
    now: Timestamp,
    expires_at: Timestamp,
    except: &str,
    activated_before: Timestamp,
) -> Result<u64, StoreError> {
    query(RETIRE_ACTIVE)
        .bind(now)
        .bind(expires_at)
        .bind(except)
        .bind(activated_before)
        .execute(on)
        .await
}

const DROP_NEXT: &str = "DELETE FROM signing_keys WHERE state = 'next' AND kid <> $1";

/// A key that never signed can simply go.
pub(super) async fn drop_next(on: &mut impl Executor, except: &str) -> Result<u64, StoreError> {
    query(DROP_NEXT).bind(except).execute(on).await
}

const ACTIVATE: &str = "
    UPDATE signing_keys
    SET state = 'active', activated_at = $1, retired_at = NULL, expires_at = NULL
    WHERE kid = $2 AND state <> 'active'";

pub(super) async fn activate(on: &mut impl Executor, now: Timestamp, kid: &str) -> Result<u64, StoreError> {
    query(ACTIVATE).bind(now).bind(kid).execute(on).await
}

const PROMOTE: &str = "
    UPDATE signing_keys
    SET state = 'active', activated_at = $1
    WHERE kid = $2 AND state = 'next'";

/// The key that was published ahead begins to sign; nothing where others have rotated it away since it was read.
pub(super) async fn promote(on: &mut impl Executor, now: Timestamp, kid: &str) -> Result<u64, StoreError> {
    query(PROMOTE).bind(now).bind(kid).execute(on).await
}

const INSERT: &str = "
    INSERT INTO signing_keys (kid, algorithm, state, sealed, public_jwk, created_at, activated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING";

/// A new key; 0 when it is there already, or another node was faster to fill its place.
pub(super) async fn insert(
    on: &mut impl Executor,
    key: &super::SigningKey,
    state: &'static str,
    sealed: Vec<u8>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let algorithm: Algorithm = key.algorithm();
    let public = key.public().and_then(|jwk| serde_json::to_string(jwk).ok());
    query(INSERT)
        .bind(key.kid())
        .bind(algorithm.to_string())
        .bind(state)
        .bind(sealed)
        .bind(public)
        .bind(now)
        .bind((state == "active").then_some(now))
        .execute(on)
        .await
}

const SWEEP: &str = "DELETE FROM signing_keys WHERE state = 'retired' AND expires_at < $1";

pub(super) async fn sweep(on: &mut impl Executor, now: Timestamp) -> Result<u64, StoreError> {
    query(SWEEP).bind(now).execute(on).await
}
