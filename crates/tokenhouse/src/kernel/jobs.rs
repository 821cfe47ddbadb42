//! What the house does by itself: follow revocations and keys that other nodes changed, sweep what is over,
//! rotate keys. What each node must do for itself is begun with `every`, what one of them can do for all with
//! `once`. Each is safe to run on every node at once. They end when the last handle is gone.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::house::{House, Tokenhouse};
use super::session::revocation::CHANNEL;
use super::{brake, event, ticket};
use crate::base::clock::before;
use crate::base::error::Error;

const SWEEP_EVERY: Duration = Duration::from_secs(600);
const RELOAD_EVERY: Duration = Duration::from_secs(600);
const MAIL_EVERY: Duration = Duration::from_secs(1);
const MEASURE_EVERY: Duration = Duration::from_secs(15);
const KEYS_EVERY: Duration = Duration::from_secs(2);
const NOTE_EVERY: Duration = Duration::from_secs(60);

impl Tokenhouse {
    /// Starts the jobs on the runtime of the caller.
    pub(crate) fn start_jobs(&self) {
        listen(self);
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
        every(&self.0, NOTE_EVERY, "note wrong passwords", |house| {
            Box::pin(async move { house.note_wrong_passwords().await })
        });
        every(&self.0, RELOAD_EVERY, "follow all revocations", |house| {
            // A node whose clock is far behind writes times that were already asked for.
            Box::pin(async move { house.follow_revocations(Timestamp::MIN).await })
        });
        if self.sends_mail() {
            every(&self.0, MAIL_EVERY, "deliver mail", |house| {
                Box::pin(async move { house.deliver_mail().await.map(drop) })
            });
            every(&self.0, MEASURE_EVERY, "count mail", |house| {
                Box::pin(async move { house.measure_mail().await })
            });
        }
        once(&self.0, SWEEP_EVERY, "sweep", |house| {
            Box::pin(async move { house.tend().await })
        });
    }

    /// Tends the keys and sweeps what is over; the house does so by itself every ten minutes. What fails stops
    /// nothing of the rest.
    ///
    /// # Errors
    /// The first of what failed.
    pub async fn tend(&self) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut done = vec![
            self.tend_keys().await,
            self.sweep_sessions(now).await,
            brake::sweep(&self.0.store, now).await,
            ticket::sweep(&self.0.store, now).await,
            event::sweep(&self.0.store, before(now, *self.0.settings.events.keep)).await,
            self.sweep_mail(before(now, *self.0.settings.mail.keep)).await,
            self.follow_revocations(Timestamp::MIN).await,
        ];
        for sweep in self.0.features.iter().filter_map(|feature| feature.sweep) {
            done.push(sweep(&self.0.store, now).await);
        }
        done.into_iter().collect()
    }
}

/// Heeds what other nodes tell, as long as there is a house.
fn listen(house: &Tokenhouse) {
    let (notifier, mut notices) = house.0.store.notices(CHANNEL);
    let _ = house.0.notifier.set(notifier);
    let house: Weak<House> = Arc::downgrade(&house.0);
    tokio::spawn(async move {
        while let Some(notice) = notices.next().await {
            let Some(house) = house.upgrade() else { break };
            if let Err(error) = Tokenhouse(house).heed(&notice).await {
                tracing::debug!(%error, "a notice could not be heeded; the tables will tell the same");
            }
        }
    });
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
