//! The address of an account: verified by a mail to it, changed by a mail to the new one. Whoever had the old one is
//! told, and can take the change back: who has stolen a session or a password must not take the account for good.

mod pages;
pub(crate) mod routes;

use serde_json::json;

use crate::base::clock::{after, before as before_then};
use crate::base::error::{Error, FieldError};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::store::Tx;
use crate::kernel::Feature;
use crate::kernel::account::{self, Email, User};
use crate::kernel::event::{self, Event};
use crate::kernel::factor;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mail::{self, Asked, Content, Facts, Mail, Reply};
use crate::kernel::mailbox::{self, FromMail, UNDO, VERIFY, ticket_invalid};
use crate::kernel::session;
use crate::kernel::ticket::{self, Key, NewTicket, Purpose};

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: "email",
    enabled: |settings| settings.features.email,
    routes: routes::routes,
    pages: pages::PAGES,
    factor: None,
    way_in: None,
    sweep: None,
    prove: None,
    vouch: None,
    disown: None,
};

/// Confirms a new address, from it.
const CHANGE: Purpose = Purpose("email.change");

impl Tokenhouse {
    /// Sends a mail by which the account with this address verifies it, if there is one that has not.
    ///
    /// # Errors
    /// `invalid_fields` where it is no address; `mail_disabled`; `rate_limited`.
    pub async fn ask_to_verify_email(&self, email: &str, origin: &Origin) -> Result<(), Error> {
        let email = Self::read_address("email", email)?;
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let user = account::by_email(&mut tx, &email).await?;
        let waits = |user: &User| user.is_active && !user.email_verified;
        let reply = Reply::ticket_if(user.as_ref().is_some_and(waits));
        mailbox::send_verification(&mut tx, self, &email, user.as_ref(), reply, origin, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Verifies an address with what was in the mail to it. `signed_in` is who is signed in where the mail is answered.
    ///
    /// The first time, second factors and recovery codes that were set up before are gone, and with them every session,
    /// unless whoever answers the mail is signed in to this account: it may have been opened by a stranger, who could
    /// otherwise stay by them whatever password is chosen later.
    ///
    /// # Errors
    /// `ticket_invalid`.
    pub async fn verify_email(
        &self,
        presented: &FromMail,
        signed_in: Option<UserId>,
        origin: &Origin,
    ) -> Result<User, Error> {
        let key = self.ticket_of(VERIFY, presented, None).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ticket = ticket::look(&mut tx, VERIFY, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let id = ticket.user.ok_or_else(ticket_invalid)?;
        let before = account::by_id(&mut tx, id).await?.ok_or_else(ticket_invalid)?;
        let user = account::verify_email(&mut tx, id, &ticket.subject, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        ticket::spend(&mut tx, VERIFY, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let event = Event::new("email.verified", now).of_user(id).seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        let mut ended = Vec::new();
        if !before.email_verified
            && signed_in != Some(id)
            && self.take_factors_away(&mut tx, &user, origin, now).await?
        {
            factor::begin_change(&mut tx, &user, now).await?;
            ended = session::end_all(&mut tx, self, id, None, now).await?;
        }
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(user)
    }

    /// Asks for another address for `user`, who has just shown to be it: a mail goes there, and nothing changes before
    /// its link is followed.
    ///
    /// # Errors
    /// `invalid_fields`; `email_taken` where the settings let that be told; `mail_disabled`; `rate_limited`.
    pub async fn ask_to_change_email(&self, user: &User, new: &str, origin: &Origin) -> Result<(), Error> {
        let new = Self::read_address("new_email", new)?;
        self.check_domain("new_email", &new)
            .map_err(|fault| Error::invalid_fields(vec![fault]))?;
        if user.email.as_deref().map(account::key).as_deref() == Some(new.key()) {
            return Err(Error::invalid_fields(vec![FieldError::new(
                "new_email",
                "email_unchanged",
                "is the address that the account has",
            )]));
        }
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let taken = account::by_email(&mut tx, &new).await?.is_some();
        if taken && self.0.settings.signup.reveal_taken {
            tx.commit().await?;
            return Err(account::email_taken());
        }
        let asked = Asked {
            purpose: CHANGE,
            kind: if taken { "change_attempt" } else { "change" },
            page: "/email/change",
            lifetime: *self.0.settings.links.verify,
            with_code: true,
            to: &new,
            user: Some(user),
            for_user_only: true,
            reply: if taken { Reply::Word } else { Reply::Ticket },
            data: json!({ "epoch": user.epoch, "new": new.as_str() }),
            language: self.language_for(Some(user), origin).tag(),
            urgent: false,
            places: Vec::new(),
            origin,
        };
        mail::ask(&mut tx, self, asked, now).await?;
        let event = Event::new("email.change_asked", now)
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives the account of `user`, who is logged in, its new address, with what was in the mail to it. Whoever has the old
    /// one is told.
    ///
    /// It takes both: with the mail alone, whoever reads it could be led to give their address to an account of
    /// somebody else's, and would then log in, by that address, to an account that is not theirs.
    ///
    /// # Errors
    /// `ticket_invalid`, also where the mail is about another account; `email_taken` where somebody else has got the
    /// address in the meantime.
    pub async fn change_email(
        &self,
        user: &User,
        presented: &FromMail,
        origin: &Origin,
    ) -> Result<User, Error> {
        let key = self.ticket_of(CHANGE, presented, Some(user.id)).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ticket = ticket::look(&mut tx, CHANGE, &key, now)
            .await?
            .filter(|ticket| ticket.user == Some(user.id))
            .ok_or_else(ticket_invalid)?;
        let id = user.id;
        let new = ticket.data["new"].as_str().unwrap_or_default();
        let new = Email::parse(new).map_err(|_| ticket_invalid())?;
        let before = account::by_id(&mut tx, id)
            .await?
            .filter(|user| user.is_active && ticket.data["epoch"] == json!(user.epoch))
            .ok_or_else(ticket_invalid)?;
        let user = account::set_email(&mut tx, &before, &new, now).await?;
        ticket::spend(&mut tx, CHANGE, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        self.tell_the_old_address(&mut tx, &before, &new, origin).await?;
        let event = Event::new("email.changed", now).of_user(id).seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// A step. A link that takes the change back goes only to an address that was shown to be the user's: one that was
    /// mistyped at sign-up belongs to a stranger, who could otherwise take the account.
    async fn tell_the_old_address(
        &self,
        tx: &mut Tx,
        before: &User,
        new: &Email,
        origin: &Origin,
    ) -> Result<(), Error> {
        let Some(old) = before.email.as_deref() else {
            return Ok(());
        };
        let now = self.0.clock.now();
        let lifetime = *self.0.settings.links.undo;
        let mut content = Content {
            facts: Some(Facts::of(origin, now)),
            ..Content::default()
        };
        let kind = if before.email_verified && !lifetime.is_zero() {
            let new_ticket = NewTicket {
                purpose: UNDO,
                user: Some(before.id),
                subject: None,
                data: json!({ "old": old }),
                lifetime,
                with_code: false,
            };
            let issued = ticket::issue(tx, self, new_ticket, now).await?;
            content.link = Some(mail::link("/email/undo", &issued.token));
            content.expires_at = Some(after(now, lifetime));
            content.places = vec![("address".to_owned(), new.as_str().to_owned())];
            "changed"
        } else {
            "moved"
        };
        let mail = Mail {
            to: old,
            kind,
            language: self.language_for(Some(before), origin).tag(),
            content,
            decoy: false,
        };
        mail::enqueue(tx, self, mail, now).await
    }

    /// Takes a change of address back: the account has its old one again, every session is over, and what whoever
    /// changed it knew no longer lets anybody in. A mail to choose a new password goes to the old address.
    ///
    /// An account that was opened with the old address in the meantime loses it, unless it has verified it: the link shows
    /// that the mailbox is another's, and a thief must not block it by signing up.
    ///
    /// # Errors
    /// `ticket_invalid`; `email_taken` where another account has verified the address in the meantime.
    pub async fn undo_email_change(&self, token: &Secret, origin: &Origin) -> Result<User, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let key = Key::of(token);
        let ticket = ticket::look(&mut tx, UNDO, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let id = ticket.user.ok_or_else(ticket_invalid)?;
        let old = ticket.data["old"].as_str().unwrap_or_default();
        let old = Email::parse(old).map_err(|_| ticket_invalid())?;
        let before = account::by_id(&mut tx, id)
            .await?
            .filter(|user| user.is_active)
            .ok_or_else(ticket_invalid)?;
        let squatter = account::give_up_email(&mut tx, self, &old, id, now).await?;
        let user = account::set_email(&mut tx, &before, &old, now).await?;
        ticket::spend(&mut tx, UNDO, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        // Changes that came after the one taken back were made by whoever made that one, and so are their links; an
        // older link belongs to somebody who had the account before, and stays.
        ticket::void_since(&mut tx, UNDO, id, ticket.created_at).await?;
        let mut ended = session::end_all(&mut tx, self, id, None, now).await?;
        if let Some(squatter) = squatter {
            ended.extend(session::end_all(&mut tx, self, squatter, None, now).await?);
            let event = Event::new("email.given_up", now).of_user(squatter);
            event::write(&mut tx, &self.0.entropy, event).await?;
        }
        // Whoever changed the address may have set something up first, to stay by it. What had been there for as long as
        // the owner has to follow this link is taken to be the owner's.
        let since = before_then(ticket.created_at, *self.0.settings.links.undo);
        self.disown(&mut tx, id, since).await?;
        mailbox::send_reset(&mut tx, self, &old, Some(&user), true, origin, now).await?;
        let event = Event::new("email.change_undone", now)
            .of_user(id)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(user)
    }
}
