//! Proving again: somebody who is logged in shows who they are once more, before what they are logged in with is
//! changed. Where the account has a second factor only that will do: a password alone, which may be what was stolen,
//! must not be enough to take the second factor away.

use super::second::Shown;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::Tx;
use crate::kernel::account::{self, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::session;
use crate::kernel::wrong_codes;

impl Tokenhouse {
    /// Proves again who the user of this session is, with a second factor that was typed.
    ///
    /// # Errors
    /// `mfa_invalid`; `account_locked`, `mfa_blocked`; `token_revoked` where the session is over.
    pub async fn prove_again(
        &self,
        user: &User,
        session: SessionId,
        shown: &Shown,
        origin: &Origin,
    ) -> Result<(), Error> {
        let right = self.judge(user, false, shown, origin).await?;
        let mut tx = self.0.store.write().await?;
        if !account::still(&mut tx, user).await? {
            return Err(changed());
        }
        match right.use_up(self, &mut tx, user, origin).await? {
            Some(second) => self.proven_again(tx, user, session, second.method, origin).await,
            None => {
                drop(tx);
                Err(self.refuse_second(user, origin).await?)
            }
        }
    }

    /// The same by the secret that goes with the account.
    ///
    /// # Errors
    /// `invalid_credentials`; `fresh_proof_required` where the account has a second factor, which then must be shown.
    pub(crate) async fn prove_again_by_secret(
        &self,
        user: &User,
        session: SessionId,
        secret: Secret,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.prove_by_secret(user, secret, origin).await?;
        let tx = self.0.store.write().await?;
        self.proven_by_first(tx, user, session, "password", origin).await
    }

    /// The same by a first factor, which its feature has just seen, or uses up in this transaction.
    ///
    /// # Errors
    /// `fresh_proof_required` where the account has a second factor, which then is what must be shown.
    pub(crate) async fn proven_by_first(
        &self,
        mut tx: Tx,
        user: &User,
        session: SessionId,
        method: &'static str,
        origin: &Origin,
    ) -> Result<(), Error> {
        if !account::still(&mut tx, user).await? {
            return Err(changed());
        }
        if self.has_second_factor(&mut tx, user).await? {
            return Err(Error::new(
                Code::FreshProofRequired,
                "the account has a second factor; prove it with that",
            ));
        }
        self.proven_again(tx, user, session, method, origin).await
    }

    /// Where the account has a second factor, a password that is given again is not enough: the session must be fresh.
    ///
    /// # Errors
    /// `fresh_proof_required`.
    pub async fn require_fresh_where_two_steps(&self, user: &User, session: SessionId) -> Result<(), Error> {
        if self
            .has_second_factor(&mut self.0.store.read().await?, user)
            .await?
        {
            self.require_fresh(session).await?;
        }
        Ok(())
    }

    /// Notes the proof with the session, and commits. Where the account has a second factor, it was that.
    pub(crate) async fn proven_again(
        &self,
        mut tx: Tx,
        user: &User,
        session: SessionId,
        method: &'static str,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.0.clock.now();
        if !session::prove(&mut tx, session, user.id, now).await? {
            return Err(Error::new(
                Code::TokenRevoked,
                "the session of this access token is over",
            ));
        }
        wrong_codes::forget(&mut tx, user.id).await?;
        let event = Event {
            data: serde_json::json!({ "method": method }),
            ..Event::new("session.proven_again", now)
                .of_user(user.id)
                .in_session(session)
                .seen_from(origin)
        };
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What can be shown to prove again: the second factors, or else the ways in.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn second_factors_of(&self, user: &User) -> Result<Vec<&'static str>, Error> {
        self.showable(&mut self.0.store.read().await?, user, false).await
    }

    /// How many recovery codes the user has left.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<i64, Error> {
        crate::kernel::recovery::left(&mut self.0.store.read().await?, user).await
    }
}

fn changed() -> Error {
    Error::new(
        Code::Conflict,
        "the account was changed at the same moment; try again",
    )
}
