//! Confirming what a session alone must not do: delete the account, give it another address. Where the password is all
//! that an account has, by the password; where it has a second factor, or no password, by a session whose user has
//! proven a short while ago who they are.

use crate::base::error::{Error, FieldError};
use crate::base::http::Origin;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::base::store::Executor;
use crate::kernel::account::User;
use crate::kernel::house::Tokenhouse;

impl Tokenhouse {
    /// Whether the account has a secret that its user knows: a password, where the settings want passwords.
    pub(crate) async fn has_secret(&self, on: &mut dyn Executor, user: &User) -> Result<bool, Error> {
        let features = self.0.features.iter().filter(|feature| feature.prove.is_some());
        for way_in in features.filter_map(|feature| feature.way_in) {
            if way_in(self, &mut *on, user).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the password is what confirms, rather than a fresh proof.
    pub(crate) async fn confirms_by_secret(&self, user: &User) -> Result<bool, Error> {
        let mut reader = self.0.store.read().await?;
        Ok(self.has_secret(&mut reader, user).await? && !self.has_second_factor(&mut reader, user).await?)
    }

    /// Lets nobody on who has not confirmed. A password that is given must be right, also where it need not be given.
    ///
    /// # Errors
    /// `fresh_proof_required`; `invalid_fields` where the password is needed and missing; `invalid_credentials`;
    /// `account_locked`; `overloaded`.
    pub(crate) async fn confirm(
        &self,
        user: &User,
        session: SessionId,
        password: Option<Secret>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let by_secret = self.confirms_by_secret(user).await?;
        if !by_secret {
            self.require_fresh(session).await?;
        }
        match password {
            Some(password) => self.prove_by_secret(user, password, origin).await,
            None if by_secret => Err(Error::invalid_fields(vec![FieldError::new(
                "password",
                "missing",
                "is required",
            )])),
            None => Ok(()),
        }
    }
}
