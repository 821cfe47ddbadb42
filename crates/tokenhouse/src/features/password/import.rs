//! Bringing users along from another system, with the passwords they know there.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::sql;
use crate::base::error::Error;
use crate::base::hashing::StoredHash;
use crate::base::id::UserId;
use crate::kernel::account::{self, Email, MovingUser, NewUser, Username};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;

/// Somebody who had an account elsewhere.
#[derive(Clone, Debug)]
pub struct UserToImport {
    /// Kept where it is given, so that what refers to it goes on to.
    pub id: Option<UserId>,
    /// Where mail arrives.
    pub email: Option<String>,
    /// What the user is called. The rule for new names is not asked, as the name is not new.
    pub username: Option<String>,
    /// In one of the forms of [`foreign`](crate::base::hashing::foreign); without one the user has no password.
    pub password_hash: Option<String>,
    /// Whether somebody has shown that mail to the address arrives.
    pub email_verified: bool,
    /// When the account was opened there.
    pub created_at: Option<Timestamp>,
    /// What the account may do.
    pub roles: Vec<String>,
    /// Whether it may do everything.
    pub is_superuser: bool,
    /// Whether it may be used.
    pub is_active: bool,
    /// What the application keeps with the account.
    pub profile: Map<String, Value>,
}

impl Default for UserToImport {
    fn default() -> Self {
        Self {
            id: None,
            email: None,
            username: None,
            password_hash: None,
            email_verified: false,
            created_at: None,
            roles: Vec::new(),
            is_superuser: false,
            is_active: true,
            profile: Map::new(),
        }
    }
}

/// What became of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The account is open.
    Imported(UserId),
    /// An account with the e-mail address, the username or the id is there already, or came earlier; it was left as
    /// it is.
    Taken,
    /// It can be no account, and why.
    Refused(String),
}

/// An import of users; see [`Tokenhouse::import_users`].
#[derive(Debug)]
pub struct UserImport {
    house: Tokenhouse,
    dry_run: bool,
    /// Digests of names and ids: of this batch, or of all that were tried without being written.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Tokenhouse {
    /// Begins to bring users along, a batch at a time, some hundreds say. Each batch is one transaction and one flush
    /// of the disk. An import that was interrupted can be run again: who is there already is left as they are.
    ///
    /// ```
    /// # use tokenhouse::{ImportOutcome, UserToImport, testing::TestHouse};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let house = TestHouse::new().await.house;
    /// let ada = UserToImport {
    ///     email: Some("ada@example.org".to_owned()),
    ///     password_hash: Some("$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW".to_owned()),
    ///     ..UserToImport::default()
    /// };
    /// let mut import = house.import_users();
    /// let outcomes = import.batch(vec![ada.clone(), ada]).await.unwrap();
    /// assert!(matches!(outcomes[..], [ImportOutcome::Imported(_), ImportOutcome::Taken]));
    /// # });
    /// ```
    #[must_use]
    pub fn import_users(&self) -> UserImport {
        UserImport {
            house: self.clone(),
            dry_run: false,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }
}

impl UserImport {
    /// Only find out what would become of each: every statement runs, and no transaction is committed.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Brings these along, and says of each, in the same order, what became of it.
    ///
    /// # Errors
    /// When the database cannot be reached; then none of the batch is there.
    pub async fn batch(&mut self, users: Vec<UserToImport>) -> Result<Vec<ImportOutcome>, Error> {
        let now = self.house.0.clock.now();
        if !self.dry_run {
            self.seen.clear();
        }
        let mut outcomes = Vec::with_capacity(users.len());
        let mut moving = Vec::with_capacity(users.len());
        let mut hashes = Vec::with_capacity(users.len());
        for user in users {
            let outcome = match self.read(user, now)? {
                Ok((user, hash)) if self.is_first(&user) => {
                    let id = user.id;
                    moving.push(user);
                    hashes.extend(hash.map(|hash| (id, hash)));
                    ImportOutcome::Imported(id)
                }
                Ok(_) => ImportOutcome::Taken,
                Err(reason) => ImportOutcome::Refused(reason),
            };
            outcomes.push(outcome);
        }
        if moving.is_empty() {
            return Ok(outcomes);
        }
        let entropy = &self.house.0.entropy;
        let mut tx = self.house.0.store.write().await?;
        let opened = account::open_many(&mut tx, &moving, now).await?;
        hashes.retain(|(id, _)| opened.contains(id));
        sql::insert_many(&mut tx, hashes, now).await?;
        let event = |user: &MovingUser| Event::new("user.imported", now).of_user(user.id);
        let events = moving.iter().filter(|user| opened.contains(&user.id)).map(event);
        event::write_many(&mut tx, entropy, events).await?;
        if self.dry_run {
            drop(tx);
        } else {
            tx.commit().await?;
        }
        for outcome in &mut outcomes {
            if matches!(outcome, ImportOutcome::Imported(id) if !opened.contains(id)) {
                *outcome = ImportOutcome::Taken;
            }
        }
        Ok(outcomes)
    }

    /// The account it would be, or why it can be none.
    fn read(
        &self,
        user: UserToImport,
        now: Timestamp,
    ) -> Result<Result<(MovingUser, Option<String>), String>, Error> {
        let read = || {
            if user.email.is_none() && user.username.is_none() {
                return Err("has neither an e-mail address nor a username".to_owned());
            }
            let about = |what: &'static str| move |error: &dyn std::fmt::Display| format!("{what} {error}");
            let email = user.email.as_deref().map(Email::parse).transpose();
            let email = email.map_err(|error| about("email")(&error))?;
            let username = user.username.as_deref().map(Username::unruled).transpose();
            let username = username.map_err(|error| about("username")(&error))?;
            if let Some(hash) = &user.password_hash {
                StoredHash::parse(hash).map_err(|error| about("password_hash:")(&error))?;
            }
            self.house.check_profile(&user.profile).map_err(|error| {
                let faults: Vec<&str> = error.fields().iter().map(|fault| fault.detail.as_ref()).collect();
                format!("profile {}", faults.join(", "))
            })?;
            Ok((email, username))
        };
        let (email, username) = match read() {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        let created_at = user.created_at.unwrap_or(now);
        let id = match user.id {
            Some(id) => id,
            // By the day of their sign-up, so that users are listed in that order.
            None => UserId(self.house.0.entropy.uuid_v7(created_at)?),
        };
        let moving = MovingUser {
            id,
            new: NewUser {
                email,
                username,
                profile: user.profile,
                roles: user.roles,
                is_superuser: user.is_superuser,
                email_verified: user.email_verified,
            },
            is_active: user.is_active,
            created_at,
        };
        Ok(Ok((moving, user.password_hash)))
    }

    /// Whether none of its names and ids came before; notes them.
    fn is_first(&mut self, user: &MovingUser) -> bool {
        let mut digests = Vec::with_capacity(3);
        digests.push(self.hasher.hash_one(("id", user.id)));
        digests.extend(
            user.new
                .email
                .as_ref()
                .map(|email| self.hasher.hash_one(("email", email.key()))),
        );
        digests.extend(
            user.new
                .username
                .as_ref()
                .map(|name| self.hasher.hash_one(("username", name.key()))),
        );
        if digests.iter().any(|digest| self.seen.contains(digest)) {
            return false;
        }
        self.seen.extend(digests);
        true
    }
}
