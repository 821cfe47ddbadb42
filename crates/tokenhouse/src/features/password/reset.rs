//! A forgotten password: a mail lets whoever reads it choose another. Every session is then over.

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::secret::Secret;
use crate::kernel::account::{self, Email, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::{self, FromMail, RESET, still_meant, ticket_invalid};
use crate::kernel::notice::{Notice, security_notice};
use crate::kernel::session;
use crate::kernel::ticket;

use super::sql;

impl Tokenhouse {
    /// Sends a mail by which the account with this address gets a new password, if there is one.
    ///
    /// # Errors
    /// `invalid_fields` where it is no address; `mail_disabled`; `rate_limited`.
    pub async fn forgot_password(&self, email: &str, origin: &Origin) -> Result<(), Error> {
        let email = Self::read_address("email", email)?;
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let user = account::by_email(&mut tx, &email).await?;
        mailbox::send_reset(&mut tx, self, &email, user.as_ref(), false, origin, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sends somebody the mail by which they choose a new password: for operators, who so never know it. The old one is
    /// good until then.
    ///
    /// # Errors
    /// `mail_disabled`; `not_found` where the account has no address; `account_disabled`.
    pub async fn send_password_reset(&self, user: &User) -> Result<(), Error> {
        self.require_mail()?;
        let email = user.email.as_deref().and_then(|text| Email::parse(text).ok());
        let email = email.ok_or_else(|| Error::new(Code::NotFound, "the account has no e-mail address"))?;
        if !user.is_active {
            return Err(Error::new(Code::AccountDisabled, "the account is disabled"));
        }
        let (now, origin) = (self.0.clock.now(), Origin::default());
        let mut tx = self.0.store.write().await?;
        mailbox::send_reset(&mut tx, self, &email, Some(user), true, &origin, now).await?;
        let event = Event::new("password.reset_sent_by_operator", now).of_user(user.id);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives an account a new password, with what was in the mail. That the mail was read verifies the address; where it
    /// was not verified before, second factors, passkeys and recovery codes are gone.
    ///
    /// # Errors
    /// `ticket_invalid`; `invalid_fields` where the password is not acceptable, with which the link is not used up.
    pub async fn reset_password(
        &self,
        presented: &FromMail,
        new: &Secret,
        origin: &Origin,
    ) -> Result<(), Error> {
        let key = self.ticket_of(RESET, presented, None).await?;
        let owner = match self
            .peek_ticket(RESET, &key)
            .await?
            .and_then(|ticket| ticket.user)
        {
            Some(owner) => self.user(owner).await?,
            None => None,
        };
        let owner = owner.ok_or_else(ticket_invalid)?;
        let hash = self.hash_new_password("new_password", new, &owner).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ticket = ticket::look(&mut tx, RESET, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let user = still_meant(&mut tx, &ticket).await?.ok_or_else(ticket_invalid)?;
        if !account::bump_epoch(&mut tx, &user, now).await? {
            return Err(ticket_invalid());
        }
        ticket::spend(&mut tx, RESET, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        account::verify_email(&mut tx, user.id, &ticket.subject, now).await?;
        if !user.email_verified {
            // Until now nobody had shown to be whose address it is: what was set up may be a stranger's, who waits.
            self.take_factors_away(&mut tx, &user, origin, now).await?;
        }
        sql::replace(&mut tx, user.id, &hash, true, now).await?;
        let ended = session::end_all(&mut tx, self, user.id, None, now).await?;
        security_notice(&mut tx, self, &user, Notice::PasswordChanged, origin, now).await?;
        let event = Event::new("password.reset", now)
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(())
    }
}
