//! Extractors: who sends this request. An application's handler names one of them, and is not entered by
//! anybody else.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use tokenhouse_verify::{Claims, Rejection, VerifiedToken};

use super::Session;
use super::browser::Bound;
use crate::base::error::{Code, Error};
use crate::base::id::{SessionId, UserId};
use crate::base::secret::Secret;
use crate::kernel::account::User;
use crate::kernel::house::Tokenhouse;
use crate::kernel::look::unknown;

/// A verified access token. No database is asked while this node follows what is revoked, so it is as quick as a
/// look-up.
///
/// ```
/// use tokenhouse::{AccessToken, Error};
///
/// async fn publish(token: AccessToken) -> Result<String, Error> {
///     token.require_scope("posts:write")?;
///     Ok(format!("{} may write", token.claims().sub.as_deref().unwrap_or_default()))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AccessToken(Arc<VerifiedToken>);

impl AccessToken {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        self.0.claims()
    }

    /// Whose it is.
    ///
    /// # Errors
    /// `token_invalid` where the subject is no id, as with an application's own payload; [`CurrentUser`] knows
    /// the user then too.
    pub fn user_id(&self) -> Result<UserId, Error> {
        self.claims()
            .sub
            .as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| invalid("its subject is no user"))
    }

    /// The session it belongs to.
    ///
    /// # Errors
    /// `token_invalid` where it names none.
    pub fn session_id(&self) -> Result<SessionId, Error> {
        self.claims()
            .sid
            .as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| invalid("it belongs to no session"))
    }

    /// Refuses a token without this scope.
    ///
    /// # Errors
    /// `insufficient_scope` (RFC 6750 §3.1).
    pub fn require_scope(&self, scope: &str) -> Result<(), Error> {
        if self.claims().has_scope(scope) {
            return Ok(());
        }
        Err(Error::new(
            Code::InsufficientScope,
            format!("the token lacks the scope {scope}"),
        )
        .needs_scope(scope.to_owned()))
    }
}

/// Whatever token the request bears in its one `Authorization: Bearer` header, unread: for a door of the
/// application that takes another kind of token there, such as a refresh token.
#[derive(Clone, Debug)]
pub struct BearerToken(pub Secret);

/// The user who sends the request, as the database has them now; refuses everybody who is not logged in.
///
/// Logged in is who sends an access token, or whose browser is signed in at the [pages](crate::Settings): a cookie,
/// believed for `POST`, `PUT`, `PATCH` and `DELETE` only where the browser says that a page of this origin sent the
/// request. A token wins over a cookie.
///
/// ```
/// use tokenhouse::CurrentUser;
///
/// async fn hello(user: CurrentUser) -> String {
///     format!("Hello, {}", user.email.as_deref().unwrap_or("you"))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CurrentUser {
    user: User,
    pass: Pass,
}

/// What the user was let in by.
#[derive(Clone, Debug)]
enum Pass {
    Token(AccessToken),
    Browser {
        session: Box<Session>,
        form_token: Secret,
    },
}

impl CurrentUser {
    /// The token the request came with, where it was not the cookie of a browser.
    #[must_use]
    pub fn token(&self) -> Option<&AccessToken> {
        match &self.pass {
            Pass::Token(token) => Some(token),
            Pass::Browser { .. } => None,
        }
    }

    /// The session that the user is logged in by.
    ///
    /// # Errors
    /// `token_invalid` where the token names none.
    pub fn session_id(&self) -> Result<SessionId, Error> {
        match &self.pass {
            Pass::Token(token) => token.session_id(),
            Pass::Browser { session, .. } => Ok(session.id),
        }
    }

    /// What an application's own form must have in a hidden field, or its script in the header `X-CSRF-Token`; nothing
    /// for a user who sent an access token, which no other site can.
    #[must_use]
    pub fn csrf_token(&self) -> Option<&Secret> {
        match &self.pass {
            Pass::Token(_) => None,
            Pass::Browser { form_token, .. } => Some(form_token),
        }
    }

    /// The user alone.
    #[must_use]
    pub fn into_user(self) -> User {
        self.user
    }

    /// Refuses a user without this role; a superuser has every role.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require_role(&self, role: &str) -> Result<(), Error> {
        if self.user.has_role(role) {
            return Ok(());
        }
        Err(Error::new(Code::Forbidden, format!("this needs the role {role}")))
    }

    /// Refuses a token without this scope.
    ///
    /// # Errors
    /// `insufficient_scope`.
    pub fn require_scope(&self, scope: &str) -> Result<(), Error> {
        match &self.pass {
            Pass::Token(token) => token.require_scope(scope),
            Pass::Browser { session, .. } if session.scope.split_whitespace().any(|held| held == scope) => {
                Ok(())
            }
            Pass::Browser { .. } => Err(Error::new(
                Code::InsufficientScope,
                format!("the session lacks the scope {scope}"),
            )
            .needs_scope(scope.to_owned())),
        }
    }
}

