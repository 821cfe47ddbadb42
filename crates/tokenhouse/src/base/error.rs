//! What goes wrong, in two voices: `detail` for the caller, `source` for the log.
//!
//! [`Code`] is the list of everything an answer can say no with; `docs/errors.md` has a heading for each.
//! [`Error`] carries one code, and becomes a problem document (RFC 9457) in one place,
//! [`base::http::problem`](crate::base::http::problem).

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::entropy::EntropyError;
use super::store::StoreError;

/// What went wrong, as a stable word that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The body is not what its content type says: no JSON, no UTF-8, a member twice.
    MalformedBody,
    /// The route needs an access token, and none came.
    TokenMissing,
    /// The access token was not made by this house for this audience, or was changed.
    TokenInvalid,
    /// The access token has expired: refresh.
    TokenExpired,
    /// The session of the access token was ended, or its account disabled: log in again.
    TokenRevoked,
    /// The name or the password is not right; which of them is not told.
    InvalidCredentials,
    /// The first factor was right, a second is due: go on with `mfa_token` at `POST /auth/mfa`.
    MfaRequired,
    /// The second factor is not right; try again, as long as the `mfa_token` lives.
    MfaInvalid,
    /// The second step took too long, was tried too often or overtaken: log in again.
    MfaExpired,
    /// The passkey is not known here, or what it said is not right.
    PasskeyInvalid,
    /// The session is good, but for this the user must have proven who they are a moment ago (RFC 9470).
    FreshProofRequired,
    /// The refresh token is not one of ours, or its session was ended: log in again.
    RefreshInvalid,
    /// The session was not used for too long, or is too old: log in again.
    RefreshExpired,
    /// The refresh token had been used before; somebody holds a copy, so the session was ended.
    RefreshReused,
    /// A link or code from a mail was used, is too old, or was never sent.
    TicketInvalid,
    /// The access token lacks the scope that `WWW-Authenticate` names.
    InsufficientScope,
    /// A hundred codes in a row were wrong, so none is looked at: use a recovery code or a passkey, or ask the operator.
    MfaBlocked,
    /// The account is known, but may not do that.
    Forbidden,
    /// Another site made a browser send it, or a form is older than the login.
    CrossSiteRequest,
    /// The password was right, but the account may not be used.
    AccountDisabled,
    /// Accounts are opened by the operator only.
    SignupClosed,
    /// The house sends no mail, which this would need.
    MailDisabled,
    /// The address has not been verified yet: the mail that was sent to it says how.
    EmailUnverified,
    /// There is no such path, or no such thing of yours.
    NotFound,
    /// The path is there, for the methods in the `Allow` header.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is longer than `http.body_limit`.
    BodyTooLarge,
    /// A header is longer than is taken.
    HeaderTooLarge,
    /// The content type is not understood here.
    UnsupportedMediaType,
    /// An account with this e-mail address exists.
    EmailTaken,
    /// An account with this username exists.
    UsernameTaken,
    /// Without this the user could not log in any more.
    LastWayIn,
    /// The account must keep a second factor.
    SecondFactorRequired,
    /// The account was changed at the same moment: look again, then try again.
    Conflict,
    /// The body was understood, but the fields in `errors` cannot be accepted.
    InvalidFields,
    /// Too many requests from one address: wait for `Retry-After`.
    RateLimited,
    /// Too many wrong passwords for one account: wait for `Retry-After`.
    AccountLocked,
    /// Too many passwords are waiting to be hashed: wait for `Retry-After`.
    Overloaded,
    /// The database cannot be reached: wait for `Retry-After`.
    Unavailable,
    /// A mistake of ours; the log has it under the `request_id`.
    Internal,
}

