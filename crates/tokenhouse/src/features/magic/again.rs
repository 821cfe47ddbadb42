//! Proving again by mail: whoever logs in by a mail proves by another that they still read it. A code only, and good
//! only in the session that asked for it: a link would prove the session of whoever sent it to be followed.

use serde_json::json;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::kernel::account::{self, Email, User};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mail::CodeFor;
use crate::kernel::mailbox::ticket_invalid;
use crate::kernel::ticket::{self, Purpose};

/// Proves a session again.
const AGAIN: Purpose = Purpose("login.magic.again");

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
        let code = CodeFor {
            purpose: AGAIN,
            subject: &session.to_string(),
            data: json!({ "epoch": user.epoch }),
            kind: "prove",
        };
        self.mail_code(user, &email, code, origin).await
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
