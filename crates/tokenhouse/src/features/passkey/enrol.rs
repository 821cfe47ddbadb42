//! Making a passkey.

use serde_json::{Map, Value};

use super::browser::{self, Known, Owner, PasskeyOptions};
use super::webauthn::{self, Expected, Refusal};
use super::{NAME, Passkey, checked_name, refused, sql};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::Tx;
use crate::kernel::account::User;
use crate::kernel::factor::{self, Added};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::LoggedIn;
use crate::kernel::login::second::Second;
use crate::kernel::ticket::{self, Key, Purpose};

const ENROLMENT: Purpose = Purpose("passkey enrolment");

impl Tokenhouse {
    /// What a browser needs to make a passkey for the user.
    ///
    /// # Errors
    /// `fresh_proof_required`; `forbidden` where the user has as many as they may.
    pub async fn begin_passkey(&self, user: &User, session: SessionId) -> Result<PasskeyOptions, Error> {
        self.require_fresh(session).await?;
        self.creation_options(user).await
    }

    /// Keeps the passkey that a browser made. With the first second factor every other session is over. Gives the
    /// passkey, and the recovery codes that were made, which are shown this once.
    ///
    /// # Errors
    /// `passkey_invalid`; `invalid_fields`; `fresh_proof_required`; `conflict`.
    pub async fn finish_passkey(
        &self,
        user: &User,
        session: SessionId,
        credential: Map<String, Value>,
        name: Option<&str>,
        origin: &Origin,
    ) -> Result<(Passkey, Vec<Secret>), Error> {
        self.require_fresh(session).await?;
        let (new, ticket) = self.made(user, credential, name).await?;
        let mut tx = self.0.store.write().await?;
        factor::begin_change(&mut tx, user, self.0.clock.now()).await?;
        let added = self
            .keep_passkey(&mut tx, user, &new, &ticket, Some(session), origin)
            .await?;
        tx.commit().await?;
        self.remember_revoked(&added.ended);
        Ok((new.passkey, added.recovery_codes))
    }

    /// What a browser needs to make a passkey for somebody who must set up a second factor before they are in.
    ///
    /// # Errors
    /// `mfa_expired`; `forbidden` where there is a second factor, which must be shown.
    pub async fn begin_passkey_at_login(&self, mfa_token: &Secret) -> Result<PasskeyOptions, Error> {
        let waiting = self.look_at_second_step(mfa_token).await?;
        if !waiting.sets_up() {
            return Err(set_up_already());
        }
        self.creation_options(waiting.user()).await
    }

    /// Keeps the passkey, and ends the login that waited for it.
    ///
    /// # Errors
    /// `passkey_invalid`, `mfa_expired`; `invalid_fields`.
    pub async fn finish_passkey_at_login(
        &self,
        mfa_token: &Secret,
        credential: Map<String, Value>,
        name: Option<&str>,
        origin: &Origin,
    ) -> Result<(LoggedIn, Vec<Secret>), Error> {
        let waiting = self.try_second_step(mfa_token).await?;
        if !waiting.sets_up() {
            return Err(set_up_already());
        }
        let (new, ticket) = self.made(waiting.user(), credential, name).await?;
        let mut tx = self.0.store.write().await?;
        let resumed = self.resume(&mut tx, waiting).await?;
        let user = resumed.user().clone();
        factor::begin_change(&mut tx, &user, self.0.clock.now()).await?;
        let added = self
            .keep_passkey(&mut tx, &user, &new, &ticket, None, origin)
            .await?;
        let second = Second {
            user: user.id,
            method: NAME,
        };
        let login = self.finish(tx, resumed, second, origin).await?;
        self.remember_revoked(&added.ended);
        Ok((login, added.recovery_codes))
    }

