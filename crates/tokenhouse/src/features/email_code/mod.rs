//! Codes by mail, where the operator lets them stand in for a second factor that is not at hand. They make no second
//! step due by themselves, they do not follow a login by mail nor a password that was chosen by mail, which showed the same
//! thing, and nobody can ask for one without having taken the first step.

mod pages;
pub(crate) mod routes;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::kernel::Feature;
use crate::kernel::account::{Email, User};
use crate::kernel::factor::{Factor, UseUp};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mail::{self, Content, Facts, Mail};
use crate::kernel::ticket::{self, NewTicket, Purpose};

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: "email_code",
    enabled: |settings| settings.features.email,
    routes: routes::routes,
    factor: Some(Factor {
        name: NAME,
        stands_in: true,
        by_mail: true,
        can_be_set_up: false,
        enrolled: |house, _, user| {
            let can = house.may_mail_codes_to(user);
            Box::pin(async move { Ok(can) })
        },
        judge: Some(judge),
    }),
    way_in: None,
    sweep: None,
    prove: None,
    pages: pages::PAGES,
    vouch: None,
    disown: None,
};

const NAME: &str = "email_code";
const SECOND_STEP: Purpose = Purpose("email.second_step");
const LIFETIME: Duration = Duration::from_secs(600);

impl Tokenhouse {
    /// Sends a code to somebody who has taken the first step of a login.
    ///
    /// # Errors
    /// `mfa_expired`; `forbidden` where a code by mail does not do; `rate_limited`.
    pub async fn mail_second_step(&self, mfa_token: &Secret, origin: &Origin) -> Result<(), Error> {
        let waiting = self.look_at_second_step(mfa_token).await?;
        let factors = self
            .factors_of(
                &mut self.0.store.read().await?,
                waiting.user(),
                waiting.is_by_mail(),
            )
            .await?;
        if !factors.iter().any(|factor| factor.name == NAME) {
            return Err(not_here());
        }
        self.mail_code(waiting.user(), origin).await
    }

    /// Sends a code to the user of a session, who is to prove again who they are.
    ///
    /// # Errors
    /// `forbidden` where a code by mail does not do; `rate_limited`.
    pub async fn mail_proof(&self, user: &User, origin: &Origin) -> Result<(), Error> {
        if !self.may_mail_codes_to(user) {
            return Err(not_here());
        }
        self.mail_code(user, origin).await
    }

    async fn mail_code(&self, user: &User, origin: &Origin) -> Result<(), Error> {
        self.count_asking(origin).await?;
        let email = user.email.as_deref().and_then(|text| Email::parse(text).ok());
        let email = email.ok_or_else(not_here)?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        if !self
            .may_mail(&mut tx, SECOND_STEP, user.id.0.as_bytes(), now)
            .await?
        {
            tx.commit().await?;
            return Err(Error::new(
                Code::RateLimited,
                "too many codes were sent to this address; use the last one, or wait",
            )
            .retry_after(*self.0.settings.mail.per_address_interval));
        }
        let new = NewTicket {
            purpose: SECOND_STEP,
            user: Some(user.id),
            subject: Some(&subject(user.id)),
            data: Value::Null,
            lifetime: LIFETIME,
            with_code: true,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        let mail = Mail {
            to: email.as_str(),
            kind: "second_step",
            language: self.language_for(Some(user), origin).tag(),
            content: Content {
                // A link would log in whoever follows it, wherever that is.
                link: None,
                code: issued.code.map(|code| code.expose().to_owned()),
                expires_at: Some(after(now, LIFETIME)),
                places: Vec::new(),
                facts: Some(Facts::of(origin, now)),
            },
            decoy: false,
        };
        mail::enqueue(&mut tx, self, mail, now).await?;
        tx.commit().await?;
        Ok(())
    }

    fn may_mail_codes_to(&self, user: &User) -> bool {
        self.0.settings.second_factors.email_code && self.sends_mail() && user.email_verified
    }
}

fn judge<'a>(
    house: &'a Tokenhouse,
    user: &'a User,
    typed: &'a Secret,
    now: Timestamp,
) -> BoxFuture<'a, Result<Option<UseUp>, Error>> {
    Box::pin(async move {
        let key = house.read_code(SECOND_STEP, &subject(user.id), typed).await?;
        Ok(key.map(|key| -> UseUp {
            Box::new(move |tx| {
                Box::pin(async move { Ok(ticket::spend(tx, SECOND_STEP, &key, now).await?.is_some()) })
            })
        }))
    })
}

fn subject(user: UserId) -> String {
    user.to_string()
}

fn not_here() -> Error {
    Error::new(Code::Forbidden, "a code by mail does not do here")
}
