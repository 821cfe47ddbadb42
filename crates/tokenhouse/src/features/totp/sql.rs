//! The memory of authenticator apps.

use jiff::Timestamp;

use crate::base::id::UserId;
use crate::base::store::{Executor, StoreError, query};

const BY_USER: &str = "SELECT sealed, last_step FROM totp WHERE user_id = $1";

/// The sealed secret and the last step whose code was used.
pub(super) async fn by_user(
    on: &mut (impl Executor + ?Sized),
    user: UserId,
) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
    query(BY_USER).bind(user).optional(on).await
}

const DATES: &str = "
    SELECT (SELECT confirmed_at FROM totp WHERE user_id = $1),
           (SELECT expires_at FROM totp_enrolments WHERE user_id = $1)";

/// Since when an app is used, and until when one can be confirmed.
pub(super) async fn dates(
    on: &mut impl Executor,
    user: UserId,
) -> Result<(Option<Timestamp>, Option<Timestamp>), StoreError> {
    query(DATES).bind(user).one(on).await
}

const USE_UP: &str = "
    UPDATE totp
    SET last_step = $1
    WHERE user_id = $2 AND last_step < $1";

/// The one statement that decides who of any number used the code of this step.
pub(super) async fn use_up(on: &mut impl Executor, user: UserId, step: i64) -> Result<u64, StoreError> {
    query(USE_UP).bind(step).bind(user).execute(on).await
}

const REPLACE: &str = "
    INSERT INTO totp (user_id, sealed, last_step, confirmed_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE
    SET sealed = excluded.sealed, last_step = excluded.last_step, confirmed_at = excluded.confirmed_at";

pub(super) async fn replace(
    on: &mut impl Executor,
    user: UserId,
    sealed: Vec<u8>,
    step: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(REPLACE)
        .bind(user)
        .bind(sealed)
        .bind(step)
        .bind(now)
        .execute(on)
        .await
}

const REMOVE: &str = "DELETE FROM totp WHERE user_id = $1";

pub(super) async fn remove(on: &mut impl Executor, user: UserId) -> Result<u64, StoreError> {
    query(REMOVE).bind(user).execute(on).await
}

const REMOVE_SINCE: &str = "DELETE FROM totp WHERE user_id = $1 AND confirmed_at >= $2";

pub(super) async fn remove_since(
    on: &mut impl Executor,
    user: UserId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    query(REMOVE_SINCE).bind(user).bind(since).execute(on).await
}

const BEGIN: &str = "
    INSERT INTO totp_enrolments (user_id, sealed, expires_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at";

pub(super) async fn begin(
    on: &mut impl Executor,
    user: UserId,
    sealed: Vec<u8>,
    expires_at: Timestamp,
) -> Result<u64, StoreError> {
    query(BEGIN)
        .bind(user)
        .bind(sealed)
        .bind(expires_at)
        .execute(on)
        .await
}

const BEGUN: &str = "SELECT sealed FROM totp_enrolments WHERE user_id = $1 AND expires_at > $2";

pub(super) async fn begun(
    on: &mut impl Executor,
    user: UserId,
    now: Timestamp,
) -> Result<Option<(Vec<u8>,)>, StoreError> {
    query(BEGUN).bind(user).bind(now).optional(on).await
}

const END: &str = "DELETE FROM totp_enrolments WHERE user_id = $1 AND sealed = $2";

/// Takes the enrolment away, if it is still this one.
pub(super) async fn end(on: &mut impl Executor, user: UserId, sealed: Vec<u8>) -> Result<u64, StoreError> {
    query(END).bind(user).bind(sealed).execute(on).await
}

const SWEEP: &str = "
    DELETE FROM totp_enrolments
    WHERE user_id IN (SELECT user_id FROM totp_enrolments WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)";

pub(super) async fn sweep(on: &mut impl Executor, now: Timestamp) -> Result<u64, StoreError> {
    query(SWEEP).bind(now).execute(on).await
}
