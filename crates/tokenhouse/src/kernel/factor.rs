//! Second factors as the kernel sees them: which an account has, whether one must be, and what happens around a
//! change. How one is shown is the business of its feature.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::account::{self, User};
use super::event::{self, Event};
use super::factor_undo;
use super::house::Tokenhouse;
use super::mail;
use super::notice::{Notice, security_notice};
use super::recovery;
use super::session::{self, Ended};
use super::wrong_codes;
use crate::base::clock::after;
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::base::store::{Executor, Tx};

/// What a feature offers as a second factor.
#[derive(Clone, Copy)]
pub struct Factor {
    /// Its name in the API: `totp`.
    pub name: &'static str,
    /// Whether it only stands in where another is not at hand: it makes no second step due by itself.
    pub stands_in: bool,
    /// Whether it shows no more than that somebody reads the account's mail: after a first step that shows no more
    /// either it would be no second one.
    pub by_mail: bool,
    /// Whether somebody who must have a second factor and has none can set it up during the login.
    pub can_be_set_up: bool,
    /// Whether the account can show it.
    pub enrolled: Asked,
    /// Judges a typed code. What is not typed has doors of its own.
    pub judge: Option<Judge>,
}

/// A question about an account.
pub type Asked =
    for<'a> fn(&'a Tokenhouse, &'a mut dyn Executor, &'a User) -> BoxFuture<'a, Result<bool, Error>>;

/// Looks at a code outside any transaction; a right one has yet to be used up.
pub type Judge = for<'a> fn(
    &'a Tokenhouse,
    &'a User,
    &'a Secret,
    Timestamp,
) -> BoxFuture<'a, Result<Option<UseUp>, Error>>;

/// Uses a right code up, in a transaction; `false` where somebody else was faster.
pub type UseUp = Box<dyn for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<bool, Error>> + Send>;

/// What the house did because a factor was added.
pub(crate) struct Added {
    /// Shown once; empty where the account had some left.
    pub(crate) recovery_codes: Vec<Secret>,
    /// Sessions from before there was a second factor, for `remember_revoked` after the commit.
    pub(crate) ended: Vec<Ended>,
}

impl Tokenhouse {
    /// The factors of the features that are switched on.
    pub(crate) fn factors(&self) -> impl Iterator<Item = Factor> {
        self.0.features.iter().filter_map(|feature| feature.factor)
    }

    /// The factors the account can show, those that make a second step due first, then those that stand in. `after_mail`:
    /// after a first step that shows no more than that somebody reads the account's mail.
    pub(crate) async fn factors_of(
        &self,
        on: &mut dyn Executor,
        user: &User,
        after_mail: bool,
    ) -> Result<Vec<Factor>, Error> {
        let mut found = Vec::new();
        for factor in self.factors() {
            let fits = !(after_mail && factor.by_mail);
            if fits && (factor.enrolled)(self, &mut *on, user).await? {
                found.push(factor);
            }
        }
        found.sort_by_key(|factor| factor.stands_in);
        Ok(found)
    }

    /// Whether logging in to the account takes two steps because it was set up so.
    pub(crate) async fn has_second_factor(&self, on: &mut dyn Executor, user: &User) -> Result<bool, Error> {
        let factors = self.factors_of(on, user, false).await?;
        Ok(factors.iter().any(|factor| !factor.stands_in))
    }

    /// Whether the settings want the account to have a second factor.
    pub(crate) fn must_have_second_factor(&self, user: &User) -> bool {
        let roles = &self.0.settings.second_factors.required_for;
        roles.iter().any(|role| role == "*" || user.has_role(role))
    }

