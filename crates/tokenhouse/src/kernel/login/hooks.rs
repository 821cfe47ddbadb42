//! What an application has to say about sign-ups and logins. It is asked inside the transaction, so that its own rows
//! are written with the house's or not at all; what takes long does not belong there.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::Complete;
use crate::base::error::Error;
use crate::base::http::Origin;
use crate::base::store::Tx;
use crate::kernel::account::User;
use crate::kernel::house::Tokenhouse;

/// Asked when an account has been opened by its user, before that is committed.
pub(crate) type SignUpHook =
    Arc<dyn for<'a> Fn(&'a mut Tx, &'a User) -> BoxFuture<'a, Result<(), Error>> + Send + Sync>;

/// Asked when a login lacks nothing any more, before its session is opened.
pub(crate) type LoginHook = Arc<
    dyn for<'a> Fn(&'a mut Tx, &'a LoginAttempt) -> BoxFuture<'a, Result<Map<String, Value>, Error>>
        + Send
        + Sync,
>;

/// Somebody who is about to be logged in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginAttempt {
    /// Who.
    pub user: User,
    /// By what: `password`, `password+totp`, `passkey`, …
    pub method: String,
    /// From where, and with what.
    pub origin: Origin,
}

impl Tokenhouse {
    /// A step: what the application does after a sign-up.
    pub(crate) async fn ask_after_sign_up(&self, tx: &mut Tx, user: &User) -> Result<(), Error> {
        match &self.0.hooks.after_sign_up {
            Some(hook) => hook(tx, user).await,
            None => Ok(()),
        }
    }

    pub(super) async fn ask_before_login(
        &self,
        tx: &mut Tx,
        login: &Complete,
        origin: &Origin,
    ) -> Result<Map<String, Value>, Error> {
        let Some(hook) = &self.0.hooks.before_login else {
            return Ok(Map::new());
        };
        let attempt = LoginAttempt {
            user: login.user.clone(),
            method: login.method.to_string(),
            origin: origin.clone(),
        };
        hook(tx, &attempt).await
    }
}
