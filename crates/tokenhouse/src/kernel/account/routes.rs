//! The door of accounts: a user's own.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{User, UserChange};
use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(me, change))
}

/// Those at which a password can be tried.
pub(crate) fn limited_routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(delete))
}

/// Who am I
#[utoipa::path(
    get, path = "/users/me", operation_id = "read_me", tag = "Account", security(("password" = [])),
    responses(
        (status = 200, description = "The user whose token was sent", body = User),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn me(user: CurrentUser) -> Response {
    answer(&user)
}

/// What may be changed; what is not named stays.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ChangeBody {
    /// A new username.
    #[schema(min_length = 3, max_length = 32, example = "ada")]
    username: Option<String>,
    /// A new profile; it takes the place of the whole old one.
    #[schema(value_type = Option<Object>)]
    profile: Option<()>,
}

/// Change my account
///
/// Another username needs a fresh proof.
#[utoipa::path(
    patch, path = "/users/me", operation_id = "change_me", tag = "Account", security(("password" = [])),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "The user as it is now", body = User),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`username_taken`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let mut change = UserChange::default();
    if let Some(text) = body.take_optional("username") {
        match house.check_username(&text) {
            Ok(username) => change.username = Some(username),
            Err(fault) => body.fault(fault),
        }
    }
    change.profile = body.take_object("profile");
    body.finish()?;
    let changed = house
        .update_own(&user, user.session_id()?, change, &origin)
        .await?;
    Ok(answer(&changed))
}

/// What confirms it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct DeleteBody {
    /// The password that is valid now; not needed where the account has a second factor, or no password.
    #[schema(format = "password")]
    password: Option<String>,
}

/// Delete my account
///
/// With everything that is only its own; every session is over. The password confirms it; for an account with a second
/// factor, or without a password, a fresh proof does. A mail tells of it.
#[utoipa::path(
    delete, path = "/users/me", operation_id = "delete_me", tag = "Account", request_body = Option<DeleteBody>, security(("password" = [])),
    responses(
        (status = 204, description = "The account is gone"),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`invalid_credentials`; `fresh_proof_required` where the account has a second factor or no password; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn delete(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let password = body.take_optional("password").map(Secret::from);
    body.finish()?;
    house
        .delete_own_account(&user, user.session_id()?, password, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(user: &User) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(user)).into_response()
}
