//! Proving again by mail: whoever logs in by a mail proves by another that they still read it. A code only, and good
//! only in the session that asked for it: a link would prove the session of whoever sent it to be followed.

use std::time::Duration;

use serde_json::json;

use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::kernel::account::{self, Email, User};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mail::{self, Content, Facts, Mail};
use crate::kernel::mailbox::ticket_invalid;
use crate::kernel::ticket::{self, NewTicket, Purpose};

/// Proves a session again.
const AGAIN: Purpose = Purpose("login.magic.again");
const LIFETIME: Duration = Duration::from_secs(600);

impl Tokenhouse {
    /// Sends a code to the user of a session, who is to prove again who they are.
    ///
    /// # Errors
    /// `forbidden` where the account is not logged in to by mail; `fresh_proof_required` where it has a second factor,
    /// which then must be shown; `rate_limited`.
    pub async fn ask_to_prove_by_mail(
        &self,
        user: &User,
        session: SessionId,
        origin: &Origin,
    ) -> Result<(), Error> {
        let email = user.email.as_deref().and_then(|text| Email::parse(text).ok());
        let Some(email) = email.filter(|_| self.logs_in_by_mail(user)) else {
            return Err(Error::new(Code::Forbidden, "a code by mail does not do here"));
        };
        if self
            .has_second_factor(&mut self.0.store.read().await?, user)
            .await?
        {
            return Err(Error::new(
                Code::FreshProofRequired,
                "the account has a second factor; prove it with that",
            ));
        }
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        if !self.may_mail(&mut tx, AGAIN, user.id.0.as_bytes(), now).await? {
            tx.commit().await?;
            return Err(Error::new(
                Code::RateLimited,
                "too many codes were sent to this address; use the last one, or wait",
            )
            .retry_after(*self.0.settings.mail.per_address_interval));
        }
        let new = NewTicket {
            purpose: AGAIN,
            user: Some(user.id),
            subject: Some(&session.to_string()),
            data: json!({ "epoch": user.epoch }),
            lifetime: LIFETIME,
            with_code: true,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        let mail = Mail {
            to: email.as_str(),
            kind: "prove",
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
        mail::enqueue(&mut tx, self, mail, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Proves again who the user of this session is, with the code from the mail.
    ///
    /// # Errors
    /// `ticket_invalid`; `fresh_proof_required` where the account has a second factor by now; `conflict`.
    pub async fn prove_again_by_mail(
        &self,
        user: &User,
        session: SessionId,
        code: &Secret,
        origin: &Origin,
    ) -> Result<(), Error> {
        let key = self
            .read_code(AGAIN, &session.to_string(), code)
            .await?
            .ok_or_else(ticket_invalid)?;
        let mut tx = self.0.store.write().await?;
        if !account::still(&mut tx, user).await? {
            return Err(ticket_invalid());
        }
        ticket::spend(&mut tx, AGAIN, &key, self.0.clock.now())
            .await?
            // The address may be another since.
            .filter(|ticket| ticket.user == Some(user.id) && ticket.data["epoch"] == json!(user.epoch))
            .ok_or_else(ticket_invalid)?;
        self.proven_by_first(tx, user, session, "magic", origin).await
    }

    /// Whether a mail is enough to log in to the account, as far as its first factor goes.
    pub(super) fn logs_in_by_mail(&self, user: &User) -> bool {
        self.sends_mail() && user.email_verified
    }
}