impl std::ops::Deref for CurrentUser {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

/// The user who sends the request, or `None` for somebody who sends no token at all and whose browser is not signed in.
/// A bad token is still refused: whoever sends one believes to be logged in.
#[derive(Clone, Debug)]
pub struct MaybeUser(pub Option<CurrentUser>);

impl Tokenhouse {
    /// Checks an access token by what this node knows: signature, issuer, audience, time and revocation.
    /// [`authenticate`](Self::authenticate) can ask the database too.
    ///
    /// # Errors
    /// `token_invalid`, `token_expired`, `token_revoked`; `unavailable` when it is not known what was revoked lately.
    pub fn verify(&self, token: &str) -> Result<AccessToken, Error> {
        let known = self.known();
        let checked = self.check(token).map_err(refused)?;
        if self.is_recent(known) {
            Ok(checked)
        } else {
            Err(unknown())
        }
    }

    fn check(&self, token: &str) -> Result<AccessToken, Rejection> {
        let now = u64::try_from(self.0.clock.now().as_second()).unwrap_or(0);
        self.0.verifier.verify_at(token, now).map(AccessToken)
    }

    /// Checks an access token as every door of the house does: by what this node knows, which costs no more than a
    /// look-up; and by the database where that is too old, or where another node may have begun to sign with a new key.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub async fn authenticate(&self, token: &str) -> Result<AccessToken, Error> {
        let known = self.known();
        let checked = match self.check(token) {
            Err(Rejection::UnknownKey { .. }) => {
                self.look_for_new_keys().await?;
                self.check(token)
            }
            checked => checked,
        }
        .map_err(refused)?;
        if self.is_recent(known) {
            return Ok(checked);
        }
        self.become_recent().await?;
        self.check(token).map_err(refused)
    }

    async fn current_user(&self, token: AccessToken) -> Result<CurrentUser, Error> {
        let id = match self.0.hooks.payload {
            None => token.user_id()?,
            // An application's own payload may name users by what can pass to somebody else; a session cannot.
            Some(_) => {
                let session = self.session(token.session_id()?).await?;
                session.ok_or_else(|| invalid("its session is gone"))?.user_id
            }
        };
        let user = self.user(id).await?.ok_or_else(|| invalid("its user is gone"))?;
        if !user.is_active {
            return Err(Error::new(
                Code::TokenRevoked,
                "the account of this access token is disabled",
            ));
        }
        Ok(CurrentUser {
            user,
            pass: Pass::Token(token),
        })
    }

    /// The user whose browser sends the request, if it is signed in.
    async fn browsing_user(&self, parts: &Parts) -> Result<Option<CurrentUser>, Error> {
        let Some((user, session)) = self.browser_session(&parts.headers).await? else {
            return Ok(None);
        };
        self.refuse_foreign(&parts.method, &parts.headers, &session)?;
        let form_token = self.0.browser.form_token(Bound::Session(session.id)).into();
        Ok(Some(CurrentUser {
            user,
            pass: Pass::Browser {
                session: Box::new(session),
                form_token,
            },
        }))
    }
}

fn refused(rejection: Rejection) -> Error {
    match rejection {
        Rejection::Expired => Error::new(Code::TokenExpired, "the access token has expired"),
        Rejection::Revoked => Error::new(Code::TokenRevoked, "the session of this access token is over"),
        other => invalid(&other.to_string()),
    }
}

fn invalid(why: &str) -> Error {
    Error::new(
        Code::TokenInvalid,
        format!("the access token is not valid: {why}"),
    )
}

/// The token in the one `Authorization: Bearer` header (RFC 6750 §2.1), the only place it is taken from.
fn bearer(parts: &Parts) -> Result<Option<&str>, Error> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("there is more than one Authorization header"));
    }
    let text = value
        .to_str()
        .map_err(|_| invalid("the Authorization header is no text"))?;
    match text.split_once(' ').unwrap_or((text, "")) {
        // RFC 6750 §3.1: another scheme is told which one would do, and nothing of an error.
        (scheme, _) if !scheme.eq_ignore_ascii_case("bearer") => Err(missing()),
        (_, token) if token.trim().is_empty() => Err(invalid("nothing follows `Bearer`")),
        (_, token) => Ok(Some(token.trim())),
    }
}

fn missing() -> Error {
    Error::new(
        Code::TokenMissing,
        "send the access token as `Authorization: Bearer …`",
    )
}

impl<S> FromRequestParts<S> for AccessToken
where
    Tokenhouse: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Tokenhouse::from_ref(state)
            .authenticate(bearer(parts)?.ok_or_else(missing)?)
            .await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BearerToken {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        bearer(parts)?.map(Secret::from).map(Self).ok_or_else(missing)
    }
}

impl<S> OptionalFromRequestParts<S> for AccessToken
where
    Tokenhouse: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match bearer(parts)? {
            Some(token) => Tokenhouse::from_ref(state).authenticate(token).await.map(Some),
            None => Ok(None),
        }
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Tokenhouse: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let house = Tokenhouse::from_ref(state);
        match bearer(parts)? {
            Some(token) => {
                let token = house.authenticate(token).await?;
                house.current_user(token).await
            }
            None => house.browsing_user(parts).await?.ok_or_else(missing),
        }
    }
}

impl<S> FromRequestParts<S> for MaybeUser
where
    Tokenhouse: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        if bearer(parts)?.is_none() {
            return Tokenhouse::from_ref(state).browsing_user(parts).await.map(Self);
        }
        CurrentUser::from_request_parts(parts, state)
            .await
            .map(|user| Self(Some(user)))
    }
}
