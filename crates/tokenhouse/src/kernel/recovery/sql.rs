//! The memory of recovery codes.

use jiff::Timestamp;

use crate::base::id::UserId;
use crate::base::store::{Executor, StoreError, query};

const INSERT: &str = "
    INSERT INTO recovery_codes (user_id, digest, created_at)
    VALUES ($1, $2, $3)";

pub(super) async fn insert(
    on: &mut impl Executor,
    user: UserId,
    digest: Vec<u8>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(INSERT).bind(user).bind(digest).bind(now).execute(on).await
}

const SPEND: &str = "
    UPDATE recovery_codes
    SET used_at = $1
    WHERE user_id = $2 AND digest = $3 AND used_at IS NULL";

/// The one statement that decides who of any number used the code.
pub(super) async fn spend(
    on: &mut impl Executor,
    user: UserId,
    digest: Vec<u8>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(SPEND).bind(now).bind(user).bind(digest).execute(on).await
}

const LEFT: &str = "
    SELECT COUNT(*)
    FROM recovery_codes
    WHERE user_id = $1 AND used_at IS NULL";

pub(super) async fn left(on: &mut (impl Executor + ?Sized), user: UserId) -> Result<i64, StoreError> {
    let (left,) = query(LEFT).bind(user).one(on).await?;
    Ok(left)
}

const ALL: &str = "
    SELECT created_at, used_at
    FROM recovery_codes
    WHERE user_id = $1
    ORDER BY used_at IS NULL, used_at";

/// When each was made and used, those that were used first.
pub(super) async fn all(
    on: &mut impl Executor,
    user: UserId,
) -> Result<Vec<(Timestamp, Option<Timestamp>)>, StoreError> {
    query(ALL).bind(user).all(on).await
}

const REMOVE_SINCE: &str = "DELETE FROM recovery_codes WHERE user_id = $1 AND created_at >= $2";

pub(super) async fn remove_since(
    on: &mut impl Executor,
    user: UserId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    query(REMOVE_SINCE).bind(user).bind(since).execute(on).await
}

const REMOVE: &str = "DELETE FROM recovery_codes WHERE user_id = $1";

pub(super) async fn remove(on: &mut impl Executor, user: UserId) -> Result<u64, StoreError> {
    query(REMOVE).bind(user).execute(on).await
}
