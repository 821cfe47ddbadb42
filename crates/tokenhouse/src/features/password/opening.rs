//! Opening an account in steps, so that an application can write rows of its own in the same transaction: either
//! all of it is there afterwards, or nothing.

use jiff::Timestamp;

use super::{METHOD, Signup, sql};
use crate::base::error::{Error, FieldError};
use crate::base::hashing::StoredHash;
use crate::base::http::Origin;
use crate::base::store::Tx;
use crate::kernel::account::{self, Email, NewUser, Opened, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::invitation;
use crate::kernel::login::{Proof, Step};
use crate::kernel::mail::{self, Asked, Reply};
use crate::kernel::mailbox;
use crate::kernel::ticket::Purpose;

/// Opens nothing: the work of a mail that verifies, where nothing is to be told. It is counted by itself, or signing up with
/// somebody's address would use up the mails that verify it, and void the code in the last one.
const ATTEMPT: Purpose = Purpose("signup.attempt");

/// An account whose rows are written, in a transaction that is not over yet.
///
/// ```no_run
/// # use tokenhouse::{Error, Origin, Signup, Tokenhouse, User, store::query};
/// # async fn example(house: Tokenhouse, signup: Signup, origin: Origin) -> Result<User, Error> {
/// let mut account = house.open_account(signup, &origin).await?;
/// query("INSERT INTO customers (user_id, plan) VALUES ($1, 'free')")
///     .bind(account.user().id)
///     .execute(account.tx())
///     .await?;
/// let user = account.commit().await?;
/// # Ok(user) }
/// ```
#[must_use = "an account that is neither committed nor logged in to was never opened"]
pub struct OpeningAccount {
    house: Tokenhouse,
    tx: Tx,
    user: User,
    origin: Origin,
    at: Timestamp,
}

impl Tokenhouse {
    /// Opens an account as [`sign_up`](Self::sign_up) does, but leaves the transaction open for the application's own
    /// rows, and the decision whether its user is logged in. The password has been checked and hashed
    /// before; what follows must be short, since others wait for their turn to write.
    ///
    /// A taken name is told whatever `signup.reveal_taken` says, and `signup.mode` is not asked: both are about the
    /// house's own door, and this is for doors of the application's.
    ///
    /// # Errors
    /// `invalid_fields` with every fault; `email_taken`, `username_taken`; `overloaded`.
    pub async fn open_account(&self, signup: Signup, origin: &Origin) -> Result<OpeningAccount, Error> {
        match self.begin_account(signup, Door::Another, origin).await? {
            Begun::Opening(account) => Ok(*account),
            Begun::Taken(taken) => Err(taken.tell().await?),
        }
    }

    /// As far as it goes, in a transaction that is not over.
    pub(super) async fn begin_account(
        &self,
        signup: Signup,
        door: Door,
        origin: &Origin,
    ) -> Result<Begun, Error> {
        let invitation = signup.invitation.clone();
        let username = signup.username.clone();
        let (mut new, password) = self.check_signup(signup, door)?;
        // Each stranger's sign-up sends a mail, to whatever address they give.
        if door == Door::Ours && invitation.is_none() && new.email.is_some() && self.verifies_addresses() {
            self.count_asking(origin).await?;
        }
        let hash = self.hash(password).await?;
        let at = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let invited = invitation.is_some();
        if let Some(invitation) = invitation {
            let invited = invitation::accept(&mut tx, &invitation, new.email.as_ref(), at).await?;
            new.roles = invited.roles;
            new.is_superuser = invited.is_superuser;
            new.email_verified = true;
        }
        let (mut tx, user) = match account::open(tx, self, &new, at).await? {
            Opened::New(tx, user) => (tx, user),
            Opened::EmailTaken(tx, owner) => {
                let tx = self.unless_used_up(tx, invited).await?;
                return Ok(Begun::Taken(Taken {
                    tx,
                    owner: Some(owner),
                    email: new.email,
                    username,
                    at,
                }));
            }
            Opened::UsernameTaken(tx) => {
                let tx = self.unless_used_up(tx, invited).await?;
                return Ok(Begun::Taken(Taken {
                    tx,
                    owner: None,
                    email: new.email,
                    username,
                    at,
                }));
            }
        };
        sql::insert(&mut tx, user.id, &hash, at).await?;
        let event = Event::new("user.signed_up", at)
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        self.ask_after_sign_up(&mut tx, &user).await?;
        if let (Some(email), false, true) = (&new.email, new.email_verified, self.verifies_addresses()) {
            mailbox::send_verification(&mut tx, self, email, Some(&user), Reply::Ticket, origin, at).await?;
        }
        Ok(Begun::Opening(Box::new(OpeningAccount {
            house: self.clone(),
            tx,
            user,
            origin: origin.clone(),
            at,
        })))
    }
}

impl Tokenhouse {
    /// An invitation is used up only by an account: where a name is taken, what was written is dropped, so that whoever is
    /// invited can choose another.
    async fn unless_used_up(&self, tx: Tx, invited: bool) -> Result<Tx, Error> {
        if !invited {
            return Ok(tx);
        }
        drop(tx);
        Ok(self.0.store.write().await?)
    }
}

/// Whose door somebody who signs up has come through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The house's own, where `signup` is asked.
    Ours,
    /// The application's or the operator's, who know whom they let in.
    Another,
}

