//! The second step of a login. Between the two there is only a ticket: it opens nothing by itself, it is bound to the
//! account as it was, to the first method and to the scope, and tries at it are counted. Tries are counted per account
//! too, across tickets, or else whoever has the password could go on guessing codes by logging in again.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::{Complete, LoggedIn, disabled};
use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::store::{Executor, Tx};
use crate::kernel::account::{self, User};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;
use crate::kernel::notice::{Notice, security_notice};
use crate::kernel::recovery;
use crate::kernel::ticket::{self, Key, NewTicket, Purpose};

const SECOND_STEP: Purpose = Purpose("second step of a login");

/// What is needed for the second step.
#[derive(Clone, Debug)]
pub struct SecondStep {
    /// Stands for the first factor at `POST /auth/mfa`.
    pub mfa_token: Secret,
    /// What can be shown now: `totp`, `passkey`, `email_code`, `recovery_code`.
    pub factors: Vec<&'static str>,
    /// What can be set up now, where the account must have a second factor and has none.
    pub set_up: Vec<&'static str>,
    /// Seconds that are left for it.
    pub expires_in: u64,
}

impl From<SecondStep> for Error {
    fn from(step: SecondStep) -> Self {
        let detail = if step.set_up.is_empty() {
            "show the second factor at /auth/mfa"
        } else {
            "this account must have a second factor; set one up to go on"
        };
        let mut members = Map::new();
        members.insert("mfa_token".to_owned(), step.mfa_token.expose().into());
        members.insert("factors".to_owned(), json!(step.factors));
        if !step.set_up.is_empty() {
            members.insert("set_up".to_owned(), json!(step.set_up));
        }
        members.insert("expires_in".to_owned(), step.expires_in.into());
        Self::new(Code::MfaRequired, detail).with_members(members)
    }
}

/// What somebody typed as a second factor.
#[derive(Clone, Debug)]
pub enum Shown {
    /// The code of an app, or one that came by mail.
    Code(Secret),
    /// One of the ten.
    RecoveryCode(Secret),
}

/// A login that has come half way, as its ticket keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Half {
    epoch: i64,
    method: String,
    /// Whether the first step showed no more than that somebody reads the account's mail.
    #[serde(default)]
    by_mail: bool,
    scope: String,
    /// There is nothing to show; a factor is to be set up.
    set_up: bool,
}

impl Half {
    pub(super) fn new(user: &User, method: &'static str, by_mail: bool, scope: &str, set_up: bool) -> Self {
        Self {
            epoch: user.epoch,
            method: method.to_owned(),
            by_mail,
            scope: scope.to_owned(),
            set_up,
        }
    }
}

/// Somebody whose first factor was right, and who may still show the second.
#[derive(Debug)]
pub(crate) struct Waiting {
    key: Key,
    user: User,
    half: Half,
}

impl Waiting {
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Whether the first step showed no more than that somebody reads the account's mail.
    pub(crate) fn is_by_mail(&self) -> bool {
        self.half.by_mail
    }

    /// Whether there is nothing to show, and a factor is to be set up.
    pub(crate) fn sets_up(&self) -> bool {
        self.half.set_up
    }
}

/// The same with its ticket spent, in a transaction: it now needs the second factor, or all of it never was.
#[derive(Debug)]
pub(crate) struct Resumed {
    user: User,
    half: Half,
    at: Timestamp,
    is_first: bool,
}

impl Resumed {
    pub(crate) fn user(&self) -> &User {
        &self.user
    }
}

/// A second factor that was shown, and used up.
#[derive(Debug)]
pub(crate) struct Second {
    pub(crate) user: UserId,
    pub(crate) method: &'static str,
}

impl Tokenhouse {
    /// Stops a login before its second step: a ticket, and nothing else.
    pub(super) async fn halt(
        &self,
        mut tx: Tx,
        user: &User,
        half: Half,
        origin: &Origin,
    ) -> Result<SecondStep, Error> {
        let now = self.0.clock.now();
        let lifetime = *self.0.settings.second_factors.step_lifetime;
        let factors = self.names_of_factors(&mut tx, user, half.by_mail).await?;
        let set_up = if half.set_up {
            let offered = self.factors().filter(|factor| factor.can_be_set_up);
            offered.map(|factor| factor.name).collect()
        } else {
            Vec::new()
        };
        let new = NewTicket {
            purpose: SECOND_STEP,
            user: Some(user.id),
            // On its own: two devices may be half way at once.
            subject: None,
            data: serde_json::to_value(&half).map_err(Error::internal)?,
            lifetime,
            with_code: false,
        };
        let issued = ticket::issue(&mut tx, self, new, now).await?;
        let event = Event {
            data: json!({ "method": half.method }),
            ..Event::new("login.second_factor_due", now)
                .of_user(user.id)
                .seen_from(origin)
        };
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        Ok(SecondStep {
            mfa_token: issued.token,
            factors,
            set_up,
            expires_in: lifetime.as_secs(),
        })
    }

