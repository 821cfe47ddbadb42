//! Using a passkey: alone, as the second step of a login, and to prove again who one is.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::browser::{self, Asserted, Known, PasskeyOptions};
use super::webauthn::{self, Expected, PublicKey, Refusal, State};
use super::{NAME, refused, sql};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::Tx;
use crate::kernel::account::{self, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::second::Second;
use crate::kernel::login::{LoggedIn, Proof, Step};
use crate::kernel::ticket::{self, Key, Purpose};

const SIGN_IN: Purpose = Purpose("passkey sign-in");
const SECOND_STEP: Purpose = Purpose("passkey as second step");
const PROOF: Purpose = Purpose("passkey to prove again");

/// An answer that was judged right, and has yet to be used up: counter and challenge.
struct Right {
    stored: sql::Stored,
    state: State,
    purpose: Purpose,
    ticket: Key,
}

impl Tokenhouse {
    /// What a browser needs to log somebody in by passkey alone: it asks the user which.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_passkey_sign_in(&self) -> Result<PasskeyOptions, Error> {
        let challenge = self.challenge(SIGN_IN, None).await?;
        let party = self.relying_party()?;
        Ok(browser::request(
            &party,
            &challenge,
            self.passkey_timeout(),
            &[],
            true,
        ))
    }

    /// Logs in whoever used their passkey.
    ///
    /// # Errors
    /// `passkey_invalid`, the same for one that is not known; `account_disabled`.
    pub async fn log_in_with_passkey(
        &self,
        credential: Map<String, Value>,
        scope: Option<&str>,
        origin: &Origin,
    ) -> Result<Step, Error> {
        let scope = self.grant_scope(scope.filter(|scope| !scope.is_empty()))?;
        let right = self.judge_passkey(SIGN_IN, credential, None, true).await?;
        let user = self
            .user(right.stored.user)
            .await?
            .ok_or_else(|| refused(Refusal::Signature))?;
        let at = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        // The account first, as everywhere. One that is disabled is told so below, with the right passkey.
        let _ = account::still(&mut tx, &user).await?;
        if let Err(fault) = use_up(&mut tx, &right, at).await? {
            drop(tx);
            return Err(self.told(fault, &right, origin).await?);
        }
        let proof = Proof {
            user,
            method: NAME,
            at,
            counted: None,
            shows_two: right.state.verified,
            by_mail: false,
        };
        self.log_in(tx, proof, scope, origin).await
    }

    /// What a browser needs for the second step of a login.
    ///
    /// # Errors
    /// `mfa_expired`; `not_found` where the account has no passkey.
    pub async fn begin_passkey_second_step(&self, mfa_token: &Secret) -> Result<PasskeyOptions, Error> {
        let waiting = self.look_at_second_step(mfa_token).await?;
        self.request_options(SECOND_STEP, waiting.user().id).await
    }

    /// Takes the second step of a login with a passkey.
    ///
    /// # Errors
    /// `passkey_invalid`; `mfa_expired` when the login has to begin again; `account_disabled`.
    pub async fn log_in_with_passkey_second(
        &self,
        mfa_token: &Secret,
        credential: Map<String, Value>,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        let waiting = self.try_second_step(mfa_token).await?;
        let user = waiting.user().id;
        let right = match self
            .judge_passkey(SECOND_STEP, credential, Some(user), false)
            .await
        {
            Err(error) if error.code() == Code::PasskeyInvalid => {
                self.refuse_second(waiting.user(), origin).await?;
                return Err(error);
            }
            judged => judged?,
        };
        let mut tx = self.0.store.write().await?;
        let resumed = self.resume(&mut tx, waiting).await?;
        if let Err(fault) = use_up(&mut tx, &right, self.0.clock.now()).await? {
            drop(tx);
            return Err(self.told(fault, &right, origin).await?);
        }
        let second = Second { user, method: NAME };
        self.finish(tx, resumed, second, origin).await
    }

    /// What a browser needs for the user to prove again who they are.
    ///
    /// # Errors
    /// `not_found` where the account has no passkey.
    pub async fn begin_passkey_proof(&self, user: &User) -> Result<PasskeyOptions, Error> {
        self.request_options(PROOF, user.id).await
    }

    /// Proves again who the user of this session is, with a passkey.
    ///
    /// # Errors
    /// `passkey_invalid`; `conflict`; `token_revoked` where the session is over.
    pub async fn prove_again_with_passkey(
        &self,
        user: &User,
        session: SessionId,
        credential: Map<String, Value>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let right = self
            .judge_passkey(PROOF, credential, Some(user.id), false)
            .await?;
        let mut tx = self.0.store.write().await?;
        if !account::still(&mut tx, user).await? {
            return Err(Error::new(
                Code::Conflict,
                "the account was changed at the same moment; try again",
            ));
        }
        if let Err(fault) = use_up(&mut tx, &right, self.0.clock.now()).await? {
            drop(tx);
            return Err(self.told(fault, &right, origin).await?);
        }
        self.proven_again(tx, user, session, NAME, origin).await
    }

    async fn request_options(&self, purpose: Purpose, user: UserId) -> Result<PasskeyOptions, Error> {
        let stored = sql::of_user(&mut self.0.store.read().await?, user).await?;
        let allowed: Vec<Known> = stored.into_iter().map(sql::Stored::known).collect();
        if allowed.is_empty() {
            return Err(Error::new(Code::NotFound, "the account has no passkey"));
        }
        let challenge = self.challenge(purpose, Some(user)).await?;
        let party = self.relying_party()?;
        Ok(browser::request(
            &party,
            &challenge,
            self.passkey_timeout(),
            &allowed,
            false,
        ))
    }

    /// Looks whether an answer is right, outside any transaction. `user`: whose passkey it must be, where that is known;
    /// where it is not, the authenticator says whose it is.
    async fn judge_passkey(
        &self,
        purpose: Purpose,
        credential: Map<String, Value>,
        user: Option<UserId>,
        verified: bool,
    ) -> Result<Right, Error> {
        let Asserted { raw_id, response, .. } = browser::asserted(credential)?;
        let client_data = &response.client_data.0;
        let (challenge, ticket) = self.claimed(purpose, client_data).await?;
        let mut reader = self.0.store.read().await?;
        let stored = sql::by_credential(&mut reader, &raw_id.0)
            .await?
            .ok_or_else(|| refused(Refusal::Signature))?;
        if ticket.user != user || user.is_some_and(|user| user != stored.user) {
            return Err(refused(Refusal::Challenge));
        }
        match (&response.user_handle, user) {
            (Some(handle), _) => {
                let owner = sql::handle_of(&mut reader, stored.user).await?;
                if owner.as_deref() != Some(handle.0.as_slice()) {
                    return Err(refused(Refusal::Malformed("it names another user")));
                }
            }
            // §7.2, step 6: with nobody named before, the authenticator must.
            (None, None) => return Err(refused(Refusal::Malformed("it names no user"))),
            (None, Some(_)) => {}
        }
        let party = self.relying_party()?;
        let expected = Expected {
            party: &party,
            challenge: &challenge,
            verified,
        };
        let key = PublicKey::read(&stored.public_key).map_err(Error::internal)?;
        let state = webauthn::authenticate(
            &expected,
            &key,
            stored.passkey.backup_eligible,
            client_data,
            &response.authenticator_data.0,
            &response.signature.0,
        )
        .map_err(refused)?;
        Ok(Right {
            stored,
            state,
            purpose,
            ticket: ticket.key,
        })
    }

    /// What is said of an answer that could not be used up.
    async fn told(&self, fault: Fault, right: &Right, origin: &Origin) -> Result<Error, Error> {
        if let Fault::Counter = fault {
            tracing::warn!(passkey = %right.stored.passkey.id, "the counter of a passkey did not go up; it may have been copied");
            let event = Event {
                data: serde_json::json!({ "passkey": right.stored.passkey.id, "name": right.stored.passkey.name }),
                ..Event::new("passkey.counter_regressed", self.0.clock.now())
                    .of_user(right.stored.user)
                    .seen_from(origin)
            };
            event::write(&mut self.0.store.single(), &self.0.entropy, event).await?;
        }
        Ok(refused(Refusal::Challenge))
    }
}

/// Why a right answer is not accepted after all.
enum Fault {
    /// Somebody else has used the challenge.
    Challenge,
    /// The counter did not go up.
    Counter,
    /// The passkey was removed at the same moment.
    Gone,
}

/// A step: uses the answer up; challenge and counter decide who of several goes on.
async fn use_up(tx: &mut Tx, right: &Right, now: Timestamp) -> Result<Result<(), Fault>, Error> {
    if ticket::spend(tx, right.purpose, &right.ticket, now)
        .await?
        .is_none()
    {
        return Ok(Err(Fault::Challenge));
    }
    let state = right.state;
    let moved = sql::note_use(
        tx,
        right.stored.passkey.id,
        state.sign_count,
        state.backed_up,
        state.verified,
        // It was named by nobody, and so found by itself.
        right.purpose == SIGN_IN,
        now,
    )
    .await?;
    if moved == 1 {
        return Ok(Ok(()));
    }
    let is_there = sql::by_credential(tx, &right.stored.credential_id)
        .await?
        .is_some();
    Ok(Err(if is_there { Fault::Counter } else { Fault::Gone }))
}
