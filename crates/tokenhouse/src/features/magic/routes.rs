//! The door of logging in by mail.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::{AskedAnswer, FromMail};
use crate::kernel::session::{CurrentUser, MaybeUser};

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(ask))
        .routes(routes!(log_in))
        .routes(routes!(ask_again))
        .routes(routes!(again))
}

/// Who wants to log in.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct MagicRequestBody {
    /// The e-mail address of the account.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
}

/// Ask for a mail to log in
///
/// With a link and a code, if an account has the address. The answer, the time it takes and the work behind it are the
/// same if none has. To an address that was never verified goes a mail that says what its link does there.
#[utoipa::path(
    post, path = "/auth/magic/request", operation_id = "ask_to_log_in", tag = "Sessions", request_body = MagicRequestBody,
    responses(
        (status = 202, description = "A mail is on its way, if there is such an account", body = AskedAnswer),
        (status = 403, description = "`mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let email = body.take("email").unwrap_or_default();
    body.finish()?;
    house.ask_to_log_in(&email, &origin).await?;
    Ok(AskedAnswer::respond())
}

/// What was in the mail.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct MagicBody {
    /// What the link holds.
    token: Option<String>,
    /// In its place: the address that the mail went to, and
    #[schema(example = "ada@example.org")]
    email: Option<String>,
    /// the code in it.
    #[schema(example = "1234 5678")]
    code: Option<String>,
    /// Scopes asked for, separated by spaces.
    scope: Option<String>,
}

/// Log in with a link or code
///
/// Where the address was never verified, it is now, and password, second factors, recovery codes and sessions from before end,
/// unless the request comes with an access token or the browser session of the account: whoever opened it may be somebody
/// else.
#[utoipa::path(
    post, path = "/auth/magic", operation_id = "log_in_by_mail", tag = "Sessions", request_body = MagicBody,
    responses(
        (status = 200, description = "The tokens and the user", body = TokenAnswer),
        (status = 401, description = "`ticket_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn log_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    // Who it is decides what is kept, not whether this is let in: a token that has expired is nobody's.
    signed_in: Result<MaybeUser, Error>,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let presented = FromMail::read(&mut body);
    let scope = body.take_optional("scope");
    body.finish()?;
    let signed_in = signed_in.ok().and_then(|MaybeUser(user)| user);
    let login = house
        .log_in_by_mail(
            &presented,
            scope.as_deref(),
            signed_in.map(|user| user.id),
            &origin,
        )
        .await?
        .done()?;
    Ok(TokenAnswer::respond(
        StatusCode::OK,
        &login.tokens,
        Some(login.user),
    ))
}

/// Send me a code to prove again who I am, as I log in by mail
///
/// To the account's address, which was verified. The code is then sent to `/auth/reauthenticate/magic`, in the same
/// session.
#[utoipa::path(
    post, path = "/auth/reauthenticate/magic/request", operation_id = "ask_to_prove_by_mail", tag = "Sessions", security(("password" = [])),
    responses(
        (status = 202, description = "A mail is on its way to the account's address", body = AskedAnswer),
        (status = 401, description = "`fresh_proof_required` where the account has a second factor; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the account is not logged in to by mail; `mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask_again(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
) -> Result<Response, Error> {
    house
        .ask_to_prove_by_mail(&user, user.session_id()?, &origin)
        .await?;
    Ok(AskedAnswer::respond())
}

/// What came by mail.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct MagicAgainBody {
    /// The code.
    #[schema(example = "1234 5678")]
    code: String,
}

/// Prove again who you are, with a code by mail
///
/// After `fresh_proof_required`, for who logs in by mail; then repeat what was refused.
#[utoipa::path(
    post, path = "/auth/reauthenticate/magic", operation_id = "prove_again_by_mail", tag = "Sessions", request_body = MagicAgainBody, security(("password" = [])),
    responses(
        (status = 204, description = "The session counts as freshly proven"),
        (status = 401, description = "`ticket_invalid`; `fresh_proof_required` where the account has a second factor; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn again(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let code = body.take_secret("code").unwrap_or_default();
    body.finish()?;
    house
        .prove_again_by_mail(&user, user.session_id()?, &code, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