    /// What can be shown at the second step, by name.
    pub(crate) async fn factors_at_second_step(&self, token: &Secret) -> Result<Vec<&'static str>, Error> {
        let waiting = self.look_at_second_step(token).await?;
        let mut reader = self.0.store.read().await?;
        self.names_of_factors(&mut reader, &waiting.user, waiting.half.by_mail)
            .await
    }

    async fn names_of_factors(
        &self,
        on: &mut dyn Executor,
        user: &User,
        after_mail: bool,
    ) -> Result<Vec<&'static str>, Error> {
        let factors = self.factors_of(&mut *on, user, after_mail).await?;
        let mut names: Vec<_> = factors.iter().map(|factor| factor.name).collect();
        if recovery::left(on, user.id).await? > 0 {
            names.push("recovery_code");
        }
        Ok(names)
    }

    /// Who has come half way, without counting a try: to show what can be done.
    pub(crate) async fn look_at_second_step(&self, token: &Secret) -> Result<Waiting, Error> {
        let key = Key::of(token);
        let ticket = self.peek_ticket(SECOND_STEP, &key).await?;
        self.waiting(key, ticket).await
    }

    /// The same, counting a try: before anything is compared.
    pub(crate) async fn try_second_step(&self, token: &Secret) -> Result<Waiting, Error> {
        let key = Key::of(token);
        let ticket = self.count_ticket_try(SECOND_STEP, &key).await?;
        self.waiting(key, ticket).await
    }

    async fn waiting(&self, key: Key, ticket: Option<ticket::Ticket>) -> Result<Waiting, Error> {
        let Some((id, data)) = ticket.and_then(|ticket| Some((ticket.user?, ticket.data))) else {
            return Err(over());
        };
        let half: Half = serde_json::from_value(data).map_err(Error::internal)?;
        let user = self.user(id).await?.ok_or_else(over)?;
        if !user.is_active {
            return Err(disabled());
        }
        if user.epoch != half.epoch {
            return Err(over());
        }
        Ok(Waiting { key, user, half })
    }

    /// A step: takes the login up again. Of several who do so with one ticket one goes on; and none whose account was
    /// changed since the first step.
    pub(crate) async fn resume(&self, tx: &mut Tx, waiting: Waiting) -> Result<Resumed, Error> {
        let at = self.0.clock.now();
        // The account first, as every change of it does, so that no two transactions wait for each other.
        let user = account::note_login(tx, &waiting.user, at)
            .await?
            .ok_or_else(over)?;
        ticket::spend(tx, SECOND_STEP, &waiting.key, at)
            .await?
            .ok_or_else(over)?;
        Ok(Resumed {
            user,
            half: waiting.half,
            at,
            is_first: waiting.user.last_login_at.is_none(),
        })
    }

    /// Ends the second step: opens the session, and commits.
    pub(crate) async fn finish(
        &self,
        mut tx: Tx,
        resumed: Resumed,
        second: Second,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        let Resumed {
            user,
            half,
            at,
            is_first,
        } = resumed;
        if second.user != user.id {
            return Err(Error::internal("the second factor is another user's"));
        }
        if half.by_mail {
            for vouch in self.0.features.iter().filter_map(|feature| feature.vouch) {
                vouch(&mut tx, user.id, &half.method).await?;
            }
        }
        let complete = Complete {
            user,
            method: Cow::Owned(format!("{}+{}", half.method, second.method)),
            at,
            is_first,
            claims: Map::new(),
        };
        self.enter(tx, complete, half.scope, origin).await
    }

    /// Takes the second step of a login with something that was typed.
    ///
    /// # Errors
    /// `mfa_invalid` where it is not right; `mfa_expired` when the login has to begin again; `account_locked` after too
    /// many wrong codes; `account_disabled`.
    pub async fn log_in_with_second_factor(
        &self,
        mfa_token: &Secret,
        shown: &Shown,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        let waiting = self.try_second_step(mfa_token).await?;
        let (user, after_mail) = (waiting.user.clone(), waiting.half.by_mail);
        let right = self.judge(&user, after_mail, shown, origin).await?;
        let mut tx = self.0.store.write().await?;
        let resumed = self.resume(&mut tx, waiting).await?;
        match right.use_up(self, &mut tx, &user, origin).await? {
            Some(second) => self.finish(tx, resumed, second, origin).await,
            None => {
                drop(tx);
                Err(self.refuse_second(&user, origin).await?)
            }
        }
    }

    /// Looks whether what was typed is right, outside any transaction; counts the try first.
    pub(super) async fn judge(
        &self,
        user: &User,
        after_mail: bool,
        shown: &Shown,
        origin: &Origin,
    ) -> Result<Right, Error> {
        let code = match shown {
            // Eighty random bits need no brake; and an owner who was slowed down by a thief gets in with one.
            Shown::RecoveryCode(code) => return Ok(Right::Recovery(code.clone())),
            Shown::Code(code) => code,
        };
        let counted = self.brake_second(user.id, origin).await?;
        let now = self.0.clock.now();
        let factors = self
            .factors_of(&mut self.0.store.read().await?, user, after_mail)
            .await?;
        for factor in factors {
            if let Some(judge) = factor.judge
                && let Some(use_up) = judge(self, user, code, now).await?
            {
                return Ok(Right::Code {
                    use_up,
                    method: factor.name,
                    counted,
                });
            }
        }
        Err(self.refuse_second(user, origin).await?)
    }

    /// Notes a second factor that was not right: whoever shows one knew the first.
    pub(crate) async fn refuse_second(&self, user: &User, origin: &Origin) -> Result<Error, Error> {
        self.0.metrics.logins.second_wrong.inc();
        let event = Event::new("login.second_factor_failed", self.0.clock.now())
            .of_user(user.id)
            .seen_from(origin);
        event::write(&mut self.0.store.single(), &self.0.entropy, event).await?;
        Ok(Error::new(
            Code::MfaInvalid,
            "the second factor is not right, or was used before",
        ))
    }
}

