//! Accounts: who a user is. How they prove it is the business of the features.

mod name;
pub(crate) mod routes;
mod sql;

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::name::{Email, NameError, Username};
pub(crate) use self::name::{key, may_be_a_key};
pub(super) use self::sql::columns;
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::notice::{Notice, security_notice};
use super::session;
use crate::base::error::{Code, Error, FieldError};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::settings::Identifier;
use crate::base::store::{Executor, StoreError, Tx};

/// A user as the API shows one.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct User {
    /// Stable for ever; the `sub` of the user's tokens.
    #[schema(value_type = uuid::Uuid)]
    pub id: UserId,
    /// As the user wrote it.
    pub email: Option<String>,
    /// Whether the user has shown that mail to it arrives.
    pub email_verified: bool,
    /// As the user wrote it; compared without regard to case.
    pub username: Option<String>,
    /// Whether the account may be used.
    pub is_active: bool,
    /// Whether the account may do everything.
    pub is_superuser: bool,
    /// What the account may do, as the application understands it.
    pub roles: Vec<String>,
    /// What the application keeps with the account; the user may change it.
    #[schema(value_type = Object)]
    pub profile: Map<String, Value>,
    /// When the account was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When anything of the above last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When somebody last logged in to it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_login_at: Option<Timestamp>,
    /// Counts the changes that end all logins, so that a login which began before one cannot end after it.
    #[serde(skip)]
    pub(crate) epoch: i64,
}

impl User {
    /// Whether the account has this role; a superuser has every role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.is_superuser || self.roles.iter().any(|held| held == role)
    }
}

/// What an account is opened with.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Where mail arrives.
    pub email: Option<Email>,
    /// What the user is called.
    pub username: Option<Username>,
    /// What the application keeps with the account.
    pub profile: Map<String, Value>,
    /// What the account may do.
    pub roles: Vec<String>,
    /// Whether it may do everything.
    pub is_superuser: bool,
    /// Whether somebody has shown that mail to the address arrives.
    pub email_verified: bool,
}

/// An account that comes from elsewhere.
pub(crate) struct MovingUser {
    pub(crate) id: UserId,
    pub(crate) new: NewUser,
    pub(crate) is_active: bool,
    pub(crate) created_at: Timestamp,
}

/// A step: opens many accounts at once, and gives the ids of those whose names and ids were free.
pub(crate) async fn open_many(
    tx: &mut Tx,
    users: &[MovingUser],
    now: Timestamp,
) -> Result<HashSet<UserId>, Error> {
    Ok(sql::insert_many(tx, users, now).await?)
}

/// What became of an account that was to be opened.
pub(crate) enum Opened {
    /// It is there, in a transaction that waits for what it is logged in with.
    New(Tx, User),
    /// Somebody has the address. Whoever has it may be waiting for the same flush; only after the commit is it true
    /// that they have it.
    EmailTaken(Tx, Box<User>),
    /// The same of the username.
    UsernameTaken(Tx),
}

impl Opened {
    /// The new account; a name that is taken ends the transaction and is told.
    pub(crate) async fn or_told(self) -> Result<(Tx, User), Error> {
        match self {
            Self::New(tx, user) => Ok((tx, user)),
            Self::EmailTaken(tx, _) => {
                tx.commit().await?;
                Err(email_taken())
            }
            Self::UsernameTaken(tx) => {
                tx.commit().await?;
                Err(username_taken())
            }
        }
    }
}

/// A step: opens an account, unless a name is taken.
pub(crate) async fn open(
    mut tx: Tx,
    house: &Tokenhouse,
    new: &NewUser,
    now: Timestamp,
) -> Result<Opened, Error> {
    let id = UserId(house.0.entropy.uuid_v7(now)?);
    if let Some(user) = sql::insert(&mut tx, id, new, now).await? {
        return Ok(Opened::New(tx, user));
    }
    let owner = match &new.email {
        Some(email) => by_email(&mut tx, email).await?,
        None => None,
    };
    Ok(match owner {
        Some(owner) => Opened::EmailTaken(tx, Box::new(owner)),
        None => Opened::UsernameTaken(tx),
    })
}

/// A step: who has this address.
pub(crate) async fn by_email(tx: &mut Tx, email: &Email) -> Result<Option<User>, Error> {
    Ok(sql::by_email(tx, email.key()).await?)
}

