//! Mail that the house sends. It is written into the outbox in the transaction of what it tells, so that there is
//! no mail about what did not happen, and none is lost about what did; `deliver` brings it out afterwards.
//!
//! What a mail says is sealed until it is out: somebody who reads the database finds no link
//! and no code in it. Where somebody asks for a mail to an address that has no account, a *decoy* is written, which is
//! the same work and is never sent; so nobody learns from the time that an answer takes who has an account.

mod asked;
mod code;
pub(crate) mod deliver;
pub(crate) mod letter;
mod sql;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::asked::{Asked, Reply, ask, link, subject};
pub(crate) use self::code::CodeFor;
pub(crate) use self::deliver::{Deliveries, Way};
use super::account::User;
use super::house::Tokenhouse;
use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::mail::Undelivered;
use crate::base::store::{Executor, Tx};
use crate::base::template::Language;

/// A mail to be written down.
pub(crate) struct Mail<'a> {
    /// Where it goes.
    pub(crate) to: &'a str,
    /// What it is about; its texts are `mail.<kind>` of the language files.
    pub(crate) kind: &'static str,
    /// The language it is written in, `de`.
    pub(crate) language: &'a str,
    /// What it tells.
    pub(crate) content: Content,
    /// Whether it only looks like one.
    pub(crate) decoy: bool,
}

/// What a mail tells beside the texts of its kind. It is sealed while it waits.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Where its button leads, below where the pages are; with a secret in it.
    pub(crate) link: Option<String>,
    /// What may be typed in place of following the link.
    pub(crate) code: Option<String>,
    /// Until when they work; a mail that could not be sent by then is of no use.
    pub(crate) expires_at: Option<Timestamp>,
    /// What fills the places of the texts.
    pub(crate) places: Vec<(String, String)>,
    /// What happened when, where and with what.
    pub(crate) facts: Option<Facts>,
}

/// When, where, with what.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) at: Timestamp,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

impl Facts {
    pub(crate) fn of(origin: &Origin, at: Timestamp) -> Self {
        Self {
            at,
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.clone(),
        }
    }
}

/// What lies sealed in the outbox.
#[derive(Serialize, Deserialize)]
struct Sealed {
    language: String,
    decoy: bool,
    content: Content,
}

/// A step: writes a mail down, to go out once the transaction is committed. Where the house sends no mail, nothing is
/// written. It is put into words when it is sent, since nothing slow happens in a transaction.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    house: &Tokenhouse,
    mail: Mail<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    if !house.sends_mail() {
        return Ok(());
    }
    let id = house.0.entropy.uuid_v7(now)?;
    let sealed = Sealed {
        language: mail.language.to_owned(),
        decoy: mail.decoy,
        content: mail.content,
    };
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(&sealed).map_err(Error::internal)?);
    let sealed = house
        .0
        .keys
        .master()
        .seal(&context(id), &plain)
        .map_err(Error::internal)?;
    let new = sql::New {
        id,
        kind: mail.kind,
        address: mail.to,
        sealed,
        give_up_at: after(now, *house.0.settings.mail.give_up_after),
    };
    sql::insert(tx, new, now).await?;
    Ok(())
}

/// The mails to this address that are remembered, the newest first.
pub(crate) async fn every_one_to(on: &mut impl Executor, address: &str) -> Result<Vec<Outgoing>, Error> {
    Ok(sql::to(on, address).await?)
}

fn context(id: Uuid) -> String {
    format!("mail {id}")
}

/// How a mail in the outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailState {
    /// It will be sent, now or at the next try.
    Waiting,
    /// The server has it.
    Sent,
    /// It could not be sent, and will not be tried again unless the operator wants it.
    Dead,
}

