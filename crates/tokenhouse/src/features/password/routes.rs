//! The door of passwords.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::opening::Door;
use super::{Login, SignedUp, Signup};
use crate::base::error::{Error, FieldError};
use crate::base::http::{Body, Fields, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::{AskedAnswer, FromMail};
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(signup))
        .routes(routes!(login))
        .routes(routes!(forgot))
        .routes(routes!(reset))
        .routes(routes!(change))
        .routes(routes!(again))
}

/// A new account.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct SignupBody {
    /// Where mail arrives; compared without regard to case.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// 8 to 128 characters of any kind, but none of the common passwords and not your own name.
    #[schema(
        example = "correct horse battery staple",
        format = "password",
        min_length = 8,
        max_length = 128
    )]
    password: String,
    /// Letters, digits, `_`, `-` and `.`.
    #[schema(example = "ada", min_length = 3, max_length = 32)]
    username: Option<String>,
    /// What the application keeps with the account.
    #[schema(value_type = Option<Object>)]
    profile: Option<()>,
    /// What the link of an invitation holds.
    invitation: Option<String>,
}

/// Sign up
///
/// Opens an account and logs its user in.
#[utoipa::path(
    post, path = "/auth/signup", operation_id = "sign_up", tag = "Account", request_body = SignupBody,
    responses(
        (status = 201, description = "The account is open and its user logged in", body = TokenAnswer),
        (status = 202, description = "Where `signup.reveal_taken` is off or `signup.require_verified_email` is on: the account may be open; a mail says how to go on", body = Object),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`mfa_required`: the account is open, and must have a second factor first; `ticket_invalid`: the invitation", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`signup_closed`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`email_taken` or `username_taken`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`, every one of them", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded` or `unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn signup(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(body): Body,
) -> Result<Response, Error> {
    let signup = read_signup(&house, body)?;
    Ok(match house.sign_up(signup, &origin).await? {
        SignedUp::In(step) => {
            let login = step.done()?;
            TokenAnswer::respond(StatusCode::CREATED, &login.tokens, Some(login.user))
        }
        SignedUp::Untold => {
            let answer = serde_json::json!({ "detail": UNTOLD });
            (StatusCode::ACCEPTED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
    })
}

const UNTOLD: &str =
    "if the account could be opened, log in now; where its address must be verified first, a mail says how";

/// Faults of shape and faults of content are answered together.
fn read_signup(house: &Tokenhouse, mut body: Fields) -> Result<Signup, Error> {
    let signup = Signup {
        email: body.take_optional("email"),
        username: body.take_optional("username"),
        password: body.take_secret("password").unwrap_or_default(),
        profile: body.take_object("profile").unwrap_or_default(),
        invitation: body.take_optional("invitation").map(Secret::from),
    };
    let Err(shape) = body.finish() else {
        return Ok(signup);
    };
    let mut faults: Vec<FieldError> = shape.fields().to_vec();
    if let Err(content) = house.check_signup(signup, Door::Ours) {
        let known = faults.clone();
        let is_new = |fault: &&FieldError| known.iter().all(|one| one.pointer != fault.pointer);
        faults.extend(content.fields().iter().filter(is_new).cloned());
    }
    Err(Error::invalid_fields(faults))
}

/// Who wants to be let in: one of `email`, `username` or `login`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct LoginBody {
    /// The e-mail address.
    #[schema(example = "ada@example.org")]
    email: Option<String>,
    /// The username; in the form it may hold the e-mail address.
    username: Option<String>,
    /// Either of the two.
    login: Option<String>,
    /// The password.
    #[schema(example = "correct horse battery staple", format = "password")]
    password: String,
    /// Scopes asked for, separated by spaces.
    scope: Option<String>,
}

/// The OAuth2 password form, as documentation pages and tutorials send it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct LoginForm {
    /// The e-mail address or the username.
    #[schema(example = "ada@example.org")]
    username: String,
    /// The password.
    #[schema(format = "password")]
    password: String,
    /// `password`, if anything.
    grant_type: Option<String>,
    /// Scopes asked for, separated by spaces.
    scope: Option<String>,
}

/// Log in
///
/// With JSON, or with the OAuth2 password form. An unknown user and a wrong password get the same answer in
/// the same time.
#[utoipa::path(
    post, path = "/auth/login", operation_id = "log_in", tag = "Sessions",
    request_body(content((LoginBody = "application/json"), (LoginForm = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The tokens and the user", body = TokenAnswer),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`invalid_credentials`; `mfa_required` with `mfa_token`, `factors` and `expires_in`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`account_disabled` or `email_unverified`, only after the right password", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited` or `account_locked`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded` or `unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn login(State(house): State<Tokenhouse>, origin: Origin, Body(body): Body) -> Result<Response, Error> {
    let login = house
        .log_in_with_password(read_login(body)?, &origin)
        .await?
        .done()?;
    Ok(TokenAnswer::respond(
        StatusCode::OK,
        &login.tokens,
        Some(login.user),
    ))
}

fn read_login(mut body: Fields) -> Result<Login, Error> {
    let mut names: Vec<String> = ["email", "username", "login"]
        .iter()
        .filter_map(|name| body.take_optional(name))
        .collect();
    let identifier = names.pop();
    if identifier.is_none() {
        body.fault(FieldError::new(
            "login",
            "missing",
            "one of email, username and login is required",
        ));
    }
    if !names.is_empty() {
        body.fault(FieldError::new(
            "login",
            "ambiguous",
            "give only one of email, username and login",
        ));
    }
    let password = body.take_secret("password").unwrap_or_default();
    let scope = body.take_optional("scope");
    if body
        .take_optional("grant_type")
        .is_some_and(|grant| grant != "password")
    {
        body.fault(FieldError::new(
            "grant_type",
            "grant_type_invalid",
            "must be `password` here",
        ));
    }
    body.finish()?;
    Ok(Login {
        identifier: identifier.unwrap_or_default(),
        password,
        scope,
    })
}

/// A change of password.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ChangeBody {
    /// The password that is valid now, where there is one; without one, a fresh proof is asked for.
    #[schema(format = "password")]
    current_password: Option<String>,
    /// The one that will be.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    new_password: String,
}

/// Change my password
///
/// Or set the first one. Every other session is over; this one goes on.
#[utoipa::path(
    post, path = "/users/me/password", operation_id = "change_password", tag = "Account", request_body = ChangeBody, security(("password" = [])),
    responses(
        (status = 204, description = "The new password is valid"),
        (status = 400, description = "`malformed_body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`invalid_credentials` where the current one is wrong; `fresh_proof_required` where the account has a second factor or no password; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let current = body.take_optional("current_password").map(Secret::from);
    let new = body.take_secret("new_password").unwrap_or_default();
    body.finish()?;
    house
        .change_password(&user, current, &new, Some(user.session_id()?), &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Prove again who you are, with the password
///
/// After `fresh_proof_required`; then repeat what was refused. An account with a second factor proves itself with that,
/// at `/auth/reauthenticate` or with a passkey.
#[utoipa::path(
    post, path = "/auth/reauthenticate/password", operation_id = "prove_again_with_password", tag = "Sessions", request_body = PasswordBody, security(("password" = [])),
    responses(
        (status = 204, description = "The session counts as freshly proven"),
        (status = 401, description = "`invalid_credentials`; `fresh_proof_required` where the account has a second factor; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`account_locked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn again(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let password = body.take_secret("password").unwrap_or_default();
    body.finish()?;
    house
        .prove_again_with_password(&user, user.session_id()?, password, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The password again.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct PasswordBody {
    /// The password that is valid now.
    #[schema(format = "password")]
    password: String,
}

/// Whose password was forgotten.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ForgotBody {
    /// The e-mail address of the account.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
}

/// I forgot my password
///
/// Sends a mail with a link and a code to choose a new one, if an account has the address. The answer, the time it takes
/// and the work behind it are the same if none has.
#[utoipa::path(
    post, path = "/auth/password/forgot", operation_id = "forgot_password", tag = "Account", request_body = ForgotBody,
    responses(
        (status = 202, description = "A mail is on its way, if there is such an account", body = AskedAnswer),
        (status = 403, description = "`mail_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn forgot(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let email = body.take("email").unwrap_or_default();
    body.finish()?;
    house.forgot_password(&email, &origin).await?;
    Ok(AskedAnswer::respond())
}

/// What was in the mail, and the new password.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ResetBody {
    /// What the link holds.
    token: Option<String>,
    /// In its place: the address that the mail went to, and
    #[schema(example = "ada@example.org")]
    email: Option<String>,
    /// the code in it.
    #[schema(example = "1234 5678")]
    code: Option<String>,
    /// The password that will be valid.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    new_password: String,
}

/// Choose a new password
///
/// With the token of the link, or with the address and the code. Every session is over. A password that is not
/// acceptable does not use the link up.
#[utoipa::path(
    post, path = "/auth/password/reset", operation_id = "reset_password", tag = "Account", request_body = ResetBody,
    responses(
        (status = 204, description = "The new password is valid"),
        (status = 401, description = "`ticket_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn reset(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let presented = FromMail::read(&mut body);
    let new = body.take_secret("new_password").unwrap_or_default();
    body.finish()?;
    house.reset_password(&presented, &new, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