/// A step: the user with this id.
pub(crate) async fn by_id(tx: &mut Tx, id: UserId) -> Result<Option<User>, Error> {
    Ok(sql::by_id(tx, id).await?)
}

/// A step: notes that mail to the address arrives, if the account still has it; `key` is what it is compared by.
pub(crate) async fn verify_email(
    tx: &mut Tx,
    id: UserId,
    key: &str,
    now: Timestamp,
) -> Result<Option<User>, Error> {
    Ok(sql::verify_email(tx, id, key, now).await?)
}

/// A step: takes an address from an account that has never verified it, for whoever has shown to have the mailbox. That
/// account stays, without an address. Gives whose it was.
pub(crate) async fn give_up_email(
    tx: &mut Tx,
    house: &Tokenhouse,
    email: &Email,
    to: UserId,
    now: Timestamp,
) -> Result<Option<UserId>, Error> {
    // Every account has a key; this one is no address, so that nobody logs in by it.
    let stand_in = format!("given up {}", house.0.entropy.uuid_v7(now)?);
    Ok(sql::give_up_email(tx, email.key(), to, &stand_in, now).await?)
}

/// A step: gives the account an address that was shown to be its user's; whatever login is under way fails.
pub(crate) async fn set_email(tx: &mut Tx, user: &User, new: &Email, now: Timestamp) -> Result<User, Error> {
    match sql::set_email(tx, user.id, user.epoch, new, now).await {
        // Somebody else took the address between the statement's own check and its write.
        Err(StoreError::Taken { .. }) => Err(email_taken()),
        other => match other? {
            Some(user) => Ok(user),
            None if by_email(tx, new).await?.is_some_and(|other| other.id != user.id) => Err(email_taken()),
            None => Err(Error::new(
                Code::InvalidCredentials,
                "the account was changed at the same moment; try again",
            )),
        },
    }
}

/// A step: notes the login, if the account may still be used and nothing since `user` was read ended its logins.
pub(crate) async fn note_login(tx: &mut Tx, user: &User, now: Timestamp) -> Result<Option<User>, Error> {
    Ok(sql::note_login(tx, user.id, user.epoch, now).await?)
}

/// A step: whatever login is under way with what `user` was read as will fail.
pub(crate) async fn bump_epoch(tx: &mut Tx, user: &User, now: Timestamp) -> Result<bool, Error> {
    Ok(sql::bump_epoch(tx, user.id, user.epoch, now).await? == 1)
}

/// A step: whether nothing has ended the logins of the account since `user` was read. It stays so until the transaction
/// ends.
pub(crate) async fn still(tx: &mut Tx, user: &User) -> Result<bool, Error> {
    Ok(sql::hold(tx, user.id, user.epoch).await? == 1)
}

/// When the user last showed that mail to the address arrives.
pub(crate) async fn email_verified_at(
    on: &mut impl Executor,
    user: UserId,
) -> Result<Option<Timestamp>, Error> {
    Ok(sql::email_verified_at(on, user).await?)
}

/// What a user may change of themselves; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The new username.
    pub username: Option<Username>,
    /// The new profile, as a whole.
    pub profile: Option<Map<String, Value>>,
}

