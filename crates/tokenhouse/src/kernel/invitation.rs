//! Invitations: a mail that lets whoever reads it open an account with its address, also where others may not.

use serde_json::json;

use super::account::Email;
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::mail::{self, Content, Mail};
use super::mailbox::ticket_invalid;
use super::ticket::{self, Key, NewTicket, Purpose, Ticket};
use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::secret::Secret;
use crate::base::settings::SignupMode;
use crate::base::store::Tx;

const INVITATION: Purpose = Purpose("invitation");

/// Somebody who is to be invited.
#[derive(Clone, Debug, Default)]
pub struct Invitation {
    /// Where the invitation goes, and what the account will be opened with.
    pub email: String,
    /// What the account may do.
    pub roles: Vec<String>,
    /// Whether it may do everything.
    pub is_superuser: bool,
    /// The language of the mail, `de`; without it the usual one.
    pub language: Option<String>,
}

/// What an invitation grants.
pub(crate) struct Invited {
    pub(crate) roles: Vec<String>,
    pub(crate) is_superuser: bool,
}

impl Tokenhouse {
    /// Invites somebody to open an account, by mail. An invitation that was sent before to the same address still works,
    /// until one of them is used.
    ///
    /// # Errors
    /// `mail_disabled`; `signup_closed`; `invalid_fields`; `email_taken`.
    pub async fn invite(&self, invitation: &Invitation) -> Result<(), Error> {
        self.require_mail()?;
        if self.0.settings.signup.mode == SignupMode::Closed {
            return Err(Error::new(
                Code::SignupClosed,
                "nobody can sign up here, invited or not; set signup.mode to \"invitation\"",
            ));
        }
        let email = Self::read_address("email", &invitation.email)?;
        let now = self.0.clock.now();
        let lifetime = *self.0.settings.links.invitation;
        let mut tx = self.0.store.write().await?;
        if super::account::by_email(&mut tx, &email).await?.is_some() {
            tx.commit().await?;
            return Err(super::account::email_taken());
        }
        let new = NewTicket {
            purpose: INVITATION,
            user: None,
            subject: Some(email.key()),
            data: json!({ "roles": invitation.roles, "is_superuser": invitation.is_superuser }),
            lifetime,
            with_code: false,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        let language = invitation.language.as_deref();
        let mail = Mail {
            to: email.as_str(),
            kind: "invitation",
            language: self.0.templates.best(language).tag(),
            content: Content {
                link: Some(mail::link("/sign-up", &issued.token)),
                expires_at: Some(after(now, lifetime)),
                ..Content::default()
            },
            decoy: false,
        };
        mail::enqueue(&mut tx, self, mail, now).await?;
        event::write(&mut tx, &self.0.entropy, Event::new("user.invited", now)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The address that an invitation was sent to, as the account will have it; nothing is used up.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn invited_address(&self, token: &Secret) -> Result<Option<String>, Error> {
        let ticket = self.peek_ticket(INVITATION, &Key::of(token)).await?;
        Ok(ticket.map(|ticket| ticket.subject))
    }
}

/// A step: uses an invitation up, which must have been sent to this address.
pub(crate) async fn accept(
    tx: &mut Tx,
    token: &Secret,
    email: Option<&Email>,
    now: jiff::Timestamp,
) -> Result<Invited, Error> {
    let ticket: Ticket = ticket::spend(tx, INVITATION, &Key::of(token), now)
        .await?
        .filter(|ticket| email.is_some_and(|email| email.key() == ticket.subject))
        .ok_or_else(ticket_invalid)?;
    let roles = ticket.data["roles"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    Ok(Invited {
        roles: roles
            .iter()
            .filter_map(|role| role.as_str().map(str::to_owned))
            .collect(),
        is_superuser: ticket.data["is_superuser"] == json!(true),
    })
}
