//! The brake per account: wrong passwords become slow, from however many addresses they come.
//!
//! A try is counted *before* the password is checked, by one guarded statement (a generic cell rate
//! algorithm in the database, so that a hundred parallel guesses on several nodes stay at the limit), and a
//! right password clears the count. Accounts that do not exist are braked alike, so that the brake tells
//! nothing. An address the account has been used from has a brake of its own: a stranger who keeps an
//! account braked does not keep its owner out.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::house::Tokenhouse;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::store::{Executor, StoreError, query};

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
    pub(crate) fn key(&self) -> &BrakeKey {
        &self.key
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

/// The turns of the accounts that are being tried at this moment.
pub(crate) type Turns = parking_lot::Mutex<HashMap<BrakeKey, Arc<Semaphore>>>;

/// What is braked: a digest, since for an unknown account it is made of what was typed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BrakeKey(Vec<u8>);

impl BrakeKey {
    fn of(parts: &[&[u8]]) -> Self {
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

const READ: &str = "SELECT theoretical_arrival FROM brakes WHERE id = $1";

const RELEASE: &str = "DELETE FROM brakes WHERE id = $1";

/// A step: a right password forgives the wrong ones before it.
pub(crate) async fn release(on: &mut impl Executor, key: &BrakeKey) -> Result<u64, StoreError> {
    query(RELEASE).bind(key.0.clone()).execute(on).await
}

const SWEEP: &str = "DELETE FROM brakes WHERE theoretical_arrival < $1";

pub(crate) async fn sweep(on: &mut impl Executor, now: jiff::Timestamp) -> Result<u64, StoreError> {
    query(SWEEP).bind(now).execute(on).await
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
        let key = match user {
            Some(id) if self.knows_network(id, origin).await? => {
                BrakeKey::of(&[b"known network", id.0.as_bytes(), network.as_bytes()])
            }
            Some(id) => BrakeKey::of(&[b"account", id.0.as_bytes()]),
            None => {
                // The same work as for an account that exists.
                self.knows_network(UserId(uuid::Uuid::nil()), origin).await?;
                BrakeKey::of(&[b"unknown", name.as_bytes()])
            }
        };
        let counted_try = Try::wait(self, key, settings.account_burst).await;
        let key = counted_try.key();
        let now = self.0.clock.now();
        let interval = i64::try_from(settings.account_interval.as_micros())
            .unwrap_or(i64::MAX / 1024)
            .max(1);
        let tolerance = interval.saturating_mul(i64::from(settings.account_burst.max(1)) - 1);
        let micros = now.as_microsecond();
        // Further ahead than it is ever set, it was set before the clock went back.
        let furthest = micros.saturating_add(tolerance).saturating_add(interval);
        let counted = query(TRY)
            .bind(key.0.clone())
            .bind(micros.saturating_add(interval))
            .bind(micros)
            .bind(furthest)
            .bind(interval)
            .bind(micros.saturating_add(tolerance))
            .execute(&mut self.0.store.single())
            .await?;
        if counted > 0 {
            return Ok(Some(counted_try));
        }
        let due: Option<(i64,)> = query(READ)
            .bind(key.0.clone())
            .optional(&mut self.0.store.read().await?)
            .await?;
        let wait = due
            .map_or(interval, |(due,)| {
                due.saturating_sub(tolerance).saturating_sub(micros)
            })
            .max(1);
        self.0.metrics.logins.braked.inc();
        Err(Error::new(
            Code::AccountLocked,
            "too many wrong passwords for this account; wait before the next try",
        )
        .retry_after(std::time::Duration::from_micros(u64::try_from(wait).unwrap_or(0))))
    }
}
