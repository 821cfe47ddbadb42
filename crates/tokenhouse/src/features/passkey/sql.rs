//! The memory of passkeys.

use jiff::Timestamp;
use uuid::Uuid;

use super::Passkey;
use super::browser::Known;
use crate::base::id::UserId;
use crate::base::store::{Executor, FromRow, Row, StoreError, query};

macro_rules! columns {
    () => {
        "id, user_id, credential_id, public_key, sign_count, user_verified, discoverable, backup_eligible, backed_up, \
         transports, aaguid, name, created_at, last_used_at"
    };
}

/// A passkey with what it is checked by.
pub(super) struct Stored {
    pub(super) user: UserId,
    pub(super) credential_id: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) passkey: Passkey,
}

impl Stored {
    pub(super) fn known(self) -> Known {
        Known {
            credential_id: self.credential_id,
            transports: self.passkey.transports,
        }
    }
}

impl FromRow for Stored {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            user: UserId(row.get(1)?),
            credential_id: row.get(2)?,
            public_key: row.get(3)?,
            passkey: Passkey {
                id: row.get(0)?,
                name: row.get(11)?,
                created_at: row.get(12)?,
                last_used_at: row.get(13)?,
                signs_in_alone: row.get::<bool>(5)? && row.get::<bool>(6)?,
                backup_eligible: row.get(7)?,
                backed_up: row.get(8)?,
                transports: row.json(9)?,
                aaguid: row.get(10)?,
            },
        })
    }
}

/// A passkey that has just been made.
pub(super) struct New {
    pub(super) user: UserId,
    pub(super) credential_id: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) sign_count: u32,
    pub(super) user_verified: bool,
    pub(super) discoverable: bool,
    pub(super) passkey: Passkey,
}

const INSERT: &str = concat!(
    "
    INSERT INTO passkeys (",
    columns!(),
    ")
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL)
    ON CONFLICT DO NOTHING"
);

/// Nothing is written where the credential is registered already, by whomever.
pub(super) async fn insert(on: &mut impl Executor, new: &New) -> Result<u64, StoreError> {
    query(INSERT)
        .bind(new.passkey.id)
        .bind(new.user)
        .bind(new.credential_id.clone())
        .bind(new.public_key.clone())
        .bind(i64::from(new.sign_count))
        .bind(new.user_verified)
        .bind(new.discoverable)
        .bind(new.passkey.backup_eligible)
        .bind(new.passkey.backed_up)
        .bind(serde_json::json!(new.passkey.transports).to_string())
        .bind(new.passkey.aaguid)
        .bind(new.passkey.name.as_str())
        .bind(new.passkey.created_at)
        .execute(on)
        .await
}

const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM passkeys WHERE user_id = $1 ORDER BY id LIMIT 1000"
);

pub(super) async fn of_user(
    on: &mut (impl Executor + ?Sized),
    user: UserId,
) -> Result<Vec<Stored>, StoreError> {
    query(OF_USER).bind(user).all(on).await
}

const BY_CREDENTIAL: &str = concat!("SELECT ", columns!(), " FROM passkeys WHERE credential_id = $1");

pub(super) async fn by_credential(
    on: &mut impl Executor,
    credential_id: &[u8],
) -> Result<Option<Stored>, StoreError> {
    query(BY_CREDENTIAL)
        .bind(credential_id.to_vec())
        .optional(on)
        .await
}

const NOTE_USE: &str = "
    UPDATE passkeys
    SET sign_count = $1,
        backed_up = $2,
        user_verified = CASE WHEN $3 THEN $3 ELSE user_verified END,
        discoverable = CASE WHEN $4 THEN $4 ELSE discoverable END,
        last_used_at = $5
    WHERE id = $6 AND (sign_count < $1 OR (sign_count = 0 AND $1 = 0))";

/// Moves the counter on, if it does move: one that stands still or goes back was copied. Authenticators that do not count
/// say zero each time. What it turns out to be able to do, some browsers did not tell when it was made.
pub(super) async fn note_use(
    on: &mut impl Executor,
    id: Uuid,
    sign_count: u32,
    backed_up: bool,
    verified: bool,
    discovered: bool,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(NOTE_USE)
        .bind(i64::from(sign_count))
        .bind(backed_up)
        .bind(verified)
        .bind(discovered)
        .bind(now)
        .bind(id)
        .execute(on)
        .await
}

const RENAME: &str = "UPDATE passkeys SET name = $1 WHERE id = $2 AND user_id = $3";

pub(super) async fn rename(
    on: &mut impl Executor,
    id: Uuid,
    user: UserId,
    name: &str,
) -> Result<u64, StoreError> {
    query(RENAME).bind(name).bind(id).bind(user).execute(on).await
}

const REMOVE: &str = "DELETE FROM passkeys WHERE id = $1 AND user_id = $2";

pub(super) async fn remove(on: &mut impl Executor, id: Uuid, user: UserId) -> Result<u64, StoreError> {
    query(REMOVE).bind(id).bind(user).execute(on).await
}

const REMOVE_SINCE: &str = "DELETE FROM passkeys WHERE user_id = $1 AND created_at >= $2";

pub(super) async fn remove_since(
    on: &mut impl Executor,
    user: UserId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    query(REMOVE_SINCE).bind(user).bind(since).execute(on).await
}

const NAME_USER: &str = "
    INSERT INTO passkey_handles (user_id, handle)
    VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE SET handle = passkey_handles.handle
    RETURNING handle";

/// The handle of the user, which is the first they were given.
pub(super) async fn handle(
    on: &mut impl Executor,
    user: UserId,
    fresh: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let (handle,) = query(NAME_USER).bind(user).bind(fresh.to_vec()).one(on).await?;
    Ok(handle)
}

const HANDLE_OF: &str = "SELECT handle FROM passkey_handles WHERE user_id = $1";

pub(super) async fn handle_of(on: &mut impl Executor, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Vec<u8>,)> = query(HANDLE_OF).bind(user).optional(on).await?;
    Ok(row.map(|(handle,)| handle))
}