impl Code {
    /// Every code there is, in the order of their statuses.
    pub const ALL: &'static [Self] = &[
        Self::MalformedBody,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::InvalidCredentials,
        Self::MfaRequired,
        Self::MfaInvalid,
        Self::MfaExpired,
        Self::PasskeyInvalid,
        Self::FreshProofRequired,
        Self::RefreshInvalid,
        Self::RefreshExpired,
        Self::RefreshReused,
        Self::TicketInvalid,
        Self::InsufficientScope,
        Self::MfaBlocked,
        Self::Forbidden,
        Self::CrossSiteRequest,
        Self::AccountDisabled,
        Self::SignupClosed,
        Self::MailDisabled,
        Self::EmailUnverified,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::HeaderTooLarge,
        Self::UnsupportedMediaType,
        Self::EmailTaken,
        Self::UsernameTaken,
        Self::LastWayIn,
        Self::SecondFactorRequired,
        Self::Conflict,
        Self::InvalidFields,
        Self::RateLimited,
        Self::AccountLocked,
        Self::Overloaded,
        Self::Unavailable,
        Self::Internal,
    ];

    const fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedBody => (
                400,
                "malformed_body",
                "The body is not what its content type says",
            ),
            Self::TokenMissing => (401, "token_missing", "An access token is needed"),
            Self::TokenInvalid => (401, "token_invalid", "The access token is not valid"),
            Self::TokenExpired => (401, "token_expired", "The access token has expired"),
            Self::TokenRevoked => (401, "token_revoked", "The session of this token is over"),
            Self::InvalidCredentials => (401, "invalid_credentials", "The credentials are not right"),
            Self::MfaRequired => (401, "mfa_required", "A second factor is due"),
            Self::MfaInvalid => (401, "mfa_invalid", "The second factor is not right"),
            Self::MfaExpired => (401, "mfa_expired", "The second step is over"),
            Self::PasskeyInvalid => (401, "passkey_invalid", "The passkey is not right"),
            Self::FreshProofRequired => (401, "fresh_proof_required", "Prove again who you are"),
            Self::RefreshInvalid => (401, "refresh_invalid", "The refresh token is not valid"),
            Self::RefreshExpired => (401, "refresh_expired", "The session has expired"),
            Self::RefreshReused => (401, "refresh_reused", "The refresh token had been used before"),
            Self::TicketInvalid => (401, "ticket_invalid", "The link or code is not valid"),
            Self::InsufficientScope => (403, "insufficient_scope", "The token lacks a scope"),
            Self::MfaBlocked => (403, "mfa_blocked", "Codes are no longer looked at"),
            Self::Forbidden => (403, "forbidden", "This account may not do that"),
            Self::CrossSiteRequest => (403, "cross_site_request", "The request came from another site"),
            Self::AccountDisabled => (403, "account_disabled", "The account is disabled"),
            Self::SignupClosed => (403, "signup_closed", "Sign-up is closed"),
            Self::MailDisabled => (403, "mail_disabled", "This house sends no mail"),
            Self::EmailUnverified => (403, "email_unverified", "The e-mail address is not verified"),
            Self::NotFound => (404, "not_found", "There is no such thing here"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "The method is not allowed here"),
            Self::RequestTimeout => (408, "request_timeout", "The request took too long to arrive"),
            Self::BodyTooLarge => (413, "body_too_large", "The body is too large"),
            Self::HeaderTooLarge => (431, "header_too_large", "A header is too large"),
            Self::UnsupportedMediaType => (
                415,
                "unsupported_media_type",
                "The content type is not understood here",
            ),
            Self::EmailTaken => (409, "email_taken", "The e-mail address is taken"),
            Self::UsernameTaken => (409, "username_taken", "The username is taken"),
            Self::LastWayIn => (409, "last_way_in", "It is the last way in"),
            Self::SecondFactorRequired => (409, "second_factor_required", "A second factor is required"),
            Self::Conflict => (409, "conflict", "The account was changed at the same moment"),
            Self::InvalidFields => (422, "invalid_fields", "Some fields are not acceptable"),
            Self::RateLimited => (429, "rate_limited", "Too many requests"),
            Self::AccountLocked => (429, "account_locked", "Too many wrong passwords"),
            Self::Overloaded => (503, "overloaded", "Too busy at the moment"),
            Self::Unavailable => (503, "unavailable", "Not available at the moment"),
            Self::Internal => (500, "internal", "Something went wrong here"),
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.facts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable word, as in `code` of a problem document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().1
    }

    /// What it means, the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// One field of the body that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where in the body, as a JSON Pointer (RFC 6901): `/email`.
    #[schema(example = "/password")]
    pub pointer: String,
    /// What is wrong, as a stable word: `password_too_short`.
    #[schema(example = "password_too_short")]
    pub code: Cow<'static, str>,
    /// The same for a person.
    #[schema(example = "at least 8 characters are needed")]
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// A fault of the top-level field `name`.
    #[must_use]
    pub fn new(name: &str, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            code: code.into(),
            detail: detail.into(),
        }
    }
}

/// Members of a problem document that only its kind has, by name. One may be a token, so `Debug` shows the names only.
#[derive(Clone, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Members(serde_json::Map<String, serde_json::Value>);

impl Members {
    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.0.get(name)
    }
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why an operation did not do what it was asked.
///
/// Its `Display` is what the caller may read; the cause behind it (a broken database, say) is its
/// [`source`](std::error::Error::source) and belongs in the log only.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    scope: Option<Cow<'static, str>>,
    members: Members,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this code, saying `detail` to the caller.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            scope: None,
            members: Members::default(),
            source: None,
        }))
    }

    /// The body was understood, but these fields cannot be accepted.
    #[must_use]
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let detail = fields
            .iter()
            .map(|field| format!("{}: {}", field.pointer.trim_start_matches('/'), field.detail))
            .collect::<Vec<_>>()
            .join("; ");
        let mut error = Self::new(Code::InvalidFields, detail);
        error.0.fields = fields;
        error
    }

    /// What the caller did is fine, the house is not: `source` goes to the log, the caller learns nothing of it.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "the request could not be carried out; the operator's log says why",
        )
        .caused_by(source)
    }

    /// The caller may come again after this long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The scope that would have been enough (RFC 6750 §3).
    #[must_use]
    pub fn needs_scope(mut self, scope: impl Into<Cow<'static, str>>) -> Self {
        self.0.scope = Some(scope.into());
        self
    }

    /// Further members of the problem document (RFC 9457 §3.2), which programs may need to go on.
    #[must_use]
    pub(crate) fn with_members(mut self, members: serde_json::Map<String, serde_json::Value>) -> Self {
        self.0.members = Members(members);
        self
    }

    /// What the log should know of it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Its stable word.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the caller may read.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields at fault, where the code is [`Code::InvalidFields`].
    #[must_use]
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// When to come again.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Further members of the problem document.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.0.members
    }

    /// The scope that would have been enough.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            Self::new(
                Code::Unavailable,
                "the database cannot be reached; try again shortly",
            )
            .retry_after(Duration::from_secs(1))
            .caused_by(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<EntropyError> for Error {
    fn from(error: EntropyError) -> Self {
        Self::internal(error)
    }
}
