//! The door of addresses.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::{AskedAnswer, FromMail};
use crate::kernel::session::{CurrentUser, MaybeUser};

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(ask_to_verify))
        .routes(routes!(verify))
        .routes(routes!(ask_to_change))
        .routes(routes!(change))
        .routes(routes!(undo))
}

/// Which address is to be verified.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct VerifyRequestBody {
    /// The e-mail address of the account.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
}

/// Ask for a mail to verify an address
///
/// With a link and a code, if an account has the address and has not verified it. The answer, the time it takes and the
/// work behind it are the same if none has.
#[utoipa::path(
    post, path = "/auth/email/verify/request", operation_id = "ask_to_verify_email", tag = "Account",
    request_body = VerifyRequestBody,
    responses(
        (status = 202, description = "A mail is on its way, if there is such an account", body = AskedAnswer),
        (status = 403, description = "`mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask_to_verify(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let email = body.take("email").unwrap_or_default();
    body.finish()?;
    house.ask_to_verify_email(&email, &origin).await?;
    Ok(AskedAnswer::respond())
}

/// What was in the mail.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct FromMailBody {
    /// What the link holds.
    token: Option<String>,
    /// In its place: the address that the mail went to, and
    #[schema(example = "ada@example.org")]
    email: Option<String>,
    /// the code in it.
    #[schema(example = "1234 5678")]
    code: Option<String>,
}

/// Verify an address
///
/// With the token of the link, or with the address and the code. The first time, second factors and recovery codes that were
/// set up before are gone, unless the request comes with an access token or the browser session of the account: whoever
/// opened it may be somebody else.
#[utoipa::path(
    post, path = "/auth/email/verify", operation_id = "verify_email", tag = "Account", request_body = FromMailBody,
    responses(
        (status = 204, description = "The address is verified"),
        (status = 401, description = "`ticket_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn verify(
    State(house): State<Tokenhouse>,
    origin: Origin,
    // Who it is decides what is kept, not whether this is let in: a token that has expired is nobody's.
    signed_in: Result<MaybeUser, Error>,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let presented = FromMail::read(&mut body);
    body.finish()?;
    let signed_in = signed_in.ok().and_then(|MaybeUser(user)| user);
    house
        .verify_email(&presented, signed_in.map(|user| user.id), &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The new address.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ChangeEmailBody {
    /// Where mail is to arrive.
    #[schema(example = "ada@example.com", format = "email", max_length = 254)]
    new_email: String,
    /// The password that is valid now; not needed where the account has a second factor, or no password.
    #[schema(format = "password")]
    password: Option<String>,
}

/// Change my address
///
/// Sends a mail to the new one; nothing changes before its link is followed or its code is typed.
#[utoipa::path(
    post, path = "/users/me/email", operation_id = "ask_to_change_email", tag = "Account", request_body = ChangeEmailBody,
    security(("password" = [])),
    responses(
        (status = 202, description = "A mail is on its way to the new address", body = AskedAnswer),
        (status = 401, description = "`invalid_credentials`; `fresh_proof_required` where the account has a second factor or no password; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`, where `signup.reveal_taken` is on", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited` or `account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ask_to_change(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let new = body.take("new_email").unwrap_or_default();
    let password = body.take_optional("password").map(Secret::from);
    body.finish()?;
    house
        .confirm(&user, user.session_id()?, password, &origin)
        .await?;
    house.ask_to_change_email(&user, &new, &origin).await?;
    Ok(AskedAnswer::respond())
}

/// Confirm a new address
///
/// Logged in as whoever asked for it, with the token of the link, or with the new address and the code. Whoever has the
/// old address is told, and gets a link that takes the change back.
#[utoipa::path(
    post, path = "/auth/email/change", operation_id = "change_email", tag = "Account", request_body = FromMailBody,
    security(("password" = [])),
    responses(
        (status = 204, description = "The account has the new address"),
        (status = 401, description = "`ticket_invalid`, also where the mail is about another account; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken` in the meantime", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let presented = FromMail::read(&mut body);
    body.finish()?;
    house.change_email(&user, &presented, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the link in the mail to the old address holds.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct UndoBody {
    /// The token.
    token: String,
}

/// Take a change of address back
///
/// From the old address. Every session is over, the password is no longer valid, and a mail to choose a new one is on its
/// way to the old address.
#[utoipa::path(
    post, path = "/auth/email/undo", operation_id = "undo_email_change", tag = "Account", request_body = UndoBody,
    responses(
        (status = 204, description = "The account has its old address again"),
        (status = 401, description = "`ticket_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken`: another account has verified the address in the meantime", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn undo(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let token = body.take_secret("token").unwrap_or_default();
    body.finish()?;
    house.undo_email_change(&token, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
