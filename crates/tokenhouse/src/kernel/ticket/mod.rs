//! Tickets: links, codes that people type, challenges and half-finished logins are one thing, a secret with a
//! purpose, a subject, some data and an end, which is spent once.
//!
//! The database keeps a digest of the secret and a MAC of the code, so that whoever reads it can use neither.
//! Every statement names the purpose: a ticket of one kind is nothing at the door of another. A code is short,
//! therefore each try is counted, durably, before the code is compared.

mod sql;
#[cfg(all(test, feature = "testing"))]
mod tests;

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use serde_json::Value;

use super::house::Tokenhouse;
use crate::base::clock::after;
use crate::base::error::Error;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::store::{Executor, Store, Tx};

/// Tries a code has, and tries at what a ticket guards: with eight digits one chance in twenty million.
pub(crate) const TRIES: i64 = 5;
const CODE_DIGITS: usize = 8;

/// What a ticket is good for; each kind has one constant, in the feature that issues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose(pub(crate) &'static str);

/// Which ticket: the digest of its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// The key of a ticket whose secret somebody presents; anything can be presented.
    pub(crate) fn of(token: &Secret) -> Self {
        Self(digest(&SHA256, token.expose().as_bytes()).as_ref().to_vec())
    }
}

/// What a ticket is issued with.
pub(crate) struct NewTicket<'a> {
    pub(crate) purpose: Purpose,
    /// Whose account it touches; nobody's where it is a decoy. It goes with the account.
    pub(crate) user: Option<UserId>,
    /// What its code is typed for: the key of an e-mail address, say. All tickets of one purpose and subject are
    /// spent together. Without one the ticket stands alone, and has no code.
    pub(crate) subject: Option<&'a str>,
    /// What is needed when it is spent. No secret: it lies in the database as it is.
    pub(crate) data: Value,
    pub(crate) lifetime: Duration,
    /// Whether there is to be a code as well.
    pub(crate) with_code: bool,
}

/// What goes to whoever is to have the ticket, and nowhere else.
#[derive(Debug)]
pub(crate) struct Issued {
    /// For a link.
    pub(crate) token: Secret,
    /// For a person to type: `1234 5678`.
    pub(crate) code: Option<Secret>,
}

/// A ticket, as it is found.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) key: Key,
    pub(crate) user: Option<UserId>,
    pub(crate) subject: String,
    pub(crate) data: Value,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A step: issues a ticket. The codes issued before for the same subject work no more, their links still do.
pub(crate) async fn issue(
    tx: &mut Tx,
    house: &Tokenhouse,
    new: NewTicket<'_>,
    now: Timestamp,
) -> Result<Issued, Error> {
    let token = Secret::from(BASE64URL_NOPAD.encode(&house.0.entropy.bytes::<32>()?));
    let key = Key::of(&token);
    let (subject, code) = match new.subject {
        Some(subject) if new.with_code => {
            sql::retire_codes(tx, new.purpose, subject).await?;
            (subject.to_owned(), Some(house.new_code()?))
        }
        Some(subject) => (subject.to_owned(), None),
        None => (HEXLOWER.encode(&key.0), None),
    };
    let code_mac = code
        .as_ref()
        .map(|code| house.code_mac(new.purpose, &subject, code.expose()));
    let ticket = Ticket {
        key,
        user: new.user,
        subject,
        data: new.data,
        created_at: now,
        expires_at: after(now, new.lifetime),
    };
    sql::insert(tx, new.purpose, &ticket, code_mac).await?;
    let code = code.map(|code| {
        let (first, second) = code.expose().split_at(CODE_DIGITS / 2);
        Secret::from(format!("{first} {second}"))
    });
    Ok(Issued { token, code })
}

