//! Recovery codes: ten codes that each stand in once for a second factor that is lost.
//!
//! A code has eighty random bits, so that it cannot be guessed, not even by whoever holds the database: what is kept
//! is a MAC under a key that is not in there. The codes are shown once, when they are made.

pub(crate) mod routes;
mod sql;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;

use super::account::User;
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::notice::{Notice, security_notice};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::base::store::{Executor, Tx};

/// How many are made at once.
pub(crate) const COUNT: usize = 10;
const BYTES: usize = 10;

/// A step: makes new codes; those from before work no more.
pub(crate) async fn make(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<Secret>, Error> {
    sql::remove(tx, user).await?;
    let mut codes = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let letters = Secret::from(BASE32_NOPAD.encode(&house.0.entropy.bytes::<BYTES>()?));
        sql::insert(tx, user, house.recovery_digest(user, letters.expose()), now).await?;
        let groups: Vec<&str> = letters
            .expose()
            .as_bytes()
            .chunks(4)
            .filter_map(|group| str::from_utf8(group).ok())
            .collect();
        codes.push(Secret::from(groups.join("-")));
    }
    Ok(codes)
}

/// A step: uses a code up; `None` where it is none, or was used before. Gives how many are left.
pub(crate) async fn spend(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: UserId,
    typed: &Secret,
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    let digest = house.recovery_digest(user, letters(typed).expose());
    if sql::spend(tx, user, digest, now).await? == 0 {
        return Ok(None);
    }
    left(tx, user).await.map(Some)
}

/// How many have not been used.
pub(crate) async fn left(on: &mut (impl Executor + ?Sized), user: UserId) -> Result<i64, Error> {
    Ok(sql::left(on, user).await?)
}

/// When each was made and used: all that can be told of one.
pub(crate) async fn all(
    on: &mut impl Executor,
    user: UserId,
) -> Result<Vec<(Timestamp, Option<Timestamp>)>, Error> {
    Ok(sql::all(on, user).await?)
}

/// A step: takes them all away.
pub(crate) async fn remove(tx: &mut Tx, user: UserId) -> Result<u64, Error> {
    Ok(sql::remove(tx, user).await?)
}

/// A step: takes away those that were made since.
pub(crate) async fn remove_since(tx: &mut Tx, user: UserId, since: Timestamp) -> Result<u64, Error> {
    Ok(sql::remove_since(tx, user, since).await?)
}

/// What was typed as it was shown: people write small letters, spaces, and 0 and 1, which base32 does not have.
fn letters(typed: &Secret) -> Secret {
    let letters: String = typed
        .expose()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            '0' => 'O',
            '1' => 'I',
            other => other,
        })
        .collect();
    Secret::from(letters)
}

impl Tokenhouse {
    /// Makes new recovery codes for a user who has just proven who they are; the old ones work no more.
    ///
    /// # Errors
    /// `fresh_proof_required`; `not_found` where the account has no second factor that could be lost.
    pub async fn make_recovery_codes(
        &self,
        user: &User,
        session: SessionId,
        origin: &Origin,
    ) -> Result<Vec<Secret>, Error> {
        self.require_fresh(session).await?;
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        super::factor::begin_change(&mut tx, user, now).await?;
        if !self.has_second_factor(&mut tx, user).await? {
            return Err(Error::new(
                Code::NotFound,
                "the account has no second factor that could be lost",
            ));
        }
        let codes = make(&mut tx, self, user.id, now).await?;
        let event = Event::new("recovery_codes.made", now)
            .of_user(user.id)
            .in_session(session)
            .seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        security_notice(&mut tx, self, user, Notice::RecoveryCodes, origin, now).await?;
        tx.commit().await?;
        Ok(codes)
    }

    fn recovery_digest(&self, user: UserId, letters: &str) -> Vec<u8> {
        let key = hmac::Key::new(HMAC_SHA256, &*self.0.keys.master().derive("recovery codes"));
        let mut context = hmac::Context::with_key(&key);
        context.update(user.0.as_bytes());
        context.update(letters.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for typed in [
            "ABCD-EFGH-IJKO-PQRS",
            "abcd efgh 1jk0 pqrs",
            " abcdefghijkopqrs\n",
        ] {
            assert_eq!(letters(&Secret::from(typed)).expose(), "ABCDEFGHIJKOPQRS");
        }
    }
}