pub(super) enum Begun {
    Opening(Box<OpeningAccount>),
    Taken(Taken),
}

/// A sign-up for which a name is not free. That is not true before the transaction is committed: whoever has the name
/// may be waiting for the same flush.
pub(super) struct Taken {
    tx: Tx,
    /// Who has the address; nobody where it is the username that is taken.
    owner: Option<Box<User>>,
    email: Option<Email>,
    username: Option<String>,
    at: Timestamp,
}

impl Taken {
    /// What is told where the settings let it be told.
    pub(super) async fn tell(self) -> Result<Error, Error> {
        self.tx.commit().await?;
        Ok(match self.owner {
            Some(_) => account::email_taken(),
            None => account::username_taken(),
        })
    }

    /// The same statements and the same flush as opening an account, so that the time tells nothing either. Whoever has
    /// the address is told by mail; where it is the username that is taken, whoever signs up is.
    pub(super) async fn hush(mut self, house: &Tokenhouse, origin: &Origin) -> Result<(), Error> {
        let event = Event {
            user: self.owner.as_ref().map(|owner| owner.id),
            ..Event::new("signup.attempted", self.at).seen_from(origin)
        };
        event::write(&mut self.tx, &house.0.entropy, event).await?;
        if let (Some(email), true) = (&self.email, house.verifies_addresses()) {
            let username = self.username.unwrap_or_default();
            let asked = Asked {
                purpose: ATTEMPT,
                kind: if self.owner.is_some() {
                    "signup_attempt"
                } else {
                    "username_taken"
                },
                page: "/verify",
                lifetime: *house.0.settings.links.verify,
                with_code: true,
                to: email,
                user: self.owner.as_deref(),
                for_user_only: false,
                reply: Reply::Word,
                urgent: false,
                data: serde_json::json!({}),
                language: house.language_for(self.owner.as_deref(), origin).tag(),
                places: vec![("username".to_owned(), username)],
                origin,
            };
            mail::ask(&mut self.tx, house, asked, self.at).await?;
        }
        self.tx.commit().await?;
        Ok(())
    }
}

/// A user without a sign-up, whose rows are written in a transaction that is not over yet.
#[must_use = "a user that is not committed was never created"]
pub struct CreatingUser {
    tx: Tx,
    user: User,
}

impl Tokenhouse {
    /// Opens an account as [`create_user`](Self::create_user) does, but leaves the transaction open for the
    /// application's own rows. What follows must be short, since others wait for their turn to write.
    ///
    /// # Errors
    /// As [`create_user`](Self::create_user).
    pub async fn creating_user(&self, new: &NewUser, hash: Option<&str>) -> Result<CreatingUser, Error> {
        if new.email.is_none() && new.username.is_none() {
            return Err(Error::invalid_fields(vec![FieldError::new(
                "email",
                "missing",
                "is required, or a username",
            )]));
        }
        if let Some(Err(error)) = hash.map(StoredHash::parse) {
            return Err(Error::invalid_fields(vec![FieldError::new(
                "password_hash",
                "hash_invalid",
                error.to_string(),
            )]));
        }
        let now = self.0.clock.now();
        let tx = self.0.store.write().await?;
        let (mut tx, user) = account::open(tx, self, new, now).await?.or_told().await?;
        if let Some(hash) = hash {
            sql::insert(&mut tx, user.id, hash, now).await?;
        }
        let event = Event::new("user.created", now).of_user(user.id);
        event::write(&mut tx, &self.0.entropy, event).await?;
        Ok(CreatingUser { tx, user })
    }
}

impl CreatingUser {
    /// Whose account it will be.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The transaction, for the application's own rows.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Opens the account.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn commit(self) -> Result<User, Error> {
        self.tx.commit().await?;
        Ok(self.user)
    }
}

impl std::fmt::Debug for CreatingUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CreatingUser({})", self.user.id)
    }
}

impl OpeningAccount {
    /// Whose account it will be.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The transaction, for the application's own rows.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Opens the account, and logs nobody in.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn commit(self) -> Result<User, Error> {
        self.tx.commit().await?;
        self.house.0.metrics.signups.inc();
        Ok(self.user)
    }

    /// Opens the account and logs its user in, unless the settings demand a second factor first. Where an address must be verified first
    /// (`signup.require_verified_email`) nobody can be: [`commit`](Self::commit) then.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); `email_unverified`.
    pub async fn log_in(self) -> Result<Step, Error> {
        let house = self.house;
        let proof = Proof {
            user: self.user,
            method: METHOD,
            at: self.at,
            counted: None,
            shows_two: false,
            by_mail: false,
        };
        let scope = house.grant_scope(None)?;
        let step = house.log_in(self.tx, proof, scope, &self.origin).await?;
        house.0.metrics.signups.inc();
        Ok(step)
    }
}

impl std::fmt::Debug for OpeningAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpeningAccount({})", self.user.id)
    }
}
