//! The one way into a session. Every way of signing in ends in a `Proof`; only `Tokenhouse::complete`,
//! which asks what else is due, turns it into a `Complete`; and only a `Complete` opens a session. A new
//! way of signing in cannot skip a check, because the compiler offers no other way.

use jiff::Timestamp;

use super::account::{self, User};
use super::brake::{self, Try};
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::notice;
use super::session::{self, Session};
use super::token::TokenSet;
use crate::base::error::{Code, Error, FieldError};
use crate::base::http::Origin;
use crate::base::store::Tx;

/// Somebody has shown to be `user`, by `method`, at this instant.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) user: User,
    pub(crate) method: &'static str,
    pub(crate) at: Timestamp,
    /// The try that success clears.
    pub(crate) counted: Option<Try>,
}

/// A login that lacks nothing. It cannot be made outside this module.
#[derive(Debug)]
pub(crate) struct Complete {
    user: User,
    method: &'static str,
    at: Timestamp,
}

impl Complete {
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
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

impl Tokenhouse {
    /// Turns a proof into a session and its tokens, in the caller's transaction, which this commits.
    pub(crate) async fn log_in(
        &self,
        mut tx: Tx,
        mut proof: Proof,
        scope: String,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        let counted = proof.counted.take();
        let login = self.complete(&mut tx, proof).await?;
        if let Some(counted) = &counted {
            brake::release(&mut tx, counted.key()).await?;
        }
        let (session, ended) = session::open(&mut tx, self, &login, scope, origin).await?;
        let event = Event {
            data: serde_json::json!({ "method": login.method }),
            ..Event::new("login.succeeded", login.at)
                .of_user(login.user.id)
                .in_session(session.id)
                .seen_from(origin)
        };
        event::write(&mut tx, &self.0.entropy, event).await?;
        notice::tell_of_login(&mut tx, self, &login.user, &session, origin).await?;
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

    /// What else is due before somebody is in: the account must be in use, and nothing may have ended its
    /// logins since the proof was made.
    async fn complete(&self, tx: &mut Tx, proof: Proof) -> Result<Complete, Error> {
        let Proof { user, method, at, .. } = proof;
        if !user.is_active {
            self.0.metrics.logins.disabled.inc();
            return Err(Error::new(
                Code::AccountDisabled,
                "the account is disabled; ask whoever runs this service",
            ));
        }
        if !self.may_enter(&user) {
            return Err(Error::new(
                Code::EmailUnverified,
                "verify the e-mail address first: a mail was sent to it, and another can be asked for",
            ));
        }
        match account::note_login(tx, &user, at).await? {
            Some(user) => Ok(Complete { user, method, at }),
            None => Err(Error::new(
                Code::InvalidCredentials,
                "the account changed while logging in; try again",
            )),
        }
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
