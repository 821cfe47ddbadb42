//! Authenticator apps: time-based codes (RFC 6238) as a second factor.
//!
//! The secret is shown once, as a QR code and as text, and counts for nothing until a code made of it has come back. In
//! the database it is sealed. Each code works once: the last step used is kept, and moved forward by
//! a guarded statement.

mod code;
mod pages;
mod qr;
pub(crate) mod routes;
mod sql;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::{Store, Tx};
use crate::kernel::Feature;
use crate::kernel::account::User;
use crate::kernel::factor::{self, Factor, UseUp};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::LoggedIn;
use crate::kernel::login::second::Second;

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: "totp",
    enabled: |settings| settings.features.totp,
    routes: routes::routes,
    factor: Some(Factor {
        name: NAME,
        stands_in: false,
        by_mail: false,
        can_be_set_up: true,
        enrolled: |_, on, user| Box::pin(async move { Ok(sql::by_user(on, user.id).await?.is_some()) }),
        judge: Some(judge),
    }),
    way_in: None,
    sweep: Some(|store, now| Box::pin(sweep(store, now))),
    prove: None,
    pages: pages::PAGES,
    vouch: None,
    disown: Some(|tx, user, since| {
        Box::pin(async move { Ok(sql::remove_since(tx, user, since).await.map(drop)?) })
    }),
};

const NAME: &str = "totp";
/// How long somebody has from seeing the QR code to typing the first code.
const ENROLMENT: Duration = Duration::from_secs(1800);

/// What an authenticator app is to be given.
#[derive(Clone, Debug)]
pub struct TotpEnrolment {
    /// The secret in base32, for typing.
    pub secret: Secret,
    /// The same for an app on the same device.
    pub uri: Secret,
    /// The same as a picture, in SVG.
    pub qr_code: Secret,
}

impl Tokenhouse {
    /// Makes a secret for an authenticator app. Nothing changes until [a code is confirmed](Self::confirm_totp); the app
    /// in use till then works on.
    ///
    /// # Errors
    /// `fresh_proof_required`.
    pub async fn begin_totp(&self, user: &User, session: SessionId) -> Result<TotpEnrolment, Error> {
        self.require_fresh(session).await?;
        self.new_totp_secret(user).await
    }

    /// Begins to use the authenticator app. With the first second factor every other session is over. Gives the recovery
    /// codes that were made, which are shown this once.
    ///
    /// # Errors
    /// `mfa_invalid` where the code is not right; `not_found` where nothing was begun; `fresh_proof_required`.
    pub async fn confirm_totp(
        &self,
        user: &User,
        session: SessionId,
        code: &Secret,
        origin: &Origin,
    ) -> Result<Vec<Secret>, Error> {
        self.require_fresh(session).await?;
        let confirmed = self.confirmed(user, code).await?;
        let mut tx = self.0.store.write().await?;
        factor::begin_change(&mut tx, user, self.0.clock.now()).await?;
        let added = self
            .store_totp(&mut tx, user, confirmed, Some(session), origin)
            .await?;
        tx.commit().await?;
        self.remember_revoked(&added.ended);
        Ok(added.recovery_codes)
    }

    /// Makes a secret for somebody who must set up a second factor before they are in.
    ///
    /// # Errors
    /// `mfa_expired`; `forbidden` where there is a second factor, which must be shown.
    pub async fn begin_totp_at_login(&self, mfa_token: &Secret) -> Result<TotpEnrolment, Error> {
        let waiting = self.look_at_second_step(mfa_token).await?;
        if !waiting.sets_up() {
            return Err(set_up_already());
        }
        self.new_totp_secret(waiting.user()).await
    }

    /// Begins to use the authenticator app, and ends the login that waited for it.
    ///
    /// # Errors
    /// `mfa_invalid`, `mfa_expired`; `not_found` where nothing was begun.
    pub async fn confirm_totp_at_login(
        &self,
        mfa_token: &Secret,
        code: &Secret,
        origin: &Origin,
    ) -> Result<(LoggedIn, Vec<Secret>), Error> {
        let waiting = self.try_second_step(mfa_token).await?;
        if !waiting.sets_up() {
            return Err(set_up_already());
        }
        let confirmed = self.confirmed(waiting.user(), code).await?;
        let mut tx = self.0.store.write().await?;
        let resumed = self.resume(&mut tx, waiting).await?;
        let user = resumed.user().clone();
        factor::begin_change(&mut tx, &user, self.0.clock.now()).await?;
        let added = self.store_totp(&mut tx, &user, confirmed, None, origin).await?;
        let second = Second {
            user: user.id,
            method: NAME,
        };
        let login = self.finish(tx, resumed, second, origin).await?;
        self.remember_revoked(&added.ended);
        Ok((login, added.recovery_codes))
    }

