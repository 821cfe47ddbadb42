//! The end of guessing at typed codes. The brake makes guessing slow; it does not end it, and a code has six digits. So
//! codes that are typed for one account are counted until one is right, and after a hundred (NIST SP 800-63B §3.2.2) none
//! is looked at any more, until its owner has shown a second factor that cannot be guessed, or an operator has been
//! convinced. Whoever brings that about knew the first factor, or held a session: nobody else gets as far as a code.
//! Its owner is told long before.

use std::time::Duration;

use jiff::Timestamp;

use super::account::User;
use super::brake::{self, BrakeKey, Pace};
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::notice::{Notice, security_notice};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::store::{Executor, Tx, query};

/// So many in a row are looked at.
const MOST: i64 = 100;
/// So many in a row are told of: as many as one login has. A few are a person whose clock is wrong.
const TOLD: i64 = 5;
/// Who is told need not be told again so soon.
const TELL: Pace = Pace {
    burst: 1,
    interval: Duration::from_secs(86_400),
};

const COUNT: &str = "
    INSERT INTO wrong_codes (user_id, in_a_row)
    VALUES ($1, 1)
    ON CONFLICT (user_id) DO UPDATE
    SET in_a_row = wrong_codes.in_a_row + 1
    WHERE wrong_codes.in_a_row < $2";

const READ: &str = "SELECT in_a_row FROM wrong_codes WHERE user_id = $1";

const FORGET: &str = "DELETE FROM wrong_codes WHERE user_id = $1";

/// Whether codes of this account are not looked at any more.
pub(crate) async fn are_too_many(on: &mut (impl Executor + ?Sized), user: UserId) -> Result<bool, Error> {
    Ok(in_a_row(on, user).await? >= MOST)
}

async fn in_a_row(on: &mut (impl Executor + ?Sized), user: UserId) -> Result<i64, Error> {
    let row: Option<(i64,)> = query(READ).bind(user).optional(on).await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// A step: a second factor was right.
pub(crate) async fn forget(tx: &mut Tx, user: UserId) -> Result<u64, Error> {
    Ok(query(FORGET).bind(user).execute(tx).await?)
}

/// A step: tells the owner, where so many were wrong that it may be somebody else.
pub(crate) async fn tell(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: &User,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), Error> {
    let count = in_a_row(tx, user.id).await?;
    let (notice, key) = match count {
        MOST.. => (Notice::CodesStopped, &b"told that codes are stopped"[..]),
        TOLD.. => (Notice::WrongCodes, &b"told of wrong codes"[..]),
        _ => return Ok(()),
    };
    if !brake::admit(tx, &BrakeKey::of(&[key, user.id.0.as_bytes()]), TELL, now).await? {
        return Ok(());
    }
    if count >= MOST {
        tracing::warn!(user = %user.id, "codes of an account are not looked at any more: a hundred in a row were wrong");
        let event = Event::new("second_factor.stopped", now)
            .of_user(user.id)
            .seen_from(origin);
        event::write(tx, &house.0.entropy, event).await?;
    }
    security_notice(tx, house, user, notice, origin, now).await
}

impl Tokenhouse {
    /// Counts a typed code, by the one statement that decides which of any number are still looked at.
    ///
    /// # Errors
    /// `mfa_blocked`.
    pub(crate) async fn count_code(&self, user: UserId) -> Result<(), Error> {
        let counted = query(COUNT)
            .bind(user)
            .bind(MOST)
            .execute(&mut self.0.store.single())
            .await?;
        if counted == 0 { Err(blocked()) } else { Ok(()) }
    }

    /// What is said of a code that came too soon: that it is no use to wait, where that is so.
    pub(crate) async fn refuse_code(&self, user: UserId, too_soon: Error) -> Error {
        let stopped = match self.0.store.read().await {
            Ok(mut reader) => are_too_many(&mut reader, user).await,
            Err(error) => Err(error.into()),
        };
        match stopped {
            Ok(true) => blocked(),
            Ok(false) => too_soon,
            Err(error) => error,
        }
    }

    /// Whether the second step of this account is no longer taken by a typed code.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn codes_are_stopped(&self, user: &User) -> Result<bool, Error> {
        let mut reader = self.0.store.read().await?;
        Ok(are_too_many(&mut reader, user.id).await? && self.has_second_factor(&mut reader, user).await?)
    }

    /// Looks at codes of this account again, after a hundred wrong ones: for operators, once they are sure whom they
    /// speak to.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn allow_codes(&self, user: &User) -> Result<(), Error> {
        let mut tx = self.0.store.write().await?;
        forget(&mut tx, user.id).await?;
        let event = Event::new("second_factor.allowed_by_operator", self.0.clock.now()).of_user(user.id);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn blocked() -> Error {
    Error::new(
        Code::MfaBlocked,
        "a hundred codes in a row were wrong, so none is looked at any more: use a recovery code or a passkey, \
         or ask whoever runs this service",
    )
}
