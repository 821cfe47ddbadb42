//! The brake per account: wrong passwords become slow, from however many addresses they come.
//!
//! A try is counted *before* the password is checked, by one guarded statement (a generic cell rate
//! algorithm in the database, so that a hundred parallel guesses on several nodes stay at the limit), and a
//! right password clears the count. Accounts that do not exist are braked alike, so that the brake tells
//! nothing, and names are braked as they were typed, so that the brake does not tell which names belong together.
//! Networks share four lanes: a stranger who keeps an account braked from one network fills one lane, and
//! a network the account has been used from has a lane of its own. So a stranger does not keep its owner out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::house::Tokenhouse;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::store::{Executor, Store, StoreError, query};

/// A try that was counted. While it lasts, it takes one of the account's turns on this node: as many may be
/// under way at once as the account bears wrong passwords, and the others wait. So a hundred right passwords
/// at once all get in, each clearing the count, and a hundred wrong ones stay at the limit.
#[derive(Debug)]
pub(crate) struct Try {
    key: BrakeKey,
    house: Tokenhouse,
    turn: Option<OwnedSemaphorePermit>,
}

impl Try {
    /// A step: the password was right. Gives how many were wrong before.
    pub(crate) async fn release(&self, on: &mut impl Executor) -> Result<i64, StoreError> {
        let pace = self.house.pace_of_passwords();
        let counted = release(on, &self.key, pace, self.house.0.clock.now()).await?;
        Ok(counted.saturating_sub(self.under_way(pace)).max(0))
    }

    /// Tries that were counted and may be right yet, this one among them.
    fn under_way(&self, pace: Pace) -> i64 {
        let free = self
            .turn
            .as_ref()
            .map_or(0, |turn| turn.semaphore().available_permits());
        i64::from(pace.burst.max(1)).saturating_sub(i64::try_from(free).unwrap_or(i64::MAX))
    }

    /// Waits for its turn. Made before it waits, so that whoever gives up waiting is forgotten too.
    async fn wait(house: &Tokenhouse, key: BrakeKey, at_once: u32) -> Self {
        let turns = {
            let mut all = house.0.turns.lock();
            let at_once = usize::try_from(at_once.max(1)).unwrap_or(1);
            Arc::clone(
                all.entry(key.clone())
                    .or_insert_with(|| Arc::new(Semaphore::new(at_once))),
            )
        };
        let mut this = Self {
            key,
            house: house.clone(),
            turn: None,
        };
        // It is never closed.
        this.turn = turns.acquire_owned().await.ok();
        this
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        self.turn = None;
        let mut all = self.house.0.turns.lock();
        if all
            .get(&self.key)
            .is_some_and(|turns| Arc::strong_count(turns) == 1)
        {
            all.remove(&self.key);
        }
    }
}

/// Times the tries an account bears before it is slowed: with ten each that is less than the hundred of NIST SP
/// 800-63B §3.2.2 for its e-mail address and its username together.
const LANES: u8 = 4;

/// The turns of the accounts that are being tried at this moment.
pub(crate) type Turns = parking_lot::Mutex<HashMap<BrakeKey, Arc<Semaphore>>>;

/// What is braked: a digest, since for an unknown account it is made of what was typed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BrakeKey(Vec<u8>);

impl BrakeKey {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        Self(context.finish().as_ref()[..16].to_vec())
    }
}

const TRY: &str = "
    INSERT INTO brakes (id, theoretical_arrival)
    VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE
    SET theoretical_arrival = CASE
            WHEN brakes.theoretical_arrival > $3 AND brakes.theoretical_arrival <= $4
            THEN brakes.theoretical_arrival + $5
            ELSE $2
        END
    WHERE brakes.theoretical_arrival <= $6 OR brakes.theoretical_arrival > $4";

/// How often something may happen: so often at once, then once an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

impl Pace {
    fn interval(self) -> i64 {
        i64::try_from(self.interval.as_micros())
            .unwrap_or(i64::MAX / 1024)
            .max(1)
    }

    fn tolerance(self) -> i64 {
        self.interval().saturating_mul(i64::from(self.burst.max(1)) - 1)
    }
}

/// A step: counts one more, unless that would be too many.
pub(crate) async fn admit(
    on: &mut impl Executor,
    key: &BrakeKey,
    pace: Pace,
    now: jiff::Timestamp,
) -> Result<bool, StoreError> {
    let (interval, tolerance, micros) = (pace.interval(), pace.tolerance(), now.as_microsecond());
    // Further ahead than it is ever set, it was set before the clock went back.
    let furthest = micros.saturating_add(tolerance).saturating_add(interval);
    let counted = query(TRY)
        .bind(key.0.clone())
        .bind(micros.saturating_add(interval))
        .bind(micros)
        .bind(furthest)
        .bind(interval)
        .bind(micros.saturating_add(tolerance))
        .execute(on)
        .await?;
    Ok(counted > 0)
}

/// How long until one more is admitted.
pub(crate) async fn wait(
    on: &mut impl Executor,
    key: &BrakeKey,
    pace: Pace,
    now: jiff::Timestamp,
) -> Result<Duration, StoreError> {
    let due: Option<(i64,)> = query(READ).bind(key.0.clone()).optional(on).await?;
    let wait = due.map_or(pace.interval(), |(due,)| {
        due.saturating_sub(pace.tolerance())
            .saturating_sub(now.as_microsecond())
    });
    Ok(Duration::from_micros(u64::try_from(wait.max(1)).unwrap_or(1)))
}