impl MailState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Sent, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A mail in the outbox, as an operator may see it: not what it says.
#[derive(Clone, Debug, Serialize)]
pub struct Outgoing {
    /// Its id, of which its `Message-ID` is made.
    pub id: Uuid,
    /// What it is about.
    pub kind: String,
    /// Whom it goes to.
    pub address: String,
    /// How it stands.
    pub state: MailState,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// When it was sent or given up.
    pub ended_at: Option<Timestamp>,
    /// Why it could not be sent the last time.
    pub error: Option<String>,
}

/// How many mails are not out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailCounts {
    /// Those that will be tried.
    pub waiting: u64,
    /// Those that will not.
    pub dead: u64,
}

impl Tokenhouse {
    /// The language to speak to somebody in: the one of their profile (`locale`), else the one that their browser asks for.
    pub(crate) fn language_for(&self, user: Option<&User>, origin: &Origin) -> &Language {
        let templates = &self.0.templates;
        user.and_then(|user| user.profile.get("locale"))
            .and_then(serde_json::Value::as_str)
            .and_then(|own| templates.understood(own))
            .unwrap_or_else(|| templates.best(origin.languages.as_deref()))
    }

    /// Whether there is a way for mail to leave.
    #[must_use]
    pub fn sends_mail(&self) -> bool {
        self.0.mail.is_some()
    }

    /// What a door says that cannot work without mail.
    pub(crate) fn require_mail(&self) -> Result<(), Error> {
        if self.sends_mail() {
            return Ok(());
        }
        Err(Error::new(
            Code::MailDisabled,
            "this service sends no mail; ask whoever runs it",
        ))
    }

    /// Mails in the outbox, the newest first.
    ///
    /// # Errors
    /// When the database cannot be reached; the same for all below.
    pub async fn mails(&self, state: Option<MailState>, limit: u32) -> Result<Vec<Outgoing>, Error> {
        Ok(sql::list(&mut self.0.store.read().await?, state, limit).await?)
    }

    /// How many mails wait, and how many were given up.
    ///
    /// # Errors
    /// As [`mails`](Self::mails).
    pub async fn count_mails(&self) -> Result<MailCounts, Error> {
        let (waiting, dead) = sql::count(&mut self.0.store.read().await?).await?;
        Ok(MailCounts {
            waiting: u64::try_from(waiting).unwrap_or(0),
            dead: u64::try_from(dead).unwrap_or(0),
        })
    }

    /// Tries a mail again that was given up. Gives whether there was one.
    ///
    /// # Errors
    /// As [`mails`](Self::mails).
    pub async fn retry_mail(&self, id: Uuid) -> Result<bool, Error> {
        let now = self.0.clock.now();
        let give_up_at = after(now, *self.0.settings.mail.give_up_after);
        Ok(sql::revive(&mut self.0.store.single(), id, give_up_at, now).await? == 1)
    }

    /// Tries every mail again that was given up; gives how many.
    ///
    /// # Errors
    /// As [`mails`](Self::mails).
    pub async fn retry_mails(&self) -> Result<u64, Error> {
        let now = self.0.clock.now();
        let give_up_at = after(now, *self.0.settings.mail.give_up_after);
        Ok(sql::revive_all(&mut self.0.store.single(), give_up_at, now).await?)
    }

    /// Sends a mail to `address` at once, past the outbox, so that whoever runs the house sees what the server says.
    ///
    /// # Errors
    /// `mail_disabled`; the [`Undelivered`] inside is what went wrong on the way.
    pub async fn test_mail(&self, address: &str) -> Result<Result<(), Undelivered>, Error> {
        self.require_mail()?;
        let now = self.0.clock.now();
        let id = self.0.entropy.uuid_v7(now)?;
        let content = Content::default();
        let letter = letter::Letter {
            kind: "test",
            language: self.0.templates.language(&self.0.settings.templates.language),
            content: &content,
        };
        let message = letter
            .write(&self.0.settings, id, address, now)
            .map_err(Error::internal)?;
        Ok(self.hand_over(&message).await)
    }
}