impl Tokenhouse {
    /// The user with this id.
    ///
    /// # Errors
    /// When the database cannot be reached; the same for all below.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(sql::by_id(&mut self.0.store.read().await?, id).await?)
    }

    /// The user with this e-mail address or username.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>, Error> {
        let key = name::key(name);
        if !may_be_a_key(&key) {
            return Ok(None);
        }
        let mut reader = self.0.store.read().await?;
        Ok(if key.contains('@') {
            sql::by_email(&mut reader, &key).await?
        } else {
            sql::by_username(&mut reader, &key).await?
        })
    }

    /// Users in the order of their sign-up, at most `limit` of those after `after`.
    ///
    /// # Errors
    /// As [`user`](Self::user).
    pub async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, Error> {
        Ok(sql::page(
            &mut self.0.store.read().await?,
            after.unwrap_or(UserId(uuid::Uuid::nil())),
            limit,
        )
        .await?)
    }

    /// Changes what somebody who is logged in wants changed of themselves. Another username is another name to log in by,
    /// and so needs a fresh proof.
    ///
    /// # Errors
    /// `fresh_proof_required`; those of [`update_user`](Self::update_user).
    pub async fn update_own(
        &self,
        user: &User,
        session: SessionId,
        mut change: UserChange,
        origin: &Origin,
    ) -> Result<User, Error> {
        // A form sends what it shows, changed or not.
        change
            .username
            .take_if(|name| user.username.as_deref() == Some(name.as_str()));
        if change.username.is_some() {
            self.require_fresh(session).await?;
        }
        self.store_change(user.id, change, origin).await
    }

    /// Changes what `change` names: for operators and applications. The user is told of another username.
    ///
    /// # Errors
    /// `username_taken`; `invalid_fields` where the profile is too large; `not_found`.
    pub async fn update_user(&self, id: UserId, change: UserChange) -> Result<User, Error> {
        self.store_change(id, change, &Origin::default()).await
    }

    async fn store_change(&self, id: UserId, change: UserChange, origin: &Origin) -> Result<User, Error> {
        if let Some(profile) = &change.profile {
            self.check_profile(profile)?;
        }
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let changed = match sql::update(&mut tx, id, &change, now).await {
            // Somebody else took the name between the statement's own check and its write.
            Err(StoreError::Taken { .. }) => return Err(username_taken()),
            other => other?,
        };
        let Some(user) = changed else {
            let exists = sql::by_id(&mut tx, id).await?.is_some();
            tx.commit().await?;
            return Err(if exists { username_taken() } else { no_such_user() });
        };
        let kind = if change.username.is_some() {
            security_notice(&mut tx, self, &user, Notice::UsernameChanged, origin, now).await?;
            "username.changed"
        } else {
            "user.updated"
        };
        let event = Event::new(kind, now).of_user(id).seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Lets an account be used or not; when not, its sessions are over at once.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn set_user_active(&self, id: UserId, active: bool) -> Result<User, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let user = sql::set_active(&mut tx, id, active, now)
            .await?
            .ok_or_else(no_such_user)?;
        let ended = if active {
            Vec::new()
        } else {
            session::end_all(&mut tx, self, id, None, now).await?
        };
        let kind = if active { "user.enabled" } else { "user.disabled" };
        event::write(&mut tx, &self.0.entropy, Event::new(kind, now).of_user(id)).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(user)
    }

    /// Says what an account may do. Tokens that were minted before say the old thing until they expire. Where the account
    /// must have a second factor now, and has none, every session of it is over: each was opened without.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn set_user_rights(
        &self,
        id: UserId,
        is_superuser: bool,
        roles: &[String],
    ) -> Result<User, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let mut user = sql::set_rights(&mut tx, id, is_superuser, roles, now)
            .await?
            .ok_or_else(no_such_user)?;
        event::write(
            &mut tx,
            &self.0.entropy,
            Event::new("user.rights_changed", now).of_user(id),
        )
        .await?;
        let mut ended = Vec::new();
        if self.must_have_second_factor(&user) && !self.has_second_factor(&mut tx, &user).await? {
            // And so is every login under way, which was judged by what the account might do before.
            if bump_epoch(&mut tx, &user, now).await? {
                user.epoch += 1;
            }
            ended = session::end_all(&mut tx, self, id, None, now).await?;
        }
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(user)
    }

    /// Deletes an account and everything that is only its own; its sessions are over at once. A mail to its address tells
    /// of it.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn delete_user(&self, id: UserId, origin: &Origin) -> Result<(), Error> {
        let tx = self.0.store.write().await?;
        self.delete(tx, id, origin).await
    }

    /// Deletes the account of a user who confirms it: by the password or, where the account has a second factor or no
    /// password, by a session that was proven a short while ago.
    ///
    /// # Errors
    /// `fresh_proof_required`; `invalid_fields` where the password is needed and missing; `invalid_credentials`;
    /// `account_locked`; `overloaded`.
    pub async fn delete_own_account(
        &self,
        user: &User,
        session: SessionId,
        password: Option<Secret>,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.confirm(user, session, password, origin).await?;
        let mut tx = self.0.store.write().await?;
        if !still(&mut tx, user).await? {
            return Err(Error::new(
                Code::InvalidCredentials,
                "the account was changed at the same moment; try again",
            ));
        }
        self.delete(tx, user.id, origin).await
    }

    async fn delete(&self, mut tx: Tx, id: UserId, origin: &Origin) -> Result<(), Error> {
        let now = self.0.clock.now();
        // The account first, as a login does: one that is under way is waited for, so that its session ends too,
        // and no two transactions wait for each other.
        let user = sql::set_active(&mut tx, id, false, now)
            .await?
            .ok_or_else(no_such_user)?;
        let ended = session::end_all(&mut tx, self, id, None, now).await?;
        security_notice(&mut tx, self, &user, Notice::AccountDeleted, origin, now).await?;
        sql::delete(&mut tx, id).await?;
        event::write(
            &mut tx,
            &self.0.entropy,
            Event::new("user.deleted", now).of_user(id).seen_from(origin),
        )
        .await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(())
    }

    /// Reads the names and the profile of somebody who wants an account, noting every fault.
    pub(crate) fn check_new_user(
        &self,
        email: Option<&str>,
        username: Option<&str>,
        profile: Map<String, Value>,
        faults: &mut Vec<FieldError>,
    ) -> NewUser {
        let mut parsed = NewUser {
            profile,
            ..NewUser::default()
        };
        let missing = |name| FieldError::new(name, "missing", "is required");
        match self.0.settings.accounts.identifier {
            Identifier::Email | Identifier::Both if email.is_none() => faults.push(missing("email")),
            Identifier::Either if email.is_none() && username.is_none() => faults.push(missing("email")),
            _ => {}
        }
        if matches!(
            self.0.settings.accounts.identifier,
            Identifier::Username | Identifier::Both
        ) && username.is_none()
        {
            faults.push(missing("username"));
        }
        match email.map(Email::parse) {
            Some(Ok(email)) => parsed.email = Some(email),
            Some(Err(error)) => faults.push(FieldError::new("email", "email_invalid", error.to_string())),
            None => {}
        }
        match username.map(|text| self.check_username(text)) {
            Some(Ok(username)) => parsed.username = Some(username),
            Some(Err(fault)) => faults.push(fault),
            None => {}
        }
        if let Err(error) = self.check_profile(&parsed.profile) {
            faults.extend(error.fields().iter().cloned());
        }
        parsed
    }

    /// Whether the settings let an address of this domain in.
    pub(crate) fn check_domain(&self, field: &str, email: &Email) -> Result<(), FieldError> {
        let allowed = &self.0.settings.signup.allowed_domains;
        if allowed.is_empty()
            || allowed
                .iter()
                .any(|domain| name::key(domain) == email.domain_key())
        {
            return Ok(());
        }
        Err(FieldError::new(
            field,
            "email_domain_not_allowed",
            "must be of a domain that this service takes accounts from",
        ))
    }

    /// The rule for usernames: the application's where it has one, else ours within the settings' lengths.
    pub(crate) fn check_username(&self, text: &str) -> Result<Username, FieldError> {
        let accounts = &self.0.settings.accounts;
        let invalid = |detail: String| FieldError::new("username", "username_invalid", detail);
        match &self.0.hooks.username_rule {
            Some(rule) => {
                rule(text).map_err(&invalid)?;
                Username::unruled(text).map_err(|error| invalid(error.to_string()))
            }
            None => Username::parse(text, accounts.username_min_length..=accounts.username_max_length)
                .map_err(|error| invalid(error.to_string())),
        }
    }

    pub(crate) fn check_profile(&self, profile: &Map<String, Value>) -> Result<(), Error> {
        let most = self.0.settings.accounts.profile_max_bytes;
        let length = serde_json::to_string(profile).map_or(usize::MAX, |text| text.len());
        if length <= most {
            return Ok(());
        }
        Err(Error::invalid_fields(vec![FieldError::new(
            "profile",
            "profile_too_large",
            format!("takes {length} bytes as JSON where at most {most} are kept"),
        )]))
    }
}

/// Somebody else has the address.
pub(crate) fn email_taken() -> Error {
    Error::new(Code::EmailTaken, "an account with this e-mail address exists")
}

/// Somebody else has the name.
pub(crate) fn username_taken() -> Error {
    Error::new(Code::UsernameTaken, "an account with this username exists")
}

fn no_such_user() -> Error {
    Error::new(Code::NotFound, "there is no such user")
}
