//! Where the features meet: accounts, logins, sessions, keys, tokens, events.

pub mod account;
pub mod answer;
pub mod brake;
pub(crate) mod device;
pub mod event;
pub mod factor;
pub mod factor_undo;
pub(crate) mod health;
pub mod house;
pub mod invitation;
pub mod jobs;
pub mod keys;
pub(crate) mod lease;
pub mod login;
pub(crate) mod look;
pub mod mail;
pub mod mailbox;
pub(crate) mod metrics;
pub(crate) mod notice;
pub mod pages;
pub(crate) mod recovery;
pub mod session;
pub(crate) mod ticket;
pub mod token;
pub(crate) mod wrong_codes;
pub(crate) mod wrong_passwords;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::settings::Settings;
use crate::base::store::{Store, Tx};
use account::User;
use factor::{Asked, Factor};
use house::Tokenhouse;
use pages::Pages;

/// What a feature adds to the house: a plain value, listed once in `features/mod.rs`.
#[derive(Clone, Copy)]
pub struct Feature {
    /// Its name in the log and the documentation.
    pub name: &'static str,
    /// Whether the settings want it.
    pub enabled: fn(&Settings) -> bool,
    /// Its routes, with their documentation.
    pub routes: fn() -> OpenApiRouter<Tokenhouse>,
    /// The second factor it offers.
    pub factor: Option<Factor>,
    /// Whether a user can log in by it, with nothing else before.
    pub way_in: Option<Asked>,
    /// Removes what is over of its own.
    pub sweep: Option<Sweep>,
    /// Shows that a user who is logged in is there, by a secret that they know.
    pub prove: Option<Prove>,
    /// Takes away what lets anybody in, where the account turns out to have been in the wrong hands.
    pub disown: Option<Disown>,
    /// Notes that a first step by mail was followed by a second that is independent of it.
    pub vouch: Option<Vouch>,
    /// What it adds to the pages.
    pub pages: Pages,
}

/// Checks a secret of the user's.
pub type Prove = for<'a> fn(&'a Tokenhouse, &'a User, Secret, &'a Origin) -> BoxFuture<'a, Result<(), Error>>;
/// A step: takes away what lets anybody in. What could only be set up by whoever held the account at the time stays
/// where it is older than `since`.
pub type Disown = for<'a> fn(&'a mut Tx, UserId, Timestamp) -> BoxFuture<'a, Result<(), Error>>;

/// A step: notes that whoever took the first step by the method named took the second too, by a factor that is independent
/// of the account's mail.
pub type Vouch = for<'a> fn(&'a mut Tx, UserId, &'a str) -> BoxFuture<'a, Result<(), Error>>;

impl Tokenhouse {
    /// A step: whatever anybody knew, and whatever was set up `since`, no longer lets them in.
    pub(crate) async fn disown(&self, tx: &mut Tx, user: UserId, since: Timestamp) -> Result<(), Error> {
        for disown in self.0.features.iter().filter_map(|feature| feature.disown) {
            disown(tx, user, since).await?;
        }
        recovery::remove_since(tx, user, since).await?;
        Ok(())
    }

    /// Whether the user who is logged in knows the secret that goes with the account.
    pub(crate) async fn prove_by_secret(
        &self,
        user: &User,
        secret: Secret,
        origin: &Origin,
    ) -> Result<(), Error> {
        match self.0.features.iter().find_map(|feature| feature.prove) {
            Some(prove) => prove(self, user, secret, origin).await,
            None => Err(Error::new(
                Code::InvalidCredentials,
                "no account here has a password",
            )),
        }
    }
}

/// Removes what is over, page by page.
pub type Sweep = for<'a> fn(&'a Store, Timestamp) -> BoxFuture<'a, Result<(), Error>>;
