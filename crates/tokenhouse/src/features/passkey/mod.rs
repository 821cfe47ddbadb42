//! Passkeys (W3C Web Authentication, Level 3): a key that an authenticator made for this domain and never gives away.
//!
//! One that verifies who uses it, by finger, face or PIN, shows two factors at once and logs in alone, without a name
//! being typed. One that does not is a second factor. Each challenge is a ticket, and so is good for one answer: its
//! secret *is* the challenge, which the browser sends back signed.

mod browser;
mod enrol;
mod pages;
pub(crate) mod routes;
mod sign_in;
mod sql;
mod webauthn;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

pub use self::browser::PasskeyOptions;
use self::webauthn::{Refusal, RelyingParty};
use crate::base::error::{Code, Error, FieldError};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::settings::Settings;
use crate::kernel::Feature;
use crate::kernel::account::User;
use crate::kernel::factor::{self, Factor};
use crate::kernel::house::Tokenhouse;
use crate::kernel::ticket::{self, Key, NewTicket, Purpose, Ticket};

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: NAME,
    enabled: |settings| settings.features.passkey,
    routes: routes::routes,
    factor: Some(Factor {
        name: NAME,
        stands_in: false,
        by_mail: false,
        can_be_set_up: true,
        enrolled: |_, on, user| Box::pin(async move { Ok(!sql::of_user(on, user.id).await?.is_empty()) }),
        judge: None,
    }),
    way_in: Some(|_, on, user| {
        Box::pin(async move {
            let passkeys = sql::of_user(on, user.id).await?;
            Ok(passkeys.iter().any(|one| one.passkey.signs_in_alone))
        })
    }),
    sweep: None,
    prove: None,
    pages: pages::PAGES,
    vouch: None,
    disown: Some(|tx, user, since| {
        Box::pin(async move { Ok(sql::remove_since(tx, user, since).await.map(drop)?) })
    }),
};

const NAME: &str = "passkey";
const MAX_NAME: usize = 64;

/// A passkey, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Passkey {
    /// For renaming and removing it.
    pub id: Uuid,
    /// What its owner calls it.
    #[schema(example = "My phone")]
    pub name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last let its owner in.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Whether it is enough by itself to log in; otherwise it is a second factor.
    pub signs_in_alone: bool,
    /// Whether it can be copied to the owner's other devices.
    pub backup_eligible: bool,
    /// Whether it has been; if not, it is lost with its device.
    pub backed_up: bool,
    /// How it is reached.
    #[schema(example = json!(["internal", "hybrid"]))]
    pub transports: Vec<String>,
    /// The model of the authenticator, as it says itself; all zeros where it does not.
    pub aaguid: Uuid,
}

impl Tokenhouse {
    /// The passkeys of the user, the first made first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn passkeys(&self, user: UserId) -> Result<Vec<Passkey>, Error> {
        let stored = sql::of_user(&mut self.0.store.read().await?, user).await?;
        Ok(stored.into_iter().map(|one| one.passkey).collect())
    }

    /// Calls a passkey something else.
    ///
    /// # Errors
    /// `invalid_fields`; `not_found`.
    pub async fn rename_passkey(&self, user: UserId, id: Uuid, name: &str) -> Result<(), Error> {
        let name = checked_name(name)?;
        if sql::rename(&mut self.0.store.single(), id, user, &name).await? == 0 {
            return Err(no_such_passkey());
        }
        Ok(())
    }

    /// Forgets a passkey; the authenticator may go on offering it, in vain.
    ///
    /// # Errors
    /// `last_way_in`, `second_factor_required`; `not_found`; `fresh_proof_required`.
    pub async fn remove_passkey(
        &self,
        user: &User,
        session: SessionId,
        id: Uuid,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.require_fresh(session).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        factor::begin_change(&mut tx, user, now).await?;
        if sql::remove(&mut tx, id, user.id).await? == 0 {
            return Err(no_such_passkey());
        }
        self.factor_removed(&mut tx, user, NAME, origin, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A challenge that is good for one answer.
    async fn challenge(&self, purpose: Purpose, user: Option<UserId>) -> Result<Secret, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let new = NewTicket {
            purpose,
            user,
            subject: None,
            data: serde_json::Value::Null,
            lifetime: *self.0.settings.passkeys.timeout,
            with_code: false,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        tx.commit().await?;
        Ok(issued.token)
    }

    /// The challenge that an answer claims to answer, if it is one of ours, of this purpose, and not used yet.
    async fn claimed(&self, purpose: Purpose, client_data: &[u8]) -> Result<(Vec<u8>, Ticket), Error> {
        let challenge = webauthn::claimed_challenge(client_data).map_err(refused)?;
        let token = String::from_utf8(challenge.clone()).map_err(|_| refused(Refusal::Challenge))?;
        let ticket = self
            .peek_ticket(purpose, &Key::of(&Secret::from(token)))
            .await?
            .ok_or_else(|| refused(Refusal::Challenge))?;
        Ok((challenge, ticket))
    }

    fn relying_party(&self) -> Result<RelyingParty, Error> {
        relying_party(&self.0.settings).ok_or_else(|| Error::internal("public_url has no host"))
    }

    fn passkey_timeout(&self) -> u64 {
        u64::try_from(self.0.settings.passkeys.timeout.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The domain and the origins of this house.
fn relying_party(settings: &Settings) -> Option<RelyingParty> {
    let url = url::Url::parse(&settings.public_url).ok()?;
    let id = settings
        .passkeys
        .rp_id
        .clone()
        .or_else(|| url.host_str().map(str::to_owned))?;
    let mut origins = vec![url.origin().ascii_serialization()];
    origins.extend(settings.passkeys.origins.iter().cloned());
    Some(RelyingParty { id, origins })
}

/// What is wrong with the settings of passkeys, and with which.
pub(crate) fn check_settings(settings: &Settings) -> Result<(), (&'static str, String)> {
    let host = url::Url::parse(&settings.public_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let belongs = |host: &str, domain: &str| {
        host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let id = settings.passkeys.rp_id.as_deref().unwrap_or(&host);
    if !belongs(&host, id) {
        return Err((
            "passkeys.rp_id",
            format!("must be {host}, the host of public_url, or a domain above it"),
        ));
    }
    for origin in &settings.passkeys.origins {
        let url = url::Url::parse(origin)
            .ok()
            .filter(|url| url.origin().ascii_serialization() == *origin);
        if !url.is_some_and(|url| url.host_str().is_some_and(|host| belongs(host, id))) {
            return Err((
                "passkeys.origins",
                format!("`{origin}` must be an origin such as https://app.{id}, in the domain {id}"),
            ));
        }
    }
    if settings.passkeys.timeout.is_zero() {
        return Err((
            "passkeys.timeout",
            "must be longer than 0s, or no answer is ever in time".to_owned(),
        ));
    }
    Ok(())
}

fn checked_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Error::invalid_fields(vec![FieldError::new(
            "name",
            "name_invalid",
            format!("must have 1 to {MAX_NAME} characters, all of them visible"),
        )]));
    }
    Ok(name.to_owned())
}

fn no_such_passkey() -> Error {
    Error::new(Code::NotFound, "you have no such passkey")
}

/// The caller learns that it is not right; why is for the log.
fn refused(refusal: Refusal) -> Error {
    tracing::debug!(why = %refusal, "a passkey was refused");
    Error::new(
        Code::PasskeyInvalid,
        "the passkey is not known here, or its answer is not right or came too late; begin again",
    )
    .caused_by(refusal)
}
