//! The answers that several doors give.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, PRAGMA};
use serde::Serialize;

use super::account::User;
use super::login::LoggedIn;
use super::token::TokenSet;

/// The token answer of RFC 6749 §5.1, with the user where one has just logged in.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TokenAnswer {
    /// A JWT for the `Authorization: Bearer` header.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds the access token lives.
    #[schema(example = 900)]
    expires_in: u64,
    /// Good for one `POST /auth/refresh`.
    refresh_token: String,
    /// What the tokens may be used for, separated by spaces.
    scope: String,
    /// Who logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    /// Where a second factor was set up during the login: shown this once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery_codes: Vec<String>,
}

impl TokenAnswer {
    /// As an HTTP answer, which nobody may keep.
    #[must_use]
    pub fn respond(status: StatusCode, tokens: &TokenSet, user: Option<User>) -> Response {
        Self::whole(status, tokens, user, Vec::new())
    }

    /// The same for a login during which recovery codes were made.
    pub(crate) fn with_recovery_codes(login: LoggedIn, recovery_codes: Vec<String>) -> Response {
        Self::whole(StatusCode::OK, &login.tokens, Some(login.user), recovery_codes)
    }

    fn whole(
        status: StatusCode,
        tokens: &TokenSet,
        user: Option<User>,
        recovery_codes: Vec<String>,
    ) -> Response {
        let answer = Self {
            access_token: tokens.access_token.expose().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token.expose().to_owned(),
            scope: tokens.scope.clone(),
            user,
            recovery_codes,
        };
        (
            status,
            [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")],
            Json(answer),
        )
            .into_response()
    }
}
