//! Bringing mail out. Any number of nodes may do it at once: a mail is *claimed* by one guarded statement, which also
//! leases it, so that a node that dies in the middle holds it up only for as long as the lease lasts. A mail may so
//! arrive twice (the node died between the server's yes and its own note of it), then under the same `Message-ID`; never
//! not at all.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::RwLock;

use super::letter::Letter;
use super::sql::{self, Claimed};
use super::{Sealed, context};
use crate::base::clock::after;
use crate::base::error::Error;
use crate::base::mail::smtp::{Connection, Offered, Smtp};
use crate::base::mail::{MailerHook, Message, Sender, Undelivered};
use crate::kernel::house::Tokenhouse;

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);
/// What a lease lasts beyond the time that connecting and sending may take.
const MARGIN: Duration = Duration::from_secs(30);
/// How long the end of the house waits for the mail that is being handed over.
const LAST_MAIL: Duration = Duration::from_secs(5);

/// How mail leaves the house.
pub(crate) enum Way {
    /// A server takes it.
    Smtp(Box<Smtp>, Sender),
    /// A function of the application's own takes it.
    Function(MailerHook),
}

/// What is being handed over at this moment, so that the end of the house can wait for it.
#[derive(Default)]
pub(crate) struct Deliveries {
    ending: AtomicBool,
    under_way: RwLock<()>,
}

/// One worker's way out, open as long as there is mail.
#[expect(
    clippy::large_enum_variant,
    reason = "there are as many as workers, and none is moved about"
)]
enum Open<'a> {
    Smtp(&'a Smtp, &'a Sender, Option<Connection>),
    Function(&'a MailerHook),
}

/// What became of a mail, and whether going on makes sense.
struct Handed {
    outcome: Result<(), Undelivered>,
    server_is_away: bool,
}

impl Way {
    fn open(&self) -> Open<'_> {
        match self {
            Self::Smtp(smtp, sender) => Open::Smtp(smtp, sender, None),
            Self::Function(function) => Open::Function(function),
        }
    }
}

impl Open<'_> {
    async fn hand_over(&mut self, message: &Message, timeout: Duration) -> Handed {
        let done = |outcome| Handed {
            outcome,
            server_is_away: false,
        };
        match self {
            Self::Function(function) => {
                // Called inside, since it may panic before it gives its future. A panic must end in a record, or the mail
                // would be tried for ever, and take the mails of the other workers down with it each time.
                let handing = AssertUnwindSafe(async { function(message.clone()).await }).catch_unwind();
                done(match tokio::time::timeout(timeout, handing).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => {
                        tracing::error!(
                            kind = message.kind,
                            "the application's function for mail panicked"
                        );
                        Err(Undelivered::for_now("the application's function panicked"))
                    }
                    Err(_) => Err(Undelivered::for_now(
                        "the application's function took too long (mail.timeout)",
                    )),
                })
            }
            Self::Smtp(smtp, sender, connection) => {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => match smtp.connect().await {
                        Ok(open) => open,
                        Err(undelivered) => {
                            return Handed {
                                outcome: Err(undelivered),
                                server_is_away: true,
                            };
                        }
                    },
                };
                match open.send(sender, message).await {
                    Offered::Done(outcome) => {
                        *connection = Some(open);
                        done(outcome)
                    }
                    Offered::Lost(undelivered) => done(Err(undelivered)),
                }
            }
        }
    }

    async fn end(self) {
        if let Self::Smtp(_, _, Some(connection)) = self {
            connection.end().await;
        }
    }
}

impl Tokenhouse {
    /// Sends the mail that is due, and gives how many mails were sent; the house does so by itself every second.
    ///
    /// # Errors
    /// When the database cannot be reached. What a mail server says is no error: it stands with the mail.
    pub async fn deliver_mail(&self) -> Result<u64, Error> {
        let workers = self.0.settings.mail.connections.max(1);
        let sent = join_all((0..workers).map(|_| self.deliver_as_long_as_any_is_due())).await;
        sent.into_iter().sum()
    }

    async fn deliver_as_long_as_any_is_due(&self) -> Result<u64, Error> {
        let Some(way) = &self.0.mail else { return Ok(0) };
        let deliveries = &self.0.deliveries;
        let _here = deliveries.under_way.read().await;
        let mut way = way.open();
        let mut sent = 0;
        let outcome = loop {
            if deliveries.ending.load(Ordering::Relaxed) {
                break Ok(sent);
            }
            match self.deliver_one(&mut way).await {
                Ok(Delivery::Sent) => sent += 1,
                Ok(Delivery::NotSent) => {}
                Ok(Delivery::NothingToDo) => break Ok(sent),
                Err(error) => break Err(error),
            }
        };
        way.end().await;
        outcome
    }

    /// Begins no other mail, and waits for those that are being handed over, though not for ever: a mail that the server
    /// has taken and nobody noted would be sent again.
    pub(in crate::kernel) async fn end_deliveries(&self) {
        let deliveries = &self.0.deliveries;
        deliveries.ending.store(true, Ordering::Relaxed);
        if tokio::time::timeout(LAST_MAIL, deliveries.under_way.write())
            .await
            .is_err()
        {
            tracing::warn!("a mail was still being handed over; it may be sent again");
        }
    }

