//! What this node knows of revoked sessions, and how new that is.
//!
//! The set in memory answers every check of a token. It follows the table of revocations in three ways: what this
//! node revokes goes in before the answer; what another revokes, that node tells at once (`store.notices`); and the
//! table is read twice a second, which finds whatever was not heard. The last is what may be relied on: a reading that
//! began at T knows everything that was revoked before T. A token is accepted only while the last such T is no older
//! than `sessions.revocation_staleness`; otherwise the table is read first, once for all who wait
//! (`docs/decisions/0006-what-may-be-revoked.md`).

use std::time::Duration;

use jiff::Timestamp;

use super::{Ended, FROM_AHEAD, sql};
use crate::base::clock::{after, before};
use crate::base::error::Error;
use crate::base::store::Notice;
use crate::kernel::house::Tokenhouse;
use crate::kernel::look::{PATIENCE, unknown};
use crate::kernel::token::all_dead;

/// Revocations written by a node whose clock is behind, or whose transaction took long, are still seen.
const OVERLAP: Duration = Duration::from_secs(120);

/// Where nodes on one database tell each other what should not wait.
pub(crate) const CHANNEL: &str = "tokenhouse";
const REVOKED: &str = "revoked ";
const KEYS: &str = "keys";

/// What was known when somebody began to check a token.
#[derive(Clone, Copy)]
pub(super) struct Known(u64);

impl Tokenhouse {
    /// Taken before the check, so that nobody counts as known what came after.
    pub(super) fn known(&self) -> Known {
        Known(self.0.following.begun())
    }

    /// Whether that is recent enough to accept a token now.
    pub(super) fn is_recent(&self, known: Known) -> bool {
        known.0 >= self.oldest_acceptable()
    }

    /// Where it is not, reads what is missing, or waits for who does.
    pub(super) async fn become_recent(&self) -> Result<(), Error> {
        let since = self.oldest_acceptable();
        tokio::time::timeout(PATIENCE, self.read_revocations(since))
            .await
            .unwrap_or_else(|_| Err(unknown()))
    }

    fn oldest_acceptable(&self) -> u64 {
        let bound = self.0.settings.sessions.revocation_staleness.as_nanos();
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        self.0.clock.steady().saturating_sub(bound)
    }

    /// Reads what was revoked until now.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        self.read_revocations(self.0.clock.steady()).await
    }

    async fn read_revocations(&self, since: u64) -> Result<(), Error> {
        let clock = &self.0.clock;
        let Some(mut turn) = self.0.following.since(clock, since).await? else {
            return Ok(());
        };
        let now = clock.now();
        let followed = *turn.state();
        // A clock that went back had perhaps been ahead when it was read last, and much was taken for known.
        let from = if now < followed {
            Timestamp::MIN
        } else {
            before(followed, OVERLAP)
        };
        let outcome = self.follow_revocations(from).await;
        if outcome.is_ok() {
            *turn.state() = now;
        }
        turn.end(clock, outcome)
    }

    /// Takes in what was revoked since `since`.
    pub(crate) async fn follow_revocations(&self, since: Timestamp) -> Result<(), Error> {
        let now = self.0.clock.now();
        let revoked = sql::revoked_since(&mut self.0.store.read().await?, since, now).await?;
        let set = self.0.verifier.revocations();
        set.extend(
            revoked
                .into_iter()
                .map(|(id, forget_at)| (id.into_bytes().into(), seconds(forget_at))),
        );
        set.forget_before(seconds(now));
        Ok(())
    }

    /// After the commit: this node refuses them before it answers, and the others hear of them.
    pub(crate) fn remember_revoked(&self, ended: &[Ended]) {
        for session in ended {
            let until = seconds(session.forget_at);
            self.0
                .verifier
                .revocations()
                .revoke(session.id.0.into_bytes(), until);
            self.tell(format!("{REVOKED}{} {until}", session.id));
        }
    }

    /// After the commit: the others read the keys.
    pub(crate) fn tell_of_keys(&self) {
        self.tell(KEYS.to_owned());
    }

    fn tell(&self, line: String) {
        if let Some(notifier) = self.0.notifier.get() {
            notifier.tell(line);
        }
    }

    /// Does what another node's notice asks for.
    pub(crate) async fn heed(&self, notice: &Notice) -> Result<(), Error> {
        let line = match notice {
            Notice::Listening => {
                self.reload_keys().await?;
                return self.follow().await;
            }
            Notice::Told(line) => line,
        };
        if let Some((id, until)) = line.strip_prefix(REVOKED).and_then(revoked) {
            // Whoever reaches the database may tell anything; no token lives longer than this. What the table says is
            // read all the same.
            let latest = all_dead(&self.0.settings, after(self.0.clock.now(), FROM_AHEAD));
            let until = until.min(seconds(latest));
            self.0.verifier.revocations().revoke(id, until);
        } else if line == KEYS {
            self.reload_keys().await?;
        }
        // Anything else is a newer version's.
        Ok(())
    }
}

fn revoked(text: &str) -> Option<([u8; 16], u64)> {
    let (id, until) = text.split_once(' ')?;
    let id: uuid::Uuid = id.parse().ok()?;
    Some((id.into_bytes(), until.parse().ok()?))
}

/// Since 1970.
pub(super) fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}