/// What was typed, and found right so far.
pub(super) enum Right {
    Code {
        use_up: crate::kernel::factor::UseUp,
        method: &'static str,
        counted: Option<crate::kernel::brake::CountedCode>,
    },
    Recovery(Secret),
}

impl Right {
    /// A step: uses it up; `None` where it was no recovery code, or somebody else was faster.
    pub(super) async fn use_up(
        self,
        house: &Tokenhouse,
        tx: &mut Tx,
        user: &User,
        origin: &Origin,
    ) -> Result<Option<Second>, Error> {
        let now = house.0.clock.now();
        let shown_by = |method| Second {
            user: user.id,
            method,
        };
        match self {
            Self::Code {
                use_up,
                method,
                counted,
            } => {
                if !use_up(tx).await? {
                    return Ok(None);
                }
                if let Some(counted) = counted {
                    counted.give_back(tx).await?;
                }
                Ok(Some(shown_by(method)))
            }
            Self::Recovery(code) => {
                let Some(left) = recovery::spend(tx, house, user.id, &code, now).await? else {
                    return Ok(None);
                };
                let event = Event {
                    data: json!({ "left": left }),
                    ..Event::new("recovery_code.used", now)
                        .of_user(user.id)
                        .seen_from(origin)
                };
                event::write(tx, &house.0.entropy, event).await?;
                security_notice(tx, house, user, Notice::RecoveryCodeUsed(left), origin, now).await?;
                Ok(Some(shown_by("recovery_code")))
            }
        }
    }
}

fn over() -> Error {
    Error::new(
        Code::MfaExpired,
        "the second step took too long, was tried too often, or the account changed; log in again",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_error_tells_the_client_how_to_go_on_and_the_log_nothing() {
        let step = SecondStep {
            mfa_token: Secret::from("hunter2"),
            factors: vec!["totp"],
            set_up: Vec::new(),
            expires_in: 600,
        };
        let error = Error::from(step);
        assert_eq!(error.members().get("mfa_token"), Some(&Value::from("hunter2")));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
