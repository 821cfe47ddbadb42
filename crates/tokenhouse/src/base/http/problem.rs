//! The one place where an [`Error`] becomes an HTTP answer: a problem document (RFC 9457), with
//! `WWW-Authenticate` (RFC 6750 §3) where a token was the trouble and `Retry-After` where waiting helps.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::base::error::{Code, Error, FieldError, Members};

/// Where the codes are documented.
const DOCUMENTATION: &str = "https://docs.rs/tokenhouse/latest/tokenhouse/enum.Code.html#variant.";

/// An error as the caller sees it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A URI for the kind of problem: where its code is documented.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, the same every time.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What it is about this time; always a string.
    pub detail: String,
    /// The stable word that programs may rely on.
    pub code: &'static str,
    /// The fields at fault, where the code is `invalid_fields`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// What only this kind of problem has, such as `mfa_token`.
    #[serde(flatten)]
    #[schema(ignore)]
    pub members: Members,
    /// The request this answers, as in the `X-Request-Id` header and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The challenge for `WWW-Authenticate`.
    #[serde(skip)]
    pub challenge: Option<String>,
}

impl Problem {
    /// How `error` looks from outside.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let code = error.code();
        Self {
            kind: format!("{DOCUMENTATION}{code:?}"),
            title: code.title(),
            status: code.status().as_u16(),
            detail: error.detail().to_owned(),
            code: code.as_str(),
            errors: error.fields().to_vec(),
            retry_after: error
                .wait()
                .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            members: error.members().clone(),
            request_id: super::observe::request_id(),
            challenge: challenge(error),
        }
    }

    /// The errors of FastAPI and of many others, for [`problems`](crate::Builder::problems): a status, a body of
    /// `{"detail": …}` alone, and on a 401 the bare challenge.
    ///
    /// ```
    /// # use tokenhouse::{Problem, Tokenhouse};
    /// let builder = Tokenhouse::builder().problems(|problem| match problem.code {
    ///     "email_taken" => Problem::only_detail(400, "The user with this email already exists"),
    ///     _ => Problem::only_detail(problem.status, &problem.detail),
    /// });
    /// ```
    #[must_use]
    pub fn only_detail(status: u16, detail: &str) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(serde_json::json!({ "detail": detail }));
        let mut response = (status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// The headers that go with it, whatever its body looks like.
    pub fn complete(&self, response: &mut Response) {
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self
            .challenge
            .as_deref()
            .and_then(|text| HeaderValue::from_str(text).ok())
        {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
    }
}

/// RFC 6750 §3: the scheme on every 401; the `error` attribute only when a token came and was at fault.
fn challenge(error: &Error) -> Option<String> {
    let attribute = match error.code() {
        Code::TokenInvalid | Code::TokenExpired | Code::TokenRevoked => "invalid_token",
        Code::InsufficientScope => "insufficient_scope",
        // RFC 9470 §3.
        Code::FreshProofRequired => "insufficient_user_authentication",
        code if code.status() == StatusCode::UNAUTHORIZED => {
            return Some("Bearer realm=\"tokenhouse\"".to_owned());
        }
        _ => return None,
    };
    let mut text = format!(
        "Bearer realm=\"tokenhouse\", error=\"{attribute}\", error_description=\"{}\"",
        error.detail().replace(['"', '\\'], "'")
    );
    if let Some(scope) = error.scope() {
        text.push_str(&format!(", scope=\"{}\"", scope.replace(['"', '\\'], "")));
    }
    if let Some(seconds) = error.members().get("max_age") {
        text.push_str(&format!(", max_age=\"{seconds}\""));
    }
    Some(text)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Json(&self).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.complete(&mut response);
        // The middleware finds it here, to let the application shape it.
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self.code() {
            Code::Internal => {
                let request_id = super::observe::request_id();
                tracing::error!(request_id, cause = %Causes(&self), "a request could not be carried out");
            }
            Code::Unavailable => {
                let request_id = super::observe::request_id();
                tracing::warn!(request_id, cause = %Causes(&self), "the database could not be reached");
            }
            _ => {}
        }
        Problem::of(&self).into_response()
    }
}

/// An error's causes, from the outermost in.
struct Causes<'a>(&'a Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut next = std::error::Error::source(self.0);
        let mut first = true;
        while let Some(cause) = next {
            write!(f, "{}{cause}", if first { "" } else { ": " })?;
            first = false;
            next = cause.source();
        }
        Ok(())
    }
}