    /// A step: a factor was added, after [`begin_change`]. With the first one, whoever logged in without is logged out, and
    /// the mail that tells of it carries a link that takes it back.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a fact of its own, and the callers have them apart"
    )]
    pub(crate) async fn factor_added(
        &self,
        tx: &mut Tx,
        user: &User,
        factor: &'static str,
        is_first: bool,
        keep: Option<SessionId>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Added, Error> {
        let ended = if is_first {
            session::end_all(tx, self, user.id, keep, now).await?
        } else {
            Vec::new()
        };
        let recovery_codes = if is_first || recovery::left(tx, user.id).await? == 0 {
            recovery::make(tx, self, user.id, now).await?
        } else {
            Vec::new()
        };
        // Guesses at what the account had before are none at this.
        wrong_codes::forget(tx, user.id).await?;
        self.note_factor(tx, "factor.added", user, factor, origin, now)
            .await?;
        let undo = if is_first {
            factor_undo::issue(tx, self, user, now).await?
        } else {
            None
        };
        let link = undo.map(|undo| mail::link("/factors/undo", &undo.token));
        let notice = match &link {
            Some(link) => Notice::FirstFactor {
                factor,
                undo: (link, after(now, *self.0.settings.links.undo)),
            },
            None => Notice::FactorAdded(factor),
        };
        security_notice(tx, self, user, notice, origin, now).await?;
        Ok(Added {
            recovery_codes,
            ended,
        })
    }

    /// A step: a factor was removed, after [`begin_change`]. Refuses what would lock the user out or leave less than the
    /// settings demand; the caller then drops the transaction.
    pub(crate) async fn factor_removed(
        &self,
        tx: &mut Tx,
        user: &User,
        factor: &'static str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.require_way_in(tx, user).await?;
        if !self.has_second_factor(tx, user).await? {
            if self.must_have_second_factor(user) {
                return Err(Error::new(
                    Code::SecondFactorRequired,
                    "this account must have a second factor; set up another before you remove this one",
                ));
            }
            recovery::remove(tx, user.id).await?;
        }
        self.note_factor(tx, "factor.removed", user, factor, origin, now)
            .await?;
        security_notice(tx, self, user, Notice::FactorRemoved(factor), origin, now).await
    }

    /// Takes every second factor and every recovery code of a user away: for operators, and for people who have lost them
    /// all and have shown otherwise who they are. Every session is over; what they log in with first stays as it is.
    ///
    /// # Errors
    /// `conflict`; when the database cannot be reached.
    pub async fn remove_factors(&self, user: &User) -> Result<(), Error> {
        let now = self.0.clock.now();
        let origin = Origin::default();
        let mut tx = self.0.store.write().await?;
        begin_change(&mut tx, user, now).await?;
        self.take_factors_away(&mut tx, user, &origin, now).await?;
        let ended = session::end_all(&mut tx, self, user.id, None, now).await?;
        let event = Event::new("factors.removed_by_operator", now).of_user(user.id);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(())
    }

    /// A step: takes every second factor and every recovery code away, and tells the user; whether there were any.
    pub(crate) async fn take_factors_away(
        &self,
        tx: &mut Tx,
        user: &User,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut any = false;
        for feature in self.0.features.iter().filter(|feature| feature.factor.is_some()) {
            if let (Some(factor), Some(disown)) = (feature.factor, feature.disown)
                && (factor.enrolled)(self, &mut *tx, user).await?
            {
                any = true;
                disown(tx, user.id, Timestamp::MIN).await?;
                security_notice(tx, self, user, Notice::FactorRemoved(factor.name), origin, now).await?;
            }
        }
        let codes = recovery::remove(tx, user.id).await?;
        wrong_codes::forget(tx, user.id).await?;
        Ok(any || codes > 0)
    }

    async fn require_way_in(&self, tx: &mut Tx, user: &User) -> Result<(), Error> {
        for way_in in self.0.features.iter().filter_map(|feature| feature.way_in) {
            if way_in(self, &mut *tx, user).await? {
                return Ok(());
            }
        }
        Err(Error::new(
            Code::LastWayIn,
            "without it you could not log in any more; set up another way first",
        ))
    }

    async fn note_factor(
        &self,
        tx: &mut Tx,
        kind: &'static str,
        user: &User,
        factor: &'static str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), Error> {
        let event = Event {
            data: serde_json::json!({ "factor": factor }),
            ..Event::new(kind, now).of_user(user.id).seen_from(origin)
        };
        event::write(tx, &self.0.entropy, event).await
    }
}

/// A step: begins a change of what the account is logged in with. Of several at the same moment one goes on, and so
/// does no login that began before it.
pub(crate) async fn begin_change(tx: &mut Tx, user: &User, now: Timestamp) -> Result<(), Error> {
    if account::bump_epoch(tx, user, now).await? {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        "the account was changed at the same moment; look again, then try again",
    ))
}
