//! The door of codes by mail.

use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::AskedAnswer;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(ask))
        .routes(routes!(ask_again))
}

/// A login that has come half way.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct MailSecondStepBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
}

/// Send me a code for the second step
///
/// Where `factors` of `mfa_required` has `email_code`. The code is then sent to `/auth/mfa`.
#[utoipa::path(
    post, path = "/auth/mfa/email", operation_id = "mail_second_step", tag = "Second factors", request_body = MailSecondStepBody,
    responses(
        (status = 202, description = "A mail is on its way to the account's address", body = AskedAnswer),
        (status = 401, description = "`mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: a code by mail does not do here; `mail_disabled`; `account_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let token = body.take_secret("mfa_token").unwrap_or_default();
    body.finish()?;
    house.mail_second_step(&token, &origin).await?;
    Ok(AskedAnswer::respond())
}

/// Send me a code to prove again who I am
///
/// Where the settings let codes by mail stand in. The code is then sent to `/auth/reauthenticate`.
#[utoipa::path(
    post, path = "/auth/reauthenticate/email", operation_id = "mail_proof", tag = "Sessions", security(("password" = [])),
    responses(
        (status = 202, description = "A mail is on its way to the account's address", body = AskedAnswer),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: a code by mail does not do here; `mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask_again(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
) -> Result<Response, Error> {
    house.mail_proof(&user, &origin).await?;
    Ok(AskedAnswer::respond())
}
