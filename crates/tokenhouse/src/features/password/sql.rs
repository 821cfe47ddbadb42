//! The memory of passwords.

use std::sync::LazyLock;

use jiff::Timestamp;

use crate::base::id::UserId;
use crate::base::store::{Executor, FromRow, ManyRows, Row, StoreError, query};
use crate::kernel::account::{self, User, key};

/// An account somebody wants to be let into.
pub(super) struct Known {
    pub(super) user: User,
    pub(super) hash: Option<String>,
    /// Whether it was chosen by a mail, and shows no more than that somebody reads it.
    pub(super) by_mail: bool,
}

impl FromRow for Known {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            user: User::from_row(row)?,
            hash: row.get(12)?,
            by_mail: row.get::<Option<bool>>(13)? == Some(true),
        })
    }
}

macro_rules! known {
    ($condition:literal) => {
        concat!(
            "
    SELECT id, email, email_verified_at, username, is_superuser, roles, profile, disabled_at, created_at, updated_at,
           last_login_at, epoch, hash, by_mail
    FROM users
    LEFT JOIN passwords ON user_id = id
    WHERE ",
            $condition
        )
    };
}

const BY_EMAIL: &str = known!("email_key = $1");
const BY_USERNAME: &str = known!("username_key = $1");

/// The account that a login means: a name with an `@` is an e-mail address, and no username has one.
pub(super) async fn by_name(on: &mut impl Executor, name: &str) -> Result<Option<Known>, StoreError> {
    let key = key(name);
    if !account::may_be_a_key(&key) {
        return Ok(None);
    }
    query(if key.contains('@') { BY_EMAIL } else { BY_USERNAME })
        .bind(key)
        .optional(on)
        .await
}

const INSERT: &str = "
    INSERT INTO passwords (user_id, hash, changed_at)
    VALUES ($1, $2, $3)";

pub(super) async fn insert(
    on: &mut impl Executor,
    user: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(INSERT).bind(user).bind(hash).bind(now).execute(on).await
}

static INSERT_MANY: LazyLock<ManyRows> =
    LazyLock::new(|| ManyRows::new("INSERT INTO passwords (user_id, hash, changed_at) VALUES", 3, ""));

/// The same for many at once.
pub(super) async fn insert_many(
    on: &mut impl Executor,
    hashes: impl IntoIterator<Item = (UserId, String)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = hashes
        .into_iter()
        .map(|(user, hash)| vec![user.into(), hash.into(), now.into()]);
    for insert in INSERT_MANY.of(rows.collect()) {
        insert.execute(on).await?;
    }
    Ok(())
}

const REPLACE: &str = "
    INSERT INTO passwords (user_id, hash, changed_at, by_mail)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE
    SET hash = excluded.hash, changed_at = excluded.changed_at, by_mail = excluded.by_mail";

pub(super) async fn replace(
    on: &mut impl Executor,
    user: UserId,
    hash: &str,
    by_mail: bool,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(REPLACE)
        .bind(user)
        .bind(hash)
        .bind(now)
        .bind(by_mail)
        .execute(on)
        .await
}

const VOUCH: &str = "UPDATE passwords SET by_mail = FALSE WHERE user_id = $1 AND by_mail";

/// Whoever knows the password has shown something else than the mail too.
pub(super) async fn vouch(on: &mut impl Executor, user: UserId) -> Result<u64, StoreError> {
    query(VOUCH).bind(user).execute(on).await
}

const DELETE: &str = "DELETE FROM passwords WHERE user_id = $1";

pub(super) async fn delete(on: &mut impl Executor, user: UserId) -> Result<u64, StoreError> {
    query(DELETE).bind(user).execute(on).await
}

const UPGRADE: &str = "
    UPDATE passwords
    SET hash = $1
    WHERE user_id = $2 AND hash = $3";

/// The same password under today's costs, unless it was changed in the meantime.
pub(super) async fn upgrade(
    on: &mut impl Executor,
    user: UserId,
    new: &str,
    old: &str,
) -> Result<u64, StoreError> {
    query(UPGRADE).bind(new).bind(user).bind(old).execute(on).await
}

const CHANGED_AT: &str = "SELECT changed_at FROM passwords WHERE user_id = $1";

pub(super) async fn changed_at(
    on: &mut (impl Executor + ?Sized),
    user: UserId,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(Timestamp,)> = query(CHANGED_AT).bind(user).optional(on).await?;
    Ok(row.map(|(at,)| at))
}
