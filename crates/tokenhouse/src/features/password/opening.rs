//! Opening an account in steps, so that an application can write rows of its own in the same transaction: either
//! all of it is there afterwards, or nothing.

use jiff::Timestamp;

use super::{Signup, sql};
use crate::base::error::Error;
use crate::base::http::Origin;
use crate::base::store::Tx;
use crate::kernel::account::{self, Opened, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::{LoggedIn, Proof};

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
        let (new, password) = self.check_signup(signup)?;
        let hash = self.hash(password).await?;
        let at = self.0.clock.now();
        let tx = self.0.store.write().await?;
        let (mut tx, user) = match account::open(tx, self, &new, at).await? {
            Opened::New(tx, user) => (tx, user),
            Opened::EmailTaken => return Err(account::email_taken()),
            Opened::UsernameTaken => return Err(account::username_taken()),
        };
        sql::insert(&mut tx, user.id, &hash, at).await?;
        let event = Event::new("user.signed_up", at)
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        Ok(OpeningAccount {
            house: self.clone(),
            tx,
            user,
            origin: origin.clone(),
            at,
        })
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

    /// Opens the account and logs its user in.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn log_in(self) -> Result<LoggedIn, Error> {
        let house = self.house;
        let proof = Proof {
            user: self.user,
            method: "password",
            at: self.at,
            counted: None,
        };
        let scope = house.grant_scope(None)?;
        let login = house.log_in(self.tx, proof, scope, &self.origin).await?;
        house.0.metrics.signups.inc();
        Ok(login)
    }
}

impl std::fmt::Debug for OpeningAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpeningAccount({})", self.user.id)
    }
}
