//! The door of the second step, and of proving again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::second::Shown;
use crate::base::error::{Error, FieldError};
use crate::base::http::{Body, Fields, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(second))
        .routes(routes!(again))
        .routes(routes!(factors))
}

/// The second factor: one of `code` and `recovery_code`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct SecondBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
    /// What the authenticator app shows, or what came by mail.
    #[schema(example = "123456")]
    code: Option<String>,
    /// One of the recovery codes; it works once.
    #[schema(example = "ABCD-EFGH-IJKL-MNOP")]
    recovery_code: Option<String>,
}

/// Take the second step of a login
///
/// After `mfa_required`. A wrong code may be followed by another, a few times, as long as the `mfa_token` lives.
#[utoipa::path(
    post, path = "/auth/mfa", operation_id = "take_second_step", tag = "Sessions", request_body = SecondBody,
    responses(
        (status = 200, description = "The tokens and the user", body = TokenAnswer),
        (status = 401, description = "`mfa_invalid`: not right, or used before; `mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`account_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited` or `account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn second(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let token = body.take_secret("mfa_token").unwrap_or_default();
    let shown = take_shown(&mut body);
    body.finish()?;
    let login = house.log_in_with_second_factor(&token, &shown, &origin).await?;
    Ok(TokenAnswer::respond(
        StatusCode::OK,
        &login.tokens,
        Some(login.user),
    ))
}

/// Who is logged in shows it again: one of `code` and `recovery_code`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct AgainBody {
    /// What the authenticator app shows, or what came by mail.
    #[schema(example = "123456")]
    code: Option<String>,
    /// One of the recovery codes; it works once.
    recovery_code: Option<String>,
}

/// Prove again who you are, with a second factor
///
/// After `fresh_proof_required`; then repeat what was refused. An account without a second factor proves itself at
/// `/auth/reauthenticate/password`.
#[utoipa::path(
    post, path = "/auth/reauthenticate", operation_id = "prove_again", tag = "Sessions", request_body = AgainBody, security(("password" = [])),
    responses(
        (status = 204, description = "The session counts as freshly proven"),
        (status = 401, description = "`mfa_invalid`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited` or `account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn again(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let shown = take_shown(&mut body);
    body.finish()?;
    house
        .prove_again(&user, user.session_id()?, &shown, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn take_shown(body: &mut Fields) -> Shown {
    let code = body.take_optional("code").map(Secret::from);
    let recovery_code = body.take_optional("recovery_code").map(Secret::from);
    match (code, recovery_code) {
        (Some(code), None) => Shown::Code(code),
        (None, Some(code)) => Shown::RecoveryCode(code),
        (None, None) => {
            body.fault(FieldError::new(
                "code",
                "missing",
                "one of code and recovery_code is required",
            ));
            Shown::Code(Secret::default())
        }
        (Some(_), Some(_)) => {
            body.fault(FieldError::new(
                "code",
                "ambiguous",
                "give only one of code and recovery_code",
            ));
            Shown::Code(Secret::default())
        }
    }
}

/// What an account has beside its first factor.
#[derive(Serialize, utoipa::ToSchema)]
struct FactorsAnswer {
    /// What can be shown in a second step: `totp`, `passkey`, and `email_code` where it may stand in.
    factors: Vec<&'static str>,
    /// Whether whoever runs the service wants this account to have one.
    required: bool,
    /// Recovery codes that have not been used.
    recovery_codes_left: i64,
}

/// My second factors
#[utoipa::path(
    get, path = "/users/me/factors", operation_id = "list_factors", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 200, description = "What the account has", body = FactorsAnswer),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn factors(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    let answer = FactorsAnswer {
        factors: house.second_factors_of(&user).await?,
        required: house.must_have_second_factor(&user),
        recovery_codes_left: house.recovery_codes_left(user.id).await?,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