    async fn creation_options(&self, user: &User) -> Result<PasskeyOptions, Error> {
        let existing = sql::of_user(&mut self.0.store.read().await?, user.id).await?;
        self.require_room(existing.len())?;
        let existing: Vec<Known> = existing.into_iter().map(sql::Stored::known).collect();
        let fresh = self.0.entropy.bytes::<32>()?;
        let handle = sql::handle(&mut self.0.store.single(), user.id, &fresh).await?;
        let challenge = self.challenge(ENROLMENT, Some(user.id)).await?;
        let party = self.relying_party()?;
        let name = self.0.settings.passkeys.name.clone();
        let owner = Owner {
            handle: &handle,
            name: user
                .email
                .as_deref()
                .or(user.username.as_deref())
                .unwrap_or_default(),
        };
        Ok(browser::creation(
            &party,
            name.as_deref().unwrap_or(&party.id),
            &owner,
            &challenge,
            self.passkey_timeout(),
            &existing,
        ))
    }

    /// The passkey that a browser made, if it answers a challenge that was made for this user.
    async fn made(
        &self,
        user: &User,
        credential: Map<String, Value>,
        name: Option<&str>,
    ) -> Result<(sql::New, Key), Error> {
        let name = checked_name(name.unwrap_or("Passkey"))?;
        let created = browser::created(credential)?;
        let client_data = &created.response.client_data.0;
        let (challenge, ticket) = self.claimed(ENROLMENT, client_data).await?;
        if ticket.user != Some(user.id) {
            return Err(refused(Refusal::Challenge));
        }
        let party = self.relying_party()?;
        let expected = Expected {
            party: &party,
            challenge: &challenge,
            verified: false,
        };
        let registered = webauthn::register(&expected, client_data, &created.response.attestation_object.0)
            .map_err(refused)?;
        if registered.credential_id != created.raw_id.0 {
            return Err(refused(Refusal::Malformed("it names another credential")));
        }
        let now = self.0.clock.now();
        let (verified, discoverable) = (registered.state.verified, created.is_discoverable());
        let new = sql::New {
            user: user.id,
            sign_count: registered.state.sign_count,
            user_verified: verified,
            discoverable,
            public_key: registered.public_key.cose().to_vec(),
            credential_id: registered.credential_id,
            passkey: Passkey {
                id: self.0.entropy.uuid_v7(now)?,
                name,
                created_at: now,
                last_used_at: None,
                signs_in_alone: verified && discoverable,
                backup_eligible: registered.state.backup_eligible,
                backed_up: registered.state.backed_up,
                transports: created.transports().into_iter().map(str::to_owned).collect(),
                aaguid: uuid::Uuid::from_bytes(registered.aaguid),
            },
        };
        Ok((new, ticket.key))
    }

    /// A step: keeps a passkey, after `begin_change`.
    async fn keep_passkey(
        &self,
        tx: &mut Tx,
        user: &User,
        new: &sql::New,
        ticket: &Key,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<Added, Error> {
        let now = self.0.clock.now();
        ticket::spend(tx, ENROLMENT, ticket, now)
            .await?
            .ok_or_else(|| refused(Refusal::Challenge))?;
        let is_first = !self.has_second_factor(tx, user).await?;
        self.require_room(self.count_passkeys(tx, user.id).await?)?;
        if sql::insert(tx, new).await? == 0 {
            return Err(refused(Refusal::Malformed(
                "the credential is registered already",
            )));
        }
        self.factor_added(tx, user, NAME, is_first, keep, origin, now)
            .await
    }

    async fn count_passkeys(&self, tx: &mut Tx, user: UserId) -> Result<usize, Error> {
        Ok(sql::of_user(tx, user).await?.len())
    }

    fn require_room(&self, count: usize) -> Result<(), Error> {
        let most = self.0.settings.passkeys.max_per_user;
        if u32::try_from(count).is_ok_and(|count| count < most) {
            return Ok(());
        }
        Err(Error::new(
            Code::Forbidden,
            format!("you have {most} passkeys; remove one before you add another"),
        ))
    }
}

fn set_up_already() -> Error {
    Error::new(
        Code::Forbidden,
        "the account has a second factor, which must be shown",
    )
}
