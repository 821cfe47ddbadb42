//! Logging in by mail: a link or a code, to an address that was verified before. To one that was not goes the mail that
//! verifies it, since the account may have been opened by somebody who does not read it, and knows its password; its link
//! puts everybody else out.

mod again;
mod pages;
pub(crate) mod routes;

use serde_json::json;

use crate::base::error::Error;
use crate::base::http::Origin;
use crate::kernel::Feature;
use crate::kernel::account::{self, User};
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::{Proof, Step};
use crate::kernel::mail::{self, Asked, Reply};
use crate::kernel::mailbox::{FromMail, VERIFY, still_meant, ticket_invalid};
use crate::kernel::ticket::{self, Purpose};

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
    disown: None,
};

/// Logs in.
const MAGIC: Purpose = Purpose("login.magic");

impl Tokenhouse {
    /// Sends a mail by which the account with this address can be logged in to, if there is one.
    ///
    /// # Errors
    /// `invalid_fields` where it is no address; `mail_disabled`; `rate_limited`.
    pub async fn ask_to_log_in(&self, email: &str, origin: &Origin) -> Result<(), Error> {
        let email = Self::read_address("email", email)?;
        self.count_asking(origin).await?;
        let now = self.0.clock.now();
        let links = &self.0.settings.links;
        let mut tx = self.0.store.write().await?;
        let user = account::by_email(&mut tx, &email).await?;
        let verifies = user.as_ref().is_some_and(|user| !user.email_verified) && self.verifies_addresses();
        let (purpose, kind, page, lifetime) = if verifies {
            (VERIFY, "verify", "/verify", *links.verify)
        } else {
            (MAGIC, "magic", "/magic", *links.magic)
        };
        let deserves = |user: &User| user.is_active && (verifies || user.email_verified);
        let asked = Asked {
            purpose,
            kind,
            page,
            lifetime,
            with_code: true,
            to: &email,
            user: user.as_ref(),
            for_user_only: false,
            reply: Reply::ticket_if(user.as_ref().is_some_and(deserves)),
            data: json!({ "epoch": user.as_ref().map_or(0, |user| user.epoch), "claim": verifies }),
            language: self.language_for(user.as_ref(), origin).tag(),
            urgent: false,
            places: Vec::new(),
            origin,
        };
        mail::ask(&mut tx, self, asked, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Logs in with what was in the mail.
    ///
    /// # Errors
    /// `ticket_invalid`; `invalid_fields` where the scope is not granted.
    pub async fn log_in_by_mail(
        &self,
        presented: &FromMail,
        scope: Option<&str>,
        origin: &Origin,
    ) -> Result<Step, Error> {
        let scope = self.grant_scope(scope.filter(|scope| !scope.is_empty()))?;
        let key = self.ticket_of(MAGIC, presented, None).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let ticket = ticket::spend(&mut tx, MAGIC, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let user = still_meant(&mut tx, &ticket).await?.ok_or_else(ticket_invalid)?;
        let proof = Proof {
            user,
            method: "magic",
            at: now,
            counted: None,
            shows_two: false,
        };
        self.log_in(tx, proof, scope, origin).await
    }
}
