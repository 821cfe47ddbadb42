//! Codes by mail, where the operator lets them stand in for a second factor that is not at hand. They make no second
//! step due by themselves, they do not follow a login by mail nor a password that was chosen by mail, which showed the same
//! thing, and nobody can ask for one without having taken the first step.

mod pages;
pub(crate) mod routes;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::kernel::Feature;
use crate::kernel::account::{Email, User};
use crate::kernel::factor::{Factor, UseUp};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mail::CodeFor;
use crate::kernel::ticket::{self, Purpose};

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
        self.mail_stand_in(waiting.user(), origin).await
    }

    /// Sends a code to the user of a session, who is to prove again who they are.
    ///
    /// # Errors
    /// `forbidden` where a code by mail does not do; `rate_limited`.
    pub async fn mail_proof(&self, user: &User, origin: &Origin) -> Result<(), Error> {
        if !self.may_mail_codes_to(user) {
            return Err(not_here());
        }
        self.mail_stand_in(user, origin).await
    }

    async fn mail_stand_in(&self, user: &User, origin: &Origin) -> Result<(), Error> {
        let email = user.email.as_deref().and_then(|text| Email::parse(text).ok());
        let code = CodeFor {
            purpose: SECOND_STEP,
            subject: &subject(user.id),
            data: Value::Null,
            kind: "second_step",
        };
        self.mail_code(user, &email.ok_or_else(not_here)?, code, origin)
            .await
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
