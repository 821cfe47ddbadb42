//! The memory of accounts.

use std::collections::HashSet;
use std::sync::LazyLock;

use jiff::Timestamp;

use super::{Email, MovingUser, NewUser, User, UserChange};
use crate::base::id::UserId;
use crate::base::store::{Executor, FromRow, ManyRows, Row, StoreError, Value, query};

/// The columns of a [`User`], in the order that [`FromRow`] reads them, each after the name of the table if need be.
macro_rules! columns {
    ($of:literal) => {
        concat!(
            $of,
            "id, ",
            $of,
            "email, ",
            $of,
            "email_verified_at, ",
            $of,
            "username, ",
            $of,
            "is_superuser, ",
            $of,
            "roles, ",
            $of,
            "profile, ",
            $of,
            "disabled_at, ",
            $of,
            "created_at, ",
            $of,
            "updated_at, ",
            $of,
            "last_login_at, ",
            $of,
            "epoch"
        )
    };
}
pub(crate) use columns;

impl FromRow for User {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId(row.get(0)?),
            email: row.get(1)?,
            email_verified: row.get::<Option<Timestamp>>(2)?.is_some(),
            username: row.get(3)?,
            is_superuser: row.get(4)?,
            roles: row.json(5)?,
            profile: row.json(6)?,
            is_active: row.get::<Option<Timestamp>>(7)?.is_none(),
            created_at: row.get(8)?,
            updated_at: row.get(9)?,
            last_login_at: row.get(10)?,
            epoch: row.get(11)?,
        })
    }
}

const INSERT: &str = concat!(
    "
    INSERT INTO users (id, email, email_key, email_verified_at, username, username_key, is_superuser, roles, profile,
                       created_at, updated_at, epoch)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)
    ON CONFLICT DO NOTHING
    RETURNING ",
    columns!("")
);

/// The new user, or nothing where a name is taken.
pub(super) async fn insert(
    on: &mut impl Executor,
    id: UserId,
    new: &NewUser,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(INSERT)
        .bind(id)
        .bind(new.email.as_ref().map(|email| email.as_str()))
        .bind(new.email.as_ref().map(|email| email.key()))
        .bind((new.email_verified && new.email.is_some()).then_some(now))
        .bind(new.username.as_ref().map(|username| username.as_str()))
        .bind(new.username.as_ref().map(|username| username.key()))
        .bind(new.is_superuser)
        .bind(serde_json::json!(new.roles).to_string())
        .bind(serde_json::json!(new.profile).to_string())
        .bind(now)
        .bind(now)
        .optional(on)
        .await
}

static INSERT_MANY: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO users (id, email, email_key, email_verified_at, username, username_key, is_superuser, roles,
                            profile, disabled_at, created_at, updated_at, epoch) VALUES",
        13,
        "ON CONFLICT DO NOTHING RETURNING id",
    )
});

/// The ids of those that were inserted: whose name or id is taken is left out.
pub(super) async fn insert_many(
    on: &mut impl Executor,
    users: &[MovingUser],
    now: Timestamp,
) -> Result<HashSet<UserId>, StoreError> {
    let row = |moving: &MovingUser| -> Vec<Value> {
        let new = &moving.new;
        vec![
            moving.id.into(),
            new.email.as_ref().map(|email| email.as_str()).into(),
            new.email.as_ref().map(|email| email.key()).into(),
            (new.email_verified && new.email.is_some()).then_some(now).into(),
            new.username.as_ref().map(|username| username.as_str()).into(),
            new.username.as_ref().map(|username| username.key()).into(),
            new.is_superuser.into(),
            serde_json::json!(new.roles).to_string().into(),
            serde_json::json!(new.profile).to_string().into(),
            (!moving.is_active).then_some(now).into(),
            moving.created_at.into(),
            now.into(),
            0_i64.into(),
        ]
    };
    let mut inserted = HashSet::with_capacity(users.len());
    for insert in INSERT_MANY.of(users.iter().map(row).collect()) {
        let ids: Vec<(uuid::Uuid,)> = insert.all(on).await?;
        inserted.extend(ids.into_iter().map(|(id,)| UserId(id)));
    }
    Ok(inserted)
}

const BY_ID: &str = concat!("SELECT ", columns!(""), " FROM users WHERE id = $1");

pub(super) async fn by_id(on: &mut impl Executor, id: UserId) -> Result<Option<User>, StoreError> {
    query(BY_ID).bind(id).optional(on).await
}

const BY_EMAIL: &str = concat!("SELECT ", columns!(""), " FROM users WHERE email_key = $1");

pub(super) async fn by_email(on: &mut impl Executor, key: &str) -> Result<Option<User>, StoreError> {
    query(BY_EMAIL).bind(key).optional(on).await
}

const BY_USERNAME: &str = concat!("SELECT ", columns!(""), " FROM users WHERE username_key = $1");

pub(super) async fn by_username(on: &mut impl Executor, key: &str) -> Result<Option<User>, StoreError> {
    query(BY_USERNAME).bind(key).optional(on).await
}

const PAGE: &str = concat!(
    "SELECT ",
    columns!(""),
    " FROM users WHERE id > $1 ORDER BY id LIMIT $2"
);

pub(super) async fn page(on: &mut impl Executor, after: UserId, limit: u32) -> Result<Vec<User>, StoreError> {
    query(PAGE).bind(after).bind(i64::from(limit)).all(on).await
}

const UPDATE: &str = concat!(
    "
    UPDATE users
    SET username = COALESCE($1, username),
        username_key = COALESCE($2, username_key),
        profile = COALESCE($3, profile),
        updated_at = $4
    WHERE id = $5
      AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.username_key = $2 AND other.id <> $5)
    RETURNING ",
    columns!("")
);

