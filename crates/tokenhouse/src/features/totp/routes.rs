//! The door of authenticator apps.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::TotpEnrolment;
use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;
use crate::kernel::recovery::routes::exposed;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(begin, remove))
        .routes(routes!(confirm))
        .routes(routes!(begin_at_login))
        .routes(routes!(confirm_at_login))
}

/// What an authenticator app is to be given.
#[derive(Serialize, utoipa::ToSchema)]
struct EnrolmentAnswer {
    /// The secret in base32, for typing.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// The same for an app on the same device.
    #[schema(
        example = "otpauth://totp/example.org:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=example.org&algorithm=SHA1&digits=6&period=30"
    )]
    otpauth_uri: String,
    /// The same as a picture, in SVG.
    qr_svg: String,
}

impl EnrolmentAnswer {
    fn respond(enrolment: &TotpEnrolment) -> Response {
        let answer = Self {
            secret: enrolment.secret.expose().to_owned(),
            otpauth_uri: enrolment.uri.expose().to_owned(),
            qr_svg: enrolment.qr_code.expose().to_owned(),
        };
        ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
    }
}

/// What came of setting it up.
#[derive(Serialize, utoipa::ToSchema)]
struct ConfirmedAnswer {
    /// Shown this once; empty where the account has codes from before.
    #[schema(example = json!(["ABCD-EFGH-IJKL-MNOP"]))]
    recovery_codes: Vec<String>,
}

/// A code of the app.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct CodeBody {
    /// What the app shows.
    #[schema(example = "123456")]
    code: String,
}

/// Begin to set up an authenticator app
///
/// Nothing changes until a code is confirmed. Needs a fresh proof.
#[utoipa::path(
    post, path = "/users/me/totp", operation_id = "begin_totp", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 200, description = "What the app is to be given", body = EnrolmentAnswer),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    let enrolment = house.begin_totp(&user, user.session_id()?).await?;
    Ok(EnrolmentAnswer::respond(&enrolment))
}

/// Begin to use the authenticator app
///
/// With the first second factor every other session is over, and recovery codes are shown. Needs a fresh proof.
#[utoipa::path(
    post, path = "/users/me/totp/confirm", operation_id = "confirm_totp", tag = "Second factors", request_body = CodeBody, security(("password" = [])),
    responses(
        (status = 200, description = "Logging in now takes a code too", body = ConfirmedAnswer),
        (status = 401, description = "`mfa_invalid`: not the code of the app; `fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing was begun", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn confirm(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let code = body.take_secret("code").unwrap_or_default();
    body.finish()?;
    let codes = house
        .confirm_totp(&user, user.session_id()?, &code, &origin)
        .await?;
    let answer = ConfirmedAnswer {
        recovery_codes: exposed(&codes),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Stop using the authenticator app
///
/// Needs a fresh proof.
#[utoipa::path(
    delete, path = "/users/me/totp", operation_id = "remove_totp", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 204, description = "Its codes work no more"),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`second_factor_required`: the account must keep one; `conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
) -> Result<StatusCode, Error> {
    house.remove_totp(&user, user.session_id()?, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A login that waits for a second factor to be set up.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct AtLoginBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
}

/// The same with a code of the app.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ConfirmAtLoginBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
    /// What the app shows.
    #[schema(example = "123456")]
    code: String,
}

/// Begin to set up an authenticator app during a login
///
/// After `mfa_required` with `set_up`: the account must have a second factor, and has none.
#[utoipa::path(
    post, path = "/auth/mfa/totp", operation_id = "begin_totp_at_login", tag = "Second factors", request_body = AtLoginBody,
    responses(
        (status = 200, description = "What the app is to be given", body = EnrolmentAnswer),
        (status = 401, description = "`mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there is a second factor, which must be shown; `account_disabled`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin_at_login(State(house): State<Tokenhouse>, Body(mut body): Body) -> Result<Response, Error> {
    let token = body.take_secret("mfa_token").unwrap_or_default();
    body.finish()?;
    Ok(EnrolmentAnswer::respond(
        &house.begin_totp_at_login(&token).await?,
    ))
}

/// Begin to use the authenticator app, and be logged in
#[utoipa::path(
    post, path = "/auth/mfa/totp/confirm", operation_id = "confirm_totp_at_login", tag = "Second factors", request_body = ConfirmAtLoginBody,
    responses(
        (status = 200, description = "The tokens, the user, and `recovery_codes`, shown this once", body = TokenAnswer),
        (status = 401, description = "`mfa_invalid`: not the code of the app; `mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there is a second factor, which must be shown; `account_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing was begun", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn confirm_at_login(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let token: Secret = body.take_secret("mfa_token").unwrap_or_default();
    let code = body.take_secret("code").unwrap_or_default();
    body.finish()?;
    let (login, codes) = house.confirm_totp_at_login(&token, &code, &origin).await?;
    Ok(TokenAnswer::with_recovery_codes(login, exposed(&codes)))
}
