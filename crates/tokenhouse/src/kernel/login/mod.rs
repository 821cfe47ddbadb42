//! The one way into a session. Every way of signing in ends in a `Proof`; only `advance`, which asks what else is
//! due, turns it into a `Complete`, and where a second factor is due only `second` does; and only a `Complete`
//! opens a session. A new way of signing in cannot skip a check, because the compiler offers no other way.

pub(crate) mod again;
mod confirm;
pub(crate) mod hooks;
pub(crate) mod routes;
pub(crate) mod second;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::hooks::LoginAttempt;
pub use self::second::{SecondStep, Shown};
use super::account::{self, User};
use super::brake::Try;
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::notice::{self, Notice, security_notice};
use super::session::{self, Session};
use super::token::TokenSet;
use super::wrong_codes;
use crate::base::error::{Code, Error, FieldError};
use crate::base::http::Origin;
use crate::base::store::Tx;

/// So many wrong passwords before a right one are told of: fewer are a person who mistypes.
const TOLD: i64 = 5;

/// Somebody has shown to be `user`, by `method`, at this instant.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) user: User,
    pub(crate) method: &'static str,
    pub(crate) at: Timestamp,
    /// The try that success clears.
    pub(crate) counted: Option<Try>,
    /// Whether it showed two factors at once, as a passkey does that has verified who holds it.
    pub(crate) shows_two: bool,
    /// Whether it showed no more than that somebody reads the account's mail.
    pub(crate) by_mail: bool,
}

/// A login that lacks nothing. It cannot be made outside this module.
#[derive(Debug)]
pub(crate) struct Complete {
    user: User,
    method: Cow<'static, str>,
    at: Timestamp,
    /// Whether nobody has ever logged in to the account before.
    is_first: bool,
    claims: Map<String, Value>,
}

impl Complete {
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Somebody who is logged in now.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// Who.
    pub user: User,
    /// The session that was opened.
    pub session: Session,
    /// Its first tokens.
    pub tokens: TokenSet,
}

/// How far a login has come.
#[derive(Debug)]
pub enum Step {
    /// The user is logged in.
    Done(Box<LoggedIn>),
    /// The first factor was right, a second is due. Nothing has been opened.
    Need(SecondStep),
}

impl Step {
    /// The login, where it lacks nothing; otherwise the error `mfa_required`, whose problem document carries what the
    /// client needs for the second step.
    ///
    /// # Errors
    /// `mfa_required`.
    pub fn done(self) -> Result<LoggedIn, Error> {
        match self {
            Self::Done(login) => Ok(*login),
            Self::Need(second) => Err(second.into()),
        }
    }
}

/// What `advance` found.
enum Advance {
    Complete(Complete),
    Due(User, second::Half),
}

impl Tokenhouse {
    /// Turns a proof into a session and its tokens, or into what is needed for the second step, in the caller's
    /// transaction, which this commits.
    pub(crate) async fn log_in(
        &self,
        mut tx: Tx,
        mut proof: Proof,
        scope: String,
        origin: &Origin,
    ) -> Result<Step, Error> {
        let (counted, at) = (proof.counted.take(), proof.at);
        let advance = self.advance(&mut tx, proof, &scope).await?;
        if let Some(counted) = &counted {
            let wrong = counted.release(&mut tx).await?;
            if wrong >= TOLD {
                let user = match &advance {
                    Advance::Complete(login) => &login.user,
                    Advance::Due(user, _) => user,
                };
                security_notice(&mut tx, self, user, Notice::AfterWrongPasswords, origin, at).await?;
            }
        }
        match advance {
            Advance::Complete(login) => {
                let login = self.enter(tx, login, scope, origin).await?;
                Ok(Step::Done(Box::new(login)))
            }
            Advance::Due(user, half) => self.halt(tx, &user, half, origin).await.map(Step::Need),
        }
    }

    /// What else is due before somebody is in: the account must be in use, nothing may have ended its logins since the
    /// proof was made, and a second factor must be shown where there is one or must be one.
    async fn advance(&self, tx: &mut Tx, proof: Proof, scope: &str) -> Result<Advance, Error> {
        let Proof {
            user,
            method,
            at,
            shows_two,
            by_mail,
            ..
        } = proof;
        if !user.is_active {
            self.0.metrics.logins.disabled.inc();
            return Err(disabled());
        }
        if !self.may_enter(&user) {
            return Err(Error::new(
                Code::EmailUnverified,
                "verify the e-mail address first: a mail was sent to it, and another can be asked for",
            ));
        }
        if !shows_two {
            let has = self.has_second_factor(tx, &user).await?;
            if has || self.must_have_second_factor(&user) {
                let can_show = has || !self.factors_of(tx, &user, by_mail).await?.is_empty();
                let half = second::Half::new(&user, method, by_mail, scope, !can_show);
                return Ok(Advance::Due(user, half));
            }
        }
        let is_first = user.last_login_at.is_none();
        match account::note_login(tx, &user, at).await? {
            Some(user) => {
                if shows_two {
                    wrong_codes::forget(tx, user.id).await?;
                }
                Ok(Advance::Complete(Complete {
                    user,
                    method: Cow::Borrowed(method),
                    at,
                    is_first,
                    claims: Map::new(),
                }))
            }
            None => Err(Error::new(
                Code::InvalidCredentials,
                "the account changed while logging in; try again",
            )),
        }
    }

    /// Opens the session, if the application has nothing against it, and commits.
    async fn enter(
        &self,
        mut tx: Tx,
        mut login: Complete,
        scope: String,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        login.claims = self.ask_before_login(&mut tx, &login, origin).await?;
        let (session, ended) = session::open(&mut tx, self, &login, scope, origin).await?;
        let event = Event {
            data: serde_json::json!({ "method": login.method }),
            ..Event::new("login.succeeded", login.at)
                .of_user(login.user.id)
                .in_session(session.id)
                .seen_from(origin)
        };
        event::write(&mut tx, &self.0.entropy, event).await?;
        notice::tell_of_login(&mut tx, self, &login.user, &session, login.is_first, origin).await?;
        // Before the commit: whatever fails here leaves no session behind that nobody holds a token of.
        let tokens = self.mint(&login.user, &session, login.at)?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        self.0.metrics.logins.succeeded.inc();
        Ok(LoggedIn {
            user: login.user,
            session,
            tokens,
        })
    }

    /// Whether the settings let somebody with this address in.
    pub(crate) fn may_enter(&self, user: &User) -> bool {
        user.email_verified || user.email.is_none() || !self.0.settings.signup.require_verified_email
    }

    /// The scope a session gets: what was asked for, which must be part of what the settings grant.
    pub(crate) fn grant_scope(&self, asked: Option<&str>) -> Result<String, Error> {
        let granted = self.0.settings.tokens.scope.as_str();
        let Some(asked) = asked else {
            return Ok(granted.to_owned());
        };
        let is_granted = |scope: &&str| granted.split_whitespace().any(|one| one == *scope);
        match asked.split_whitespace().find(|scope| !is_granted(scope)) {
            Some(_) => Err(Error::invalid_fields(vec![FieldError::new(
                "scope",
                "scope_invalid",
                if granted.is_empty() {
                    "no scopes are granted here".to_owned()
                } else {
                    format!("may hold {granted}")
                },
            )])),
            None => Ok(asked.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
}

fn disabled() -> Error {
    Error::new(
        Code::AccountDisabled,
        "the account is disabled; ask whoever runs this service",
    )
}
