//! Wrong passwords, for their account's owner to see. They are counted in memory and written down by a job, at most once
//! an hour for each account and node: a guess writes nothing, so nobody fills the log with guesses, and there is no
//! write for a stranger to see the time of, since the same is done for an account that does not exist. What a node that
//! dies had not written is lost; the brake, which is what holds guesses up, is in the database.
//!
//! Nobody gets a mail of them. Whoever knows an address could have one sent, every day, to people who learn by it not to
//! read such mails; and a wrong password is not yet a danger, as a right one from elsewhere is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use super::event::{self, Event};
use super::house::Tokenhouse;
use crate::base::clock::after;
use crate::base::error::Error;
use crate::base::http::Origin;
use crate::base::id::UserId;

/// So many accounts are counted at a time; in a storm on more, those that come late are in the metrics only.
const MOST: usize = 10_000;
const WINDOW: Duration = Duration::from_secs(3600);

/// The accounts that somebody typed wrong passwords for.
#[derive(Default)]
pub(crate) struct WrongPasswords(Mutex<HashMap<UserId, Counted>>);

#[derive(Clone, Copy)]
struct Counted {
    /// Since it was last written down.
    times: u64,
    last: Timestamp,
    address: Option<IpAddr>,
    written: Option<Timestamp>,
}

impl Counted {
    fn may_be_written(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep it waiting.
        self.written
            .is_none_or(|then| after(then, WINDOW) <= now || then > now)
    }
}

impl WrongPasswords {
    fn count(&self, user: UserId, address: Option<IpAddr>, now: Timestamp) {
        let mut all = self.0.lock();
        let is_room = all.len() < MOST;
        match all.entry(user) {
            Entry::Occupied(mut entry) => {
                let counted = entry.get_mut();
                counted.times += 1;
                (counted.last, counted.address) = (now, address);
            }
            Entry::Vacant(entry) if is_room => {
                entry.insert(Counted {
                    times: 1,
                    last: now,
                    address,
                    written: None,
                });
            }
            Entry::Vacant(_) => {}
        }
    }

    /// What is to be written down now; forgets those of whom there is nothing to tell.
    fn due(&self, now: Timestamp, all: bool) -> Vec<(UserId, Counted)> {
        let mut counts = self.0.lock();
        counts.retain(|_, counted| counted.times > 0 || !counted.may_be_written(now));
        counts
            .iter()
            .filter(|(_, counted)| counted.times > 0 && (all || counted.may_be_written(now)))
            .map(|(user, counted)| (*user, *counted))
            .collect()
    }

    fn written(&self, which: &[(UserId, Counted)], now: Timestamp) {
        let mut all = self.0.lock();
        for (user, written) in which {
            if let Some(counted) = all.get_mut(user) {
                counted.times = counted.times.saturating_sub(written.times);
                counted.written = Some(now);
            }
        }
    }
}

impl Tokenhouse {
    /// Counts a wrong password; the same for an account that does not exist.
    pub(crate) fn count_wrong_password(&self, user: Option<UserId>, origin: &Origin) {
        self.0.metrics.logins.wrong.inc();
        let user = user.unwrap_or(UserId(Uuid::nil()));
        self.0
            .wrong_passwords
            .count(user, origin.address, self.0.clock.now());
    }

    /// Writes down for whom wrong passwords were typed: of each account at most once an hour. The house does so by itself
    /// every minute.
    ///
    /// # Errors
    /// When the database cannot be reached; then they are written the next time.
    pub async fn note_wrong_passwords(&self) -> Result<(), Error> {
        self.write_wrong_passwords(false).await
    }

    /// The same of all, before the house ends.
    pub(super) async fn write_wrong_passwords(&self, all: bool) -> Result<(), Error> {
        let now = self.0.clock.now();
        let due = self.0.wrong_passwords.due(now, all);
        let told: Vec<Event> = due
            .iter()
            .filter(|(user, _)| !user.0.is_nil())
            .map(|(user, counted)| Event {
                address: counted.address,
                data: serde_json::json!({ "times": counted.times }),
                ..Event::new("login.failed", counted.last).of_user(*user)
            })
            .collect();
        if !told.is_empty() {
            let mut tx = self.0.store.write().await?;
            event::write_many(&mut tx, &self.0.entropy, told).await?;
            tx.commit().await?;
        }
        self.0.wrong_passwords.written(&due, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_on_many_accounts_takes_so_much_memory_and_no_more() {
        let counts = WrongPasswords::default();
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..2 * MOST as u128 {
            counts.count(UserId(Uuid::from_u128(number)), None, now);
        }
        let due = counts.due(now, false);
        assert_eq!(due.len(), MOST);
        counts.written(&due, now);
        assert!(counts.due(now, true).is_empty());
        assert_eq!(counts.0.lock().len(), MOST, "remembered until the hour is over");
        counts.count(due[0].0, None, now);
        let later = after(now, WINDOW);
        assert_eq!(counts.due(later, false).len(), 1);
        assert_eq!(counts.0.lock().len(), 1, "the others are forgotten");
    }
}
