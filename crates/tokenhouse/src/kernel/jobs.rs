//! What the house does by itself: follow revocations and keys that other nodes changed, sweep what is over,
//! rotate keys. What each node must do for itself is begun with [`every`], what one of them can do for all with
//! [`once`]. Each is safe to run on every node at once. They end when the last handle is gone.

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
const RELOAD_EVERY: Duration = Duration::from_secs(600);
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
        every(&self.0, RELOAD_EVERY, "follow all revocations", |house| {
            // A node whose clock is far behind writes times that were already asked for.
            Box::pin(async move { house.follow_revocations(Timestamp::MIN).await })
        });
        once(&self.0, SWEEP_EVERY, "sweep", |house| {
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

/// A job, as a function of the house.
type Job = fn(Tokenhouse) -> BoxFuture<'static, Result<(), Error>>;

/// Starts what one node does for all, about every `period`; `what` names its lease. When that node dies, another
/// goes on after half a period more, or ten seconds.
fn once(house: &Arc<House>, period: Duration, what: &'static str, job: Job) {
    let lasting = (period + period / 2).max(Duration::from_secs(10));
    run(house, period, what, job, Some(lasting));
}

/// Starts what every node does for itself.
fn every(house: &Arc<House>, period: Duration, what: &'static str, job: Job) {
    run(house, period, what, job, None);
}

fn run(house: &Arc<House>, period: Duration, what: &'static str, job: Job, lease: Option<Duration>) {
    let house: Weak<House> = Arc::downgrade(house);
    tokio::spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(house) = house.upgrade() else { break };
            let house = Tokenhouse(house);
            let due = async {
                match lease {
                    Some(lasting) if !house.leads(what, lasting).await? => Ok(()),
                    _ => job(house).await,
                }
            };
            match AssertUnwindSafe(due).catch_unwind().await {
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