const READ: &str = "SELECT theoretical_arrival FROM brakes WHERE id = $1";

const RELEASE: &str = "DELETE FROM brakes WHERE id = $1 RETURNING theoretical_arrival";

/// A step: a right password forgives the wrong ones before it. Gives how many tries were counted, as far as time has not
/// forgiven them.
async fn release(
    on: &mut impl Executor,
    key: &BrakeKey,
    pace: Pace,
    now: jiff::Timestamp,
) -> Result<i64, StoreError> {
    let due: Option<(i64,)> = query(RELEASE).bind(key.0.clone()).optional(on).await?;
    let ahead = due.map_or(0, |(due,)| due.saturating_sub(now.as_microsecond()));
    Ok(ahead / pace.interval())
}

const GIVE_BACK: &str = "
    UPDATE brakes
    SET theoretical_arrival = theoretical_arrival - $1
    WHERE id = $2";

const SWEEP: &str = "
    DELETE FROM brakes
    WHERE id IN (SELECT id FROM brakes WHERE theoretical_arrival < $1 ORDER BY theoretical_arrival LIMIT 1000)";

/// Page by page, so that nobody waits long for their turn to write.
pub(crate) async fn sweep(store: &Store, now: jiff::Timestamp) -> Result<(), Error> {
    while query(SWEEP).bind(now).execute(&mut store.single()).await? > 0 {}
    Ok(())
}

impl Tokenhouse {
    /// Counts a try at an account, which is `user` or, where there is none, whatever `name` says.
    ///
    /// # Errors
    /// `account_locked` with the time to wait; such a try is not counted.
    pub(crate) async fn brake(
        &self,
        user: Option<UserId>,
        name: &str,
        origin: &Origin,
    ) -> Result<Option<Try>, Error> {
        let settings = &self.0.settings.rate_limit;
        if !settings.account_enabled {
            return Ok(None);
        }
        let network = origin
            .network()
            .map(|network| network.to_string())
            .unwrap_or_default();
        // Asked for an account that does not exist too, so that it is the same work.
        let asked = user.unwrap_or(UserId(uuid::Uuid::nil()));
        let key = if self.knows_network(asked, origin).await? {
            BrakeKey::of(&[b"known network", name.as_bytes(), network.as_bytes()])
        } else {
            // Under a key, so that nobody can choose networks by their lanes.
            let secret = self.0.keys.master().derive("brake lanes");
            let BrakeKey(digest) = BrakeKey::of(&[&*secret, network.as_bytes()]);
            BrakeKey::of(&[b"account", name.as_bytes(), &[digest[0] % LANES]])
        };
        let counted_try = Try::wait(self, key, settings.account_burst).await;
        let key = &counted_try.key;
        let now = self.0.clock.now();
        let pace = self.pace_of_passwords();
        if admit(&mut self.0.store.single(), key, pace, now).await? {
            return Ok(Some(counted_try));
        }
        let wait = wait(&mut self.0.store.read().await?, key, pace, now).await?;
        self.0.metrics.logins.braked.inc();
        Err(Error::new(
            Code::AccountLocked,
            "too many wrong passwords for this account; wait before the next try",
        )
        .retry_after(wait))
    }

    fn pace_of_passwords(&self) -> Pace {
        let settings = &self.0.settings.rate_limit;
        Pace {
            burst: settings.account_burst,
            interval: *settings.account_interval,
        }
    }

    /// Counts a try at the second step of a login: per account, whatever ticket it comes with. A network the account has
    /// been used from is counted by itself, so that a thief elsewhere keeps nobody out of there; and there are ways that
    /// are not slowed. Right ones are [given back](CountedCode::give_back), they do not forgive the wrong ones.
    ///
    /// # Errors
    /// `account_locked` with the time to wait; such a try is not counted.
    pub(crate) async fn brake_second(
        &self,
        user: UserId,
        origin: &Origin,
    ) -> Result<Option<CountedCode>, Error> {
        if !self.0.settings.rate_limit.account_enabled {
            return Ok(None);
        }
        let network = origin
            .network()
            .map(|network| network.to_string())
            .unwrap_or_default();
        let key = if self.knows_network(user, origin).await? {
            BrakeKey::of(&[
                b"second step, known network",
                user.0.as_bytes(),
                network.as_bytes(),
            ])
        } else {
            BrakeKey::of(&[b"second step", user.0.as_bytes()])
        };
        let settings = &self.0.settings.second_factors;
        let pace = Pace {
            burst: settings.burst,
            interval: *settings.interval,
        };
        let now = self.0.clock.now();
        if admit(&mut self.0.store.single(), &key, pace, now).await? {
            return Ok(Some(CountedCode { key, pace }));
        }
        let wait = wait(&mut self.0.store.read().await?, &key, pace, now).await?;
        self.0.metrics.logins.braked.inc();
        Err(Error::new(
            Code::AccountLocked,
            "too many wrong codes for this account; wait, or use a recovery code or a passkey",
        )
        .retry_after(wait))
    }
}

/// A code that was counted before it was judged.
#[derive(Debug)]
pub(crate) struct CountedCode {
    key: BrakeKey,
    pace: Pace,
}

impl CountedCode {
    /// A step: it was right, and is as if it had not been counted.
    pub(crate) async fn give_back(self, on: &mut impl Executor) -> Result<u64, StoreError> {
        query(GIVE_BACK)
            .bind(self.pace.interval())
            .bind(self.key.0)
            .execute(on)
            .await
    }
}
