//! Where the features meet: accounts, logins, sessions, keys, tokens, events.

pub mod account;
pub mod answer;
pub mod brake;
pub mod event;
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
pub mod session;
pub(crate) mod ticket;
pub mod token;

use futures_util::future::BoxFuture;
use utoipa_axum::router::OpenApiRouter;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::settings::Settings;
use crate::base::store::Tx;
use account::User;
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
    /// What it adds to the pages.
    pub pages: Pages,
    /// Shows that a user who is logged in is there, by a secret that they know.
    pub prove: Option<Prove>,
    /// Takes away what lets anybody in, where the account turns out to have been in the wrong hands.
    pub disown: Option<Disown>,
}

/// Checks a secret of the user's.
pub type Prove = for<'a> fn(&'a Tokenhouse, &'a User, Secret, &'a Origin) -> BoxFuture<'a, Result<(), Error>>;
/// A step: takes away what lets anybody in.
pub type Disown = for<'a> fn(&'a mut Tx, UserId) -> BoxFuture<'a, Result<(), Error>>;

impl Tokenhouse {
    /// A step: whatever anybody knew no longer lets them in, in every feature that says so.
    pub(crate) async fn disown(&self, tx: &mut Tx, user: UserId) -> Result<(), Error> {
        for disown in self.0.features.iter().filter_map(|feature| feature.disown) {
            disown(tx, user).await?;
        }
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
