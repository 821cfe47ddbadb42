//! What the house does by itself: follow revocations and keys that other nodes changed, sweep what is over,
//! rotate keys. Each is safe to run on every node at once. They end when the last handle is gone.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::house::{House, Tokenhouse};
use super::{brake, event, ticket};
use crate::base::clock::before;
use crate::base::error::Error;

/// Revocations written by a node whose clock is behind, or whose transaction took long, are still seen.
const OVERLAP: Duration = Duration::from_secs(120);
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const KEYS_EVERY: Duration = Duration::from_secs(2);

impl Tokenhouse {
    /// Starts the jobs on the runtime of the caller.
    pub(crate) fn start_jobs(&self) {
        let period = *self.0.settings.sessions.revocation_poll;
        every(
            &self.0,
            period.max(Duration::from_millis(20)),
            "follow revocations",
            |house| Box::pin(async move { house.follow().await }),
        );
        every(&self.0, KEYS_EVERY, "follow keys", |house| {
            Box::pin(async move { house.reload_keys().await })
        });
        every(&self.0, SWEEP_EVERY, "sweep", |house| {
            Box::pin(async move { house.tend().await })
        });
    }

    pub(crate) async fn follow(&self) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut followed = self.0.followed_until.lock().await;
        self.follow_revocations(before(*followed, OVERLAP)).await?;
        *followed = now;
        Ok(())
    }

    /// Tends the keys and sweeps what is over; the house does so by itself every ten minutes. What fails stops
    /// nothing of the rest.
    ///
    /// # Errors
    /// The first of what failed.
    pub async fn tend(&self) -> Result<(), Error> {
        let now = self.0.clock.now();
        let done = [
            self.tend_keys().await,
            self.sweep_sessions(now).await,
            brake::sweep(&self.0.store, now).await,
            ticket::sweep(&self.0.store, now).await,
            event::sweep(&self.0.store, before(now, *self.0.settings.events.keep)).await,
            // All of them once more: a node whose clock is far behind writes times that were already asked for.
            self.follow_revocations(Timestamp::MIN).await,
        ];
        done.into_iter().collect()
    }
}

/// Loads every revocation that still matters; from then on only the new ones are asked for.
pub(crate) async fn load_revocations(house: &Tokenhouse) -> Result<(), Error> {
    let now = house.0.clock.now();
    house.follow_revocations(Timestamp::MIN).await?;
    *house.0.followed_until.lock().await = now;
    Ok(())
}

fn every(
    house: &Arc<House>,
    period: Duration,
    what: &'static str,
    job: fn(Tokenhouse) -> BoxFuture<'static, Result<(), Error>>,
) {
    let house: Weak<House> = Arc::downgrade(house);
    tokio::spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(house) = house.upgrade() else { break };
            match AssertUnwindSafe(job(Tokenhouse(house))).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(job = what, cause, "a job failed; it will be tried again");
                }
                Err(_) => tracing::error!(job = what, "a job panicked; it will be tried again"),
            }
        }
    });
}
