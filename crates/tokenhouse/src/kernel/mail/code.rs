//! Codes by mail to a user who has shown who they are, as far as asking for one goes: as a second step, or to prove again.
//! A code only: a link would be followed wherever it is opened, and not where it was asked for.

use std::time::Duration;

use serde_json::Value;

use super::{Content, Facts, Mail, enqueue};
use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::kernel::account::{Email, User};
use crate::kernel::house::Tokenhouse;
use crate::kernel::ticket::{self, NewTicket, Purpose};

const LIFETIME: Duration = Duration::from_secs(600);

/// What a code is good for.
pub(crate) struct CodeFor<'a> {
    pub(crate) purpose: Purpose,
    /// What it is typed in for: of two for one subject the older is void.
    pub(crate) subject: &'a str,
    pub(crate) data: Value,
    /// The mail's kind.
    pub(crate) kind: &'static str,
}

impl Tokenhouse {
    /// Mails a code to the user. Counted for the network, and for the account and purpose.
    ///
    /// # Errors
    /// `mail_disabled`; `rate_limited`.
    pub(crate) async fn mail_code(
        &self,
        user: &User,
        email: &Email,
        code: CodeFor<'_>,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        if !self
            .may_mail(&mut tx, code.purpose, user.id.0.as_bytes(), now)
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
            purpose: code.purpose,
            user: Some(user.id),
            subject: Some(code.subject),
            data: code.data,
            lifetime: LIFETIME,
            with_code: true,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        let mail = Mail {
            to: email.as_str(),
            kind: code.kind,
            language: self.language_for(Some(user), origin).tag(),
            content: Content {
                link: None,
                code: issued.code.map(|code| code.expose().to_owned()),
                expires_at: Some(after(now, LIFETIME)),
                places: Vec::new(),
                facts: Some(Facts::of(origin, now)),
            },
            decoy: false,
        };
        enqueue(&mut tx, self, mail, now).await?;
        Ok(tx.commit().await?)
    }
}