    async fn deliver_one(&self, way: &mut Open<'_>) -> Result<Delivery, Error> {
        let now = self.0.clock.now();
        if !sql::is_any_due(&mut self.0.store.read().await?, now).await? {
            return Ok(Delivery::NothingToDo);
        }
        let timeout = *self.0.settings.mail.timeout;
        let lease = timeout.saturating_mul(2).saturating_add(MARGIN);
        let Some(mail) = sql::claim(&mut self.0.store.single(), after(now, lease), now).await? else {
            // Another node was faster; there may be more, at the next look.
            return Ok(Delivery::NothingToDo);
        };
        let message = match self.prepare(&mail, now) {
            Prepared::Message(message) => message,
            Prepared::Decoy => {
                sql::drop_decoy(&mut self.0.store.single(), &mail).await?;
                return Ok(Delivery::NotSent);
            }
            Prepared::Not(undelivered) => {
                self.record(&mail, Err(undelivered)).await?;
                return Ok(Delivery::NotSent);
            }
        };
        let handed = way.hand_over(&message, timeout).await;
        let sent = handed.outcome.is_ok();
        self.record(&mail, handed.outcome).await?;
        Ok(match (sent, handed.server_is_away) {
            (true, _) => Delivery::Sent,
            (false, false) => Delivery::NotSent,
            // The others stay due, and are not even tried in vain.
            (false, true) => Delivery::NothingToDo,
        })
    }

    fn prepare(&self, mail: &Claimed, now: Timestamp) -> Prepared {
        let opened = self.0.keys.master().open(&context(mail.id), &mail.sealed);
        let Some(sealed) = opened
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Sealed>(&bytes).ok())
        else {
            return Prepared::Not(Undelivered::for_good(
                "its content cannot be read: it was sealed under another master key",
            ));
        };
        if sealed.decoy {
            return Prepared::Decoy;
        }
        if sealed.content.expires_at.is_some_and(|end| end <= now) {
            return Prepared::Not(Undelivered::for_good(
                "its link had expired before it could be sent",
            ));
        }
        let letter = Letter {
            kind: &mail.kind,
            language: self.0.templates.language(&sealed.language),
            content: &sealed.content,
        };
        match letter.write(&self.0.settings, mail.id, &mail.address, mail.created_at) {
            Ok(message) => Prepared::Message(message),
            // For now: an operator may mend a template, and a newer node knows templates that this one does not.
            Err(error) => Prepared::Not(Undelivered::for_now(error.to_string())),
        }
    }

    async fn record(&self, mail: &Claimed, outcome: Result<(), Undelivered>) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut single = self.0.store.single();
        let counters = &self.0.metrics.mails;
        let undelivered = match outcome {
            Ok(()) => {
                sql::sent(&mut single, mail, now).await?;
                counters.sent.inc();
                return Ok(());
            }
            Err(undelivered) => undelivered,
        };
        let next = after(now, self.wait(mail.attempts)?);
        let reason = undelivered.to_string();
        if undelivered.is_for_good() || next >= mail.give_up_at {
            sql::bury(&mut single, mail, &reason, now).await?;
            counters.dead.inc();
            tracing::warn!(mail = %mail.id, kind = mail.kind, reason, "a mail was given up; `tokenhouse mail list` shows it");
        } else {
            sql::defer(&mut single, mail, next, &reason).await?;
            counters.deferred.inc();
            tracing::info!(mail = %mail.id, kind = mail.kind, reason, "a mail could not be sent; it will be tried again");
        }
        Ok(())
    }

    /// With a little chance, so that what failed together does not come back together.
    fn wait(&self, attempts: i64) -> Result<Duration, Error> {
        let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
        let wait = FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(LONGEST_WAIT);
        let [chance] = self.0.entropy.bytes::<1>()?;
        Ok(wait + wait * u32::from(chance) / 1024)
    }

    /// Hands one message over, on a connection of its own.
    pub(super) async fn hand_over(&self, message: &Message) -> Result<(), Undelivered> {
        let Some(way) = &self.0.mail else {
            return Err(Undelivered::for_good("there is no way for mail to leave"));
        };
        let mut way = way.open();
        let handed = way.hand_over(message, *self.0.settings.mail.timeout).await;
        way.end().await;
        handed.outcome
    }

    /// What the metrics say about the outbox is as old as the last call of this.
    pub(crate) async fn measure_mail(&self) -> Result<(), Error> {
        if self.sends_mail() {
            let counts = self.count_mails().await?;
            self.0
                .metrics
                .mails
                .waiting
                .store(counts.waiting, Ordering::Relaxed);
            self.0.metrics.mails.in_vain.store(counts.dead, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) async fn sweep_mail(&self, before: Timestamp) -> Result<(), Error> {
        while sql::sweep(&mut self.0.store.single(), before).await? > 0 {}
        Ok(())
    }
}

enum Delivery {
    Sent,
    NotSent,
    NothingToDo,
}

enum Prepared {
    Message(Message),
    Decoy,
    Not(Undelivered),
}