    /// Stops using the authenticator app.
    ///
    /// # Errors
    /// `not_found` where there is none; `second_factor_required`; `fresh_proof_required`.
    pub async fn remove_totp(&self, user: &User, session: SessionId, origin: &Origin) -> Result<(), Error> {
        self.require_fresh(session).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        factor::begin_change(&mut tx, user, now).await?;
        if sql::remove(&mut tx, user.id).await? == 0 {
            return Err(Error::new(Code::NotFound, "you use no authenticator app"));
        }
        self.factor_removed(&mut tx, user, NAME, origin, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether the user uses an authenticator app.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn uses_totp(&self, user: UserId) -> Result<bool, Error> {
        Ok(sql::by_user(&mut self.0.store.read().await?, user)
            .await?
            .is_some())
    }

    /// What was begun, once more, after a wrong code.
    async fn totp_begun(&self, user: &User) -> Result<TotpEnrolment, Error> {
        let now = self.0.clock.now();
        let begun = sql::begun(&mut self.0.store.read().await?, user.id, now).await?;
        let (sealed,) = begun.ok_or_else(nothing_begun)?;
        let secret = self.unseal(user.id, &sealed)?;
        self.totp_enrolment(user, &secret)
    }

    async fn totp_begun_at_login(&self, mfa_token: &Secret) -> Result<TotpEnrolment, Error> {
        let waiting = self.look_at_second_step(mfa_token).await?;
        self.totp_begun(waiting.user()).await
    }

    async fn new_totp_secret(&self, user: &User) -> Result<TotpEnrolment, Error> {
        let now = self.0.clock.now();
        let secret = Zeroizing::new(self.0.entropy.bytes::<{ code::SECRET_BYTES }>()?);
        let sealed = self
            .0
            .keys
            .master()
            .seal(&context(user.id), &*secret)
            .map_err(Error::internal)?;
        sql::begin(&mut self.0.store.single(), user.id, sealed, after(now, ENROLMENT)).await?;
        self.totp_enrolment(user, &*secret)
    }

    fn totp_enrolment(&self, user: &User, secret: &[u8]) -> Result<TotpEnrolment, Error> {
        let account = user.email.as_deref().or(user.username.as_deref());
        let uri = code::uri(&self.totp_issuer(), account.unwrap_or_default(), secret);
        Ok(TotpEnrolment {
            secret: Secret::from(code::spelled(secret)),
            qr_code: Secret::from(qr::svg(&uri).map_err(Error::internal)?),
            uri: Secret::from(uri),
        })
    }

    /// The secret that was begun with, if `typed` is a code of it.
    async fn confirmed(&self, user: &User, typed: &Secret) -> Result<Confirmed, Error> {
        let now = self.0.clock.now();
        let begun = sql::begun(&mut self.0.store.read().await?, user.id, now).await?;
        let (sealed,) = begun.ok_or_else(nothing_begun)?;
        let secret = self.unseal(user.id, &sealed)?;
        // A code that the app in use has spent was made of another secret.
        let step = code::matching_step(&secret, typed.expose(), i64::MIN, now).ok_or_else(|| {
            Error::new(
                Code::MfaInvalid,
                "the code is not right; look whether the clocks of this device and of the phone agree",
            )
        })?;
        Ok(Confirmed { sealed, step })
    }

    async fn store_totp(
        &self,
        tx: &mut Tx,
        user: &User,
        confirmed: Confirmed,
        keep: Option<SessionId>,
        origin: &Origin,
    ) -> Result<factor::Added, Error> {
        let now = self.0.clock.now();
        let is_first = !self.has_second_factor(tx, user).await?;
        if sql::end(tx, user.id, confirmed.sealed.clone()).await? == 0 {
            return Err(nothing_begun());
        }
        sql::replace(tx, user.id, confirmed.sealed, confirmed.step, now).await?;
        self.factor_added(tx, user, NAME, is_first, keep, origin, now)
            .await
    }

    fn unseal(&self, user: UserId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.0
            .keys
            .master()
            .open(&context(user), sealed)
            .map_err(Error::internal)
    }

    fn totp_issuer(&self) -> String {
        let settings = &self.0.settings;
        settings.second_factors.issuer.clone().unwrap_or_else(|| {
            let url = url::Url::parse(&settings.public_url).ok();
            url.and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_default()
        })
    }
}

/// An enrolment whose code was right.
struct Confirmed {
    sealed: Vec<u8>,
    step: i64,
}

fn judge<'a>(
    house: &'a Tokenhouse,
    user: &'a User,
    typed: &'a Secret,
    now: Timestamp,
) -> BoxFuture<'a, Result<Option<UseUp>, Error>> {
    Box::pin(async move {
        let Some((sealed, last_step)) = sql::by_user(&mut house.0.store.read().await?, user.id).await? else {
            return Ok(None);
        };
        let secret = house.unseal(user.id, &sealed)?;
        let Some(step) = code::matching_step(&secret, typed.expose(), last_step, now) else {
            return Ok(None);
        };
        let user = user.id;
        let use_up: UseUp =
            Box::new(move |tx| Box::pin(async move { Ok(sql::use_up(tx, user, step).await? == 1) }));
        Ok(Some(use_up))
    })
}

/// So that a sealed secret cannot be moved to another account.
fn context(user: UserId) -> String {
    format!("totp of {user}")
}

fn nothing_begun() -> Error {
    Error::new(
        Code::NotFound,
        "no authenticator app is being set up, or it took too long; begin again",
    )
}

fn set_up_already() -> Error {
    Error::new(
        Code::Forbidden,
        "the account has a second factor, which must be shown",
    )
}

async fn sweep(store: &Store, now: Timestamp) -> Result<(), Error> {
    while sql::sweep(&mut store.single(), now).await? > 0 {}
    Ok(())
}

/// The code that an app with this secret shows at `now`.
#[cfg(feature = "testing")]
#[must_use]
pub fn code_of_app(secret: &Secret, now: Timestamp) -> String {
    let secret = data_encoding::BASE32_NOPAD
        .decode(secret.expose().as_bytes())
        .unwrap_or_default();
    code::code_now(&secret, now)
}