/// A step: the ticket, unspent. Whoever changes an account by it holds the account first and [spends](spend) it then, as
/// every change begins with the account, so that no two transactions wait for each other.
pub(crate) async fn look(
    tx: &mut Tx,
    purpose: Purpose,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Ticket>, Error> {
    Ok(sql::find(tx, purpose, key, now).await?)
}

/// A step: spends a ticket, and with it all others of its purpose and subject. `None`: it is not there, over, or
/// somebody else has just spent it.
pub(crate) async fn spend(
    tx: &mut Tx,
    purpose: Purpose,
    key: &Key,
    now: Timestamp,
) -> Result<Option<Ticket>, Error> {
    let Some(found) = sql::find(tx, purpose, key, now).await? else {
        return Ok(None);
    };
    let spent = sql::spend(tx, purpose, &found.subject).await?;
    Ok(spent.into_iter().find(|ticket| ticket.key == *key))
}

/// A ticket as its user may see it: not what opens it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Pending {
    pub(crate) purpose: String,
    pub(crate) data: Value,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Every ticket that touches the account, the oldest first.
pub(crate) async fn every_one_of(on: &mut impl Executor, user: UserId) -> Result<Vec<Pending>, Error> {
    Ok(sql::all(on, user).await?)
}

/// A step: takes away every ticket of this purpose that touches the account and was issued after this instant.
pub(crate) async fn void_since(
    tx: &mut Tx,
    purpose: Purpose,
    user: UserId,
    since: Timestamp,
) -> Result<u64, Error> {
    Ok(sql::void_since(tx, purpose, user, since).await?)
}

/// Removes what is over, page by page.
pub(crate) async fn sweep(store: &Store, now: Timestamp) -> Result<(), Error> {
    while sql::sweep(&mut store.single(), now).await? > 0 {}
    Ok(())
}

impl Tokenhouse {
    /// The ticket, unspent: for a page that asks before anything is done.
    pub(crate) async fn peek_ticket(&self, purpose: Purpose, key: &Key) -> Result<Option<Ticket>, Error> {
        let now = self.0.clock.now();
        Ok(sql::find(&mut self.0.store.read().await?, purpose, key, now).await?)
    }

    /// Counts a try at what the ticket guards (the second step of a login) and gives it; `None` when it has none
    /// left, too. The count is durable before anything is compared.
    pub(crate) async fn count_ticket_try(
        &self,
        purpose: Purpose,
        key: &Key,
    ) -> Result<Option<Ticket>, Error> {
        let now = self.0.clock.now();
        Ok(sql::count_try(&mut self.0.store.single(), purpose, key, TRIES, now).await?)
    }

    /// The ticket whose code somebody typed, to be [spent](spend); counts the try first.
    pub(crate) async fn read_code(
        &self,
        purpose: Purpose,
        subject: &str,
        typed: &Secret,
    ) -> Result<Option<Key>, Error> {
        let now = self.0.clock.now();
        let digits: String = typed
            .expose()
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        let digits = Secret::from(digits);
        let mac = self.code_mac(purpose, subject, digits.expose());
        let codes = sql::count_code_try(&mut self.0.store.single(), purpose, subject, TRIES, now).await?;
        Ok(codes
            .into_iter()
            .find(|(_, stored)| verify_slices_are_equal(stored, &mac).is_ok())
            .map(|(key, _)| Key(key)))
    }

    /// Every digit from an even range of bytes, so that all codes are equally likely.
    fn new_code(&self) -> Result<Secret, Error> {
        let mut code = String::with_capacity(CODE_DIGITS);
        while code.len() < CODE_DIGITS {
            let [byte] = self.0.entropy.bytes::<1>()?;
            if byte < 250 {
                code.push(char::from(b'0' + byte % 10));
            }
        }
        Ok(Secret::from(code))
    }

    fn code_mac(&self, purpose: Purpose, subject: &str, code: &str) -> Vec<u8> {
        let key = hmac::Key::new(HMAC_SHA256, &*self.0.keys.master().derive("ticket codes"));
        let mut context = hmac::Context::with_key(&key);
        for part in [purpose.0, subject, code] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().to_vec()
    }
}
