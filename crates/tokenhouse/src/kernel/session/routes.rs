//! The door of sessions: refresh, log out, see and end the devices logged in.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AccessToken, CurrentUser, Session};
use crate::base::error::{Code, Error};
use crate::base::http::{Body, Origin, Problem};
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;

/// Behind the address limit.
pub(crate) fn limited_routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(logout_all))
}

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(end))
}

/// A refresh token, as JSON or as a form.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct RefreshBody {
    /// The refresh token of the last token answer.
    #[schema(example = "thr_…")]
    refresh_token: String,
}

/// Get new tokens
///
/// Uses the refresh token up and answers with the next one. The token before the current one is answered with
/// the same successor again for 30 seconds, since an answer may have been lost or two tabs may have raced;
/// anything older ends the session, because somebody holds a copy.
#[utoipa::path(
    post, path = "/auth/refresh", operation_id = "refresh", tag = "Sessions",
    request_body(content((RefreshBody = "application/json"), (RefreshBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "New tokens", body = TokenAnswer),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`refresh_invalid`, `refresh_expired` or `refresh_reused`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn refresh(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let token = body.take_secret("refresh_token");
    // OAuth clients send it (RFC 6749 §6).
    let _ = body.take_optional("grant_type");
    body.finish()?;
    let (_, tokens) = house.refresh(&token.unwrap_or_default(), &origin).await?;
    Ok(TokenAnswer::respond(StatusCode::OK, &tokens, None))
}

/// Log out
///
/// Ends the session of the access token, or of the refresh token in the body. Its access tokens are refused at
/// once. By a refresh token, ending a session that is over already is no error.
#[utoipa::path(
    post, path = "/auth/logout", operation_id = "log_out", tag = "Sessions",
    request_body(content = Option<RefreshBody>, description = "Where no access token is sent"),
    security((), ("password" = [])),
    responses(
        (status = 204, description = "The session is over"),
        (status = 401, description = "`token_missing`, `token_invalid`, … or `refresh_invalid`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn logout(
    State(house): State<Tokenhouse>,
    origin: Origin,
    bearer: Result<Option<AccessToken>, Error>,
    body: Option<Body>,
) -> Result<StatusCode, Error> {
    let refresh_token = body.map(read_refresh_token).transpose()?.flatten();
    match (bearer, refresh_token) {
        // Whoever is logged in by the access token is logged out, whatever comes along with it.
        (Ok(Some(bearer)), refresh_token) => {
            house.log_out(&bearer, &origin).await?;
            if let Some(token) = refresh_token {
                match house.end_session_of(&token, &origin).await {
                    Err(error) if error.code() != Code::RefreshInvalid => return Err(error),
                    _ => {}
                }
            }
        }
        (_, Some(token)) => house.end_session_of(&token, &origin).await?,
        (Err(error), None) => return Err(error),
        (Ok(None), None) => {
            return Err(Error::new(
                Code::TokenMissing,
                "send the access token as a bearer, or the refresh token in the body",
            ));
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn read_refresh_token(Body(mut body): Body) -> Result<Option<Secret>, Error> {
    let token = body.take_optional("refresh_token").map(Secret::from);
    body.finish()?;
    Ok(token)
}

/// Log out everywhere
///
/// Ends every session of the user, this one too.
#[utoipa::path(
    post, path = "/auth/logout/all", operation_id = "log_out_everywhere", tag = "Sessions", security(("password" = [])),
    responses(
        (status = 204, description = "Every session is over"),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn logout_all(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
) -> Result<StatusCode, Error> {
    house.end_all_sessions(user.id, None, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A device that is logged in.
#[derive(Serialize, utoipa::ToSchema)]
struct Device {
    /// The session's id, for ending it.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// Whether this request came with a token of it.
    current: bool,
    /// How the user logged in.
    #[schema(example = "password")]
    method: String,
    /// Where from.
    address: Option<String>,
    /// With what.
    user_agent: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last refreshed.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it is over at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl Device {
    fn of(session: Session, current: SessionId) -> Self {
        Self {
            current: session.id == current,
            id: session.id,
            method: session.method,
            address: session.address,
            user_agent: session.user_agent,
            created_at: session.created_at,
            last_used_at: session.rotated_at,
            expires_at: session.expires_at,
        }
    }
}

/// The devices logged in
///
/// The last used first.
#[utoipa::path(
    get, path = "/users/me/sessions", operation_id = "list_sessions", tag = "Sessions", security(("password" = [])),
    responses(
        (status = 200, description = "The sessions that are not over", body = Vec<Device>),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    let current = user.session_id()?;
    let devices: Vec<_> = house
        .sessions(user.id)
        .await?
        .into_iter()
        .map(|session| Device::of(session, current))
        .collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(devices)).into_response())
}

/// Log a device out
#[utoipa::path(
    delete, path = "/users/me/sessions/{id}", operation_id = "end_session", tag = "Sessions", security(("password" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
        (status = 204, description = "The session is over"),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no session of yours, or it is over already", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn end(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Error> {
    let nothing = || Error::new(Code::NotFound, "you have no such session");
    let Path(id) = id.map_err(|_| nothing())?;
    let id: SessionId = id.parse().map_err(|_| nothing())?;
    if house.end_session(user.id, id, &origin).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(nothing())
    }
}
