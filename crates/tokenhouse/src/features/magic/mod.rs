//! Logging in by mail: a link or a code, to an address that was verified before. To one that was not goes another mail,
//! since the account may have been opened by somebody who does not read it, and knows its password: its link verifies the
//! address, puts everybody else out, and then logs in. It says so, since the account may as well be in use.

mod again;
mod pages;
pub(crate) mod routes;

use jiff::Timestamp;
use serde_json::json;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::store::Tx;
use crate::kernel::Feature;
use crate::kernel::account::{self, User};
use crate::kernel::event::{self, Event};
use crate::kernel::factor;
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::{Proof, Step};
use crate::kernel::mail::{self, Asked, Reply};
use crate::kernel::mailbox::{FromMail, still_meant, ticket_invalid};
use crate::kernel::notice::{Notice, security_notice};
use crate::kernel::session::{self, Ended};
use crate::kernel::ticket::{self, Key, Purpose};

/// The feature, for the list.
pub(super) const FEATURE: Feature = Feature {
    name: "magic",
    enabled: |settings| settings.features.magic,
    routes: routes::routes,
    pages: pages::PAGES,
    factor: None,
    way_in: Some(|house, _, user| {
        let can = house.logs_in_by_mail(user);
        Box::pin(async move { Ok(can) })
    }),
    sweep: None,
    prove: None,
    vouch: None,
    disown: None,
};

/// Logs in.
const MAGIC: Purpose = Purpose("login.magic");
/// Logs in to an account whose address was never verified, and takes it over.
const CLAIM: Purpose = Purpose("login.claim");

impl Tokenhouse {
    /// Sends a mail by which the account with this address can be logged in to, if there is one.
    ///
    /// # Errors
    /// `invalid_fields` where it is no address; `mail_disabled`; `rate_limited`.
    pub async fn ask_to_log_in(&self, email: &str, origin: &Origin) -> Result<(), Error> {
        let email = Self::read_address("email", email)?;
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let user = account::by_email(&mut tx, &email).await?;
        let claims = user.as_ref().is_some_and(|user| !user.email_verified) && self.verifies_addresses();
        let (purpose, kind) = if claims {
            (CLAIM, "claim")
        } else {
            (MAGIC, "magic")
        };
        let deserves = |user: &User| user.is_active && (claims || user.email_verified);
        let asked = Asked {
            purpose,
            kind,
            page: "/magic",
            lifetime: *self.0.settings.links.magic,
            with_code: true,
            to: &email,
            user: user.as_ref(),
            for_user_only: false,
            reply: Reply::ticket_if(user.as_ref().is_some_and(deserves)),
            data: json!({ "epoch": user.as_ref().map_or(0, |user| user.epoch) }),
            language: self.language_for(user.as_ref(), origin).tag(),
            urgent: false,
            places: Vec::new(),
            origin,
        };
        mail::ask(&mut tx, self, asked, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Logs in with what was in the mail. Where the address was never verified, it is now, and whoever reads the mail takes
    /// the account as theirs: password, factors, recovery codes and sessions from before end, unless `signed_in`, who is
    /// signed in where the mail is answered, is this account.
    ///
    /// # Errors
    /// `ticket_invalid`; `invalid_fields` where the scope is not granted.
    pub async fn log_in_by_mail(
        &self,
        presented: &FromMail,
        scope: Option<&str>,
        signed_in: Option<UserId>,
        origin: &Origin,
    ) -> Result<Step, Error> {
        let scope = self.grant_scope(scope.filter(|scope| !scope.is_empty()))?;
        let key = match self.ticket_of(MAGIC, presented, None).await {
            Err(error) if error.code() == Code::TicketInvalid => {
                self.ticket_of(CLAIM, presented, None).await?
            }
            key => key?,
        };
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let (user, ended) = match ticket::look(&mut tx, MAGIC, &key, now).await? {
            Some(ticket) => {
                let user = still_meant(&mut tx, &ticket).await?.ok_or_else(ticket_invalid)?;
                if !account::still(&mut tx, &user).await? {
                    return Err(ticket_invalid());
                }
                ticket::spend(&mut tx, MAGIC, &key, now)
                    .await?
                    .ok_or_else(ticket_invalid)?;
                (user, Vec::new())
            }
            None => self.claim(&mut tx, &key, signed_in, origin, now).await?,
        };
        let proof = Proof {
            user,
            method: "magic",
            at: now,
            counted: None,
            shows_two: false,
            by_mail: true,
        };
        let step = self.log_in(tx, proof, scope, origin).await?;
        self.remember_revoked(&ended);
        Ok(step)
    }

    /// A step: verifies the address, and takes the account from whoever set something up before.
    async fn claim(
        &self,
        tx: &mut Tx,
        key: &Key,
        signed_in: Option<UserId>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(User, Vec<Ended>), Error> {
        let ticket = ticket::look(tx, CLAIM, key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let id = ticket.user.ok_or_else(ticket_invalid)?;
        account::by_id(tx, id)
            .await?
            .filter(|user| !user.email_verified)
            .ok_or_else(ticket_invalid)?;
        let user = account::verify_email(tx, id, &ticket.subject, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        ticket::spend(tx, CLAIM, key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let event = Event::new("email.verified", now).of_user(id).seen_from(origin);
        event::write(tx, &self.0.entropy, event).await?;
        if signed_in == Some(id) {
            return Ok((user, Vec::new()));
        }
        factor::begin_change(tx, &user, now).await?;
        self.disown(tx, id, Timestamp::MIN).await?;
        let ended = session::end_all(tx, self, id, None, now).await?;
        let event = Event::new("user.claimed", now).of_user(id).seen_from(origin);
        event::write(tx, &self.0.entropy, event).await?;
        security_notice(tx, self, &user, Notice::Claimed, origin, now).await?;
        let user = account::by_id(tx, id).await?.ok_or_else(ticket_invalid)?;
        Ok((user, ended))
    }
}