/// The changed user; nothing where there is none, or the name is another's.
pub(super) async fn update(
    on: &mut impl Executor,
    id: UserId,
    change: &UserChange,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(UPDATE)
        .bind(change.username.as_ref().map(|username| username.as_str()))
        .bind(change.username.as_ref().map(|username| username.key()))
        .bind(
            change
                .profile
                .as_ref()
                .map(|profile| serde_json::json!(profile).to_string()),
        )
        .bind(now)
        .bind(id)
        .optional(on)
        .await
}

const NOTE_LOGIN: &str = concat!(
    "
    UPDATE users
    SET last_login_at = $1
    WHERE id = $2 AND epoch = $3 AND disabled_at IS NULL
    RETURNING ",
    columns!("")
);

pub(super) async fn note_login(
    on: &mut impl Executor,
    id: UserId,
    epoch: i64,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(NOTE_LOGIN)
        .bind(now)
        .bind(id)
        .bind(epoch)
        .optional(on)
        .await
}

const HOLD: &str = "
    UPDATE users
    SET epoch = epoch
    WHERE id = $1 AND epoch = $2 AND disabled_at IS NULL";

/// Changes nothing, but nobody else changes the account before this transaction ends.
pub(super) async fn hold(on: &mut impl Executor, id: UserId, epoch: i64) -> Result<u64, StoreError> {
    query(HOLD).bind(id).bind(epoch).execute(on).await
}

const BUMP_EPOCH: &str = "
    UPDATE users
    SET epoch = epoch + 1, updated_at = $1
    WHERE id = $2 AND epoch = $3";

pub(super) async fn bump_epoch(
    on: &mut impl Executor,
    id: UserId,
    epoch: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    query(BUMP_EPOCH).bind(now).bind(id).bind(epoch).execute(on).await
}

const SET_ACTIVE: &str = concat!(
    "
    UPDATE users
    SET disabled_at = $1, updated_at = $2, epoch = epoch + 1
    WHERE id = $3
    RETURNING ",
    columns!("")
);

pub(super) async fn set_active(
    on: &mut impl Executor,
    id: UserId,
    active: bool,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(SET_ACTIVE)
        .bind((!active).then_some(now))
        .bind(now)
        .bind(id)
        .optional(on)
        .await
}

const VERIFY_EMAIL: &str = concat!(
    "
    UPDATE users
    SET email_verified_at = COALESCE(email_verified_at, $1), updated_at = $1
    WHERE id = $2 AND email_key = $3 AND disabled_at IS NULL
    RETURNING ",
    columns!("")
);

/// Nothing where the account has another address by now.
pub(super) async fn verify_email(
    on: &mut impl Executor,
    id: UserId,
    key: &str,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(VERIFY_EMAIL)
        .bind(now)
        .bind(id)
        .bind(key)
        .optional(on)
        .await
}

const EMAIL_VERIFIED_AT: &str = "SELECT email_verified_at FROM users WHERE id = $1";

pub(super) async fn email_verified_at(
    on: &mut impl Executor,
    id: UserId,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(Option<Timestamp>,)> = query(EMAIL_VERIFIED_AT).bind(id).optional(on).await?;
    Ok(row.and_then(|(at,)| at))
}

const GIVE_UP_EMAIL: &str = "
    UPDATE users
    SET email = NULL,
        email_key = CASE WHEN username_key IS NULL THEN $1 ELSE NULL END,
        updated_at = $2,
        epoch = epoch + 1
    WHERE email_key = $3 AND email_verified_at IS NULL AND id <> $4
    RETURNING id";

pub(super) async fn give_up_email(
    on: &mut impl Executor,
    key: &str,
    to: UserId,
    stand_in: &str,
    now: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    let row: Option<(uuid::Uuid,)> = query(GIVE_UP_EMAIL)
        .bind(stand_in)
        .bind(now)
        .bind(key)
        .bind(to)
        .optional(on)
        .await?;
    Ok(row.map(|(id,)| UserId(id)))
}

const SET_EMAIL: &str = concat!(
    "
    UPDATE users
    SET email = $1, email_key = $2, email_verified_at = $3, updated_at = $3, epoch = epoch + 1
    WHERE id = $4
      AND epoch = $5
      AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.email_key = $2 AND other.id <> $4)
    RETURNING ",
    columns!("")
);

/// The changed user; nothing where the account was changed since it was read, or the address is another's.
pub(super) async fn set_email(
    on: &mut impl Executor,
    id: UserId,
    epoch: i64,
    new: &Email,
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(SET_EMAIL)
        .bind(new.as_str())
        .bind(new.key())
        .bind(now)
        .bind(id)
        .bind(epoch)
        .optional(on)
        .await
}

const SET_RIGHTS: &str = concat!(
    "
    UPDATE users
    SET is_superuser = $1, roles = $2, updated_at = $3
    WHERE id = $4
    RETURNING ",
    columns!("")
);

pub(super) async fn set_rights(
    on: &mut impl Executor,
    id: UserId,
    is_superuser: bool,
    roles: &[String],
    now: Timestamp,
) -> Result<Option<User>, StoreError> {
    query(SET_RIGHTS)
        .bind(is_superuser)
        .bind(serde_json::json!(roles).to_string())
        .bind(now)
        .bind(id)
        .optional(on)
        .await
}

const DELETE: &str = "DELETE FROM users WHERE id = $1";

pub(super) async fn delete(on: &mut impl Executor, id: UserId) -> Result<u64, StoreError> {
    query(DELETE).bind(id).execute(on).await
}
