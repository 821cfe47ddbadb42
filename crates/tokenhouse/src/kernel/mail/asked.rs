//! Mails that somebody asks for with nothing but an address: to verify it, to choose a new password, to log in. The
//! answer is the same whether an account has the address or not, and so is the work: the same statements in the same
//! order, with a decoy where nobody deserves the mail. Asking is braked per network, and the mails to one address are
//! counted, for addresses without an account alike; each purpose by itself, so that nobody silences one by asking for
//! another.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Content, Facts, Mail, enqueue};
use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::settings::Settings;
use crate::base::store::Tx;
use crate::kernel::account::{self, Email, User};
use crate::kernel::brake::{self, BrakeKey, Pace};
use crate::kernel::house::Tokenhouse;
use crate::kernel::ticket::{self, NewTicket, Purpose};

/// A mail with a link, and perhaps a code, to whoever has an address.
pub(crate) struct Asked<'a> {
    /// What the link is good for.
    pub(crate) purpose: Purpose,
    /// The mail's kind.
    pub(crate) kind: &'static str,
    /// The page that the link leads to.
    pub(crate) page: &'static str,
    pub(crate) lifetime: Duration,
    pub(crate) with_code: bool,
    pub(crate) to: &'a Email,
    /// Whose account the ticket touches.
    pub(crate) user: Option<&'a User>,
    /// Whether its code is only to be typed by `user`, who is logged in; otherwise by whoever has the address.
    pub(crate) for_user_only: bool,
    /// What is sent.
    pub(crate) reply: Reply,
    /// Whether it is sent however many were.
    pub(crate) urgent: bool,
    pub(crate) data: Value,
    pub(crate) language: &'a str,
    pub(crate) places: Vec<(String, String)>,
    pub(crate) origin: &'a Origin,
}

/// What somebody who asks for a mail causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A mail with a link.
    Ticket,
    /// A mail without one: it only tells.
    Word,
    /// The same work, and no mail.
    Nothing,
}

impl Reply {
    pub(crate) fn ticket_if(deserved: bool) -> Self {
        if deserved { Self::Ticket } else { Self::Nothing }
    }
}

/// A step: the ticket and the mail that carries it; or the same work for nothing.
pub(crate) async fn ask(
    tx: &mut Tx,
    house: &Tokenhouse,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    if !house.sends_mail() {
        return Ok(());
    }
    let counted = asked.to.key().as_bytes();
    let within = house.may_mail(tx, asked.purpose, counted, now).await?;
    let reply = if within || asked.urgent {
        asked.reply
    } else {
        Reply::Nothing
    };
    // A decoy has the subject of a real ticket, so that a code that is guessed is counted the same. But asking too often
    // must not retire the code that somebody was sent.
    let only = asked.user.filter(|_| asked.for_user_only).map(|user| user.id);
    let subject = subject(asked.to.key(), only);
    let subject = if within || asked.urgent {
        subject
    } else {
        format!("beyond {subject}")
    };
    let issued = ticket::issue(
        tx,
        house,
        NewTicket {
            purpose: asked.purpose,
            user: asked.user.filter(|_| reply == Reply::Ticket).map(|user| user.id),
            subject: Some(&subject),
            data: asked.data,
            lifetime: asked.lifetime,
            with_code: asked.with_code,
        },
        now,
    )
    .await?;
    let carries = reply != Reply::Word;
    // To the address as its owner wrote it: one that compares the same may be another's mailbox.
    let own = asked.user.and_then(|user| user.email.as_deref());
    let own = own.filter(|own| account::key(own) == asked.to.key());
    let mail = Mail {
        to: own.unwrap_or(asked.to.as_str()),
        kind: asked.kind,
        language: asked.language,
        content: Content {
            link: carries.then(|| link(asked.page, &issued.token)),
            code: issued
                .code
                .filter(|_| carries)
                .map(|code| code.expose().to_owned()),
            expires_at: Some(after(now, asked.lifetime)),
            places: asked.places,
            facts: Some(Facts::of(asked.origin, now)),
        },
        decoy: reply == Reply::Nothing,
    };
    enqueue(tx, house, mail, now).await
}

/// What a ticket for the address with this key is about. Two accounts may want one address: then what one was sent must
/// not be taken for what the other was.
pub(crate) fn subject(key: &str, only: Option<UserId>) -> String {
    match only {
        Some(user) => format!("{key} for {user}"),
        None => key.to_owned(),
    }
}

/// A link for a mail, below where the pages are.
pub(crate) fn link(page: &str, token: &Secret) -> String {
    format!("{page}?token={}", token.expose())
}

impl Tokenhouse {
    /// Counts somebody who asks for a mail, whatever the address.
    ///
    /// # Errors
    /// `mail_disabled`; `rate_limited` where too much was asked from the network.
    pub(crate) async fn count_asking(&self, origin: &Origin) -> Result<(), Error> {
        self.require_mail()?;
        let (Some(network), true) = (origin.network(), self.0.settings.rate_limit.enabled) else {
            return Ok(());
        };
        let settings = &self.0.settings.mail;
        let pace = Pace {
            burst: settings.per_network,
            interval: *settings.per_network_interval,
        };
        let now = self.0.clock.now();
        let key = BrakeKey::of(&[b"mail asked from", network.to_string().as_bytes()]);
        if brake::admit(&mut self.0.store.single(), &key, pace, now).await? {
            return Ok(());
        }
        let wait = brake::wait(&mut self.0.store.read().await?, &key, pace, now).await?;
        Err(Error::new(
            Code::RateLimited,
            "too many mails were asked for from your network; wait before the next one",
        )
        .retry_after(wait))
    }

    /// Counts a mail that was asked for; whether there may be one more. What only its owner can ask for is counted for
    /// the account, the rest for the address.
    pub(crate) async fn may_mail(
        &self,
        tx: &mut Tx,
        purpose: Purpose,
        whom: &[u8],
        now: Timestamp,
    ) -> Result<bool, Error> {
        let settings = &self.0.settings.mail;
        let pace = Pace {
            burst: settings.per_address,
            interval: *settings.per_address_interval,
        };
        let key = BrakeKey::of(&[b"mail asked for to", purpose.0.as_bytes(), whom]);
        Ok(brake::admit(tx, &key, pace, now).await?)
    }
}

/// Where a link in a mail leads. Asked when the mail is sent: a command beside a running house need not know its
/// address.
pub(super) fn address_of(settings: &Settings, link: &str) -> String {
    match &settings.links.pages {
        Some(pages) => format!("{}{link}", pages.trim_end_matches('/')),
        None => format!("{}/account{link}", settings.public_url),
    }
}
