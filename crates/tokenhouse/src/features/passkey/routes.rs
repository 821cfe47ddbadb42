//! The door of passkeys.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Passkey, PasskeyOptions, no_such_passkey};
use crate::base::error::Error;
use crate::base::http::{Body, Fields, Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::answer::TokenAnswer;
use crate::kernel::house::Tokenhouse;
use crate::kernel::recovery::routes::exposed;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(finish))
        .routes(routes!(list))
        .routes(routes!(rename, remove))
        .routes(routes!(begin_sign_in))
        .routes(routes!(finish_sign_in))
        .routes(routes!(begin_at_login))
        .routes(routes!(finish_at_login))
        .routes(routes!(begin_proof))
        .routes(routes!(finish_proof))
}

fn no_store(status: StatusCode, answer: impl Serialize) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// A passkey that a browser made.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct CreatedBody {
    /// What `toJSON()` of the browser's credential gives.
    #[schema(value_type = Object)]
    credential: (),
    /// What its owner calls it.
    #[schema(example = "My phone", max_length = 64)]
    name: Option<String>,
}

/// What was kept.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedAnswer {
    /// The passkey.
    passkey: Passkey,
    /// Shown this once; empty where the account has codes from before.
    #[schema(example = json!(["ABCD-EFGH-IJKL-MNOP"]))]
    recovery_codes: Vec<String>,
}

/// Begin to make a passkey
///
/// Needs a fresh proof.
#[utoipa::path(
    post, path = "/users/me/passkeys/begin", operation_id = "begin_passkey", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 200, description = "For `navigator.credentials.create()`", body = PasskeyOptions),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there are as many as there may be", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    let options = house.begin_passkey(&user, user.session_id()?).await?;
    Ok(no_store(StatusCode::OK, options))
}

/// Keep the passkey that the browser made
///
/// With the first second factor every other session is over, and recovery codes are shown. Needs a fresh proof.
#[utoipa::path(
    post, path = "/users/me/passkeys/finish", operation_id = "finish_passkey", tag = "Second factors", request_body = CreatedBody, security(("password" = [])),
    responses(
        (status = 201, description = "It can be used", body = CreatedAnswer),
        (status = 401, description = "`passkey_invalid`; `fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there are as many as there may be", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn finish(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let credential = take_credential(&mut body);
    let name = body.take_optional("name");
    body.finish()?;
    let (passkey, codes) = house
        .finish_passkey(&user, user.session_id()?, credential, name.as_deref(), &origin)
        .await?;
    let answer = CreatedAnswer {
        passkey,
        recovery_codes: exposed(&codes),
    };
    Ok(no_store(StatusCode::CREATED, answer))
}

/// My passkeys
#[utoipa::path(
    get, path = "/users/me/passkeys", operation_id = "list_passkeys", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 200, description = "The first made first", body = Vec<Passkey>),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    Ok(no_store(StatusCode::OK, house.passkeys(user.id).await?))
}

/// A new name.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct NameBody {
    /// What its owner calls it.
    #[schema(example = "My phone", min_length = 1, max_length = 64)]
    name: String,
}

/// Name a passkey
#[utoipa::path(
    patch, path = "/users/me/passkeys/{id}", operation_id = "rename_passkey", tag = "Second factors", request_body = NameBody, security(("password" = [])),
    params(("id" = Uuid, Path, description = "The passkey's id")),
    responses(
        (status = 204, description = "It is called so"),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no passkey of yours", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn rename(
    State(house): State<Tokenhouse>,
    user: CurrentUser,
    id: Result<Path<String>, PathRejection>,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let name = body.take("name").unwrap_or_default();
    body.finish()?;
    house.rename_passkey(user.id, passkey_id(id)?, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a passkey
///
/// Needs a fresh proof.
#[utoipa::path(
    delete, path = "/users/me/passkeys/{id}", operation_id = "remove_passkey", tag = "Second factors", security(("password" = [])),
    params(("id" = Uuid, Path, description = "The passkey's id")),
    responses(
        (status = 204, description = "It works no more"),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no passkey of yours", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`last_way_in`, `second_factor_required` or `conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Error> {
    house
        .remove_passkey(&user, user.session_id()?, passkey_id(id)?, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn passkey_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, Error> {
    let Path(id) = id.map_err(|_| no_such_passkey())?;
    let id: uuid::fmt::Hyphenated = id.parse().map_err(|_| no_such_passkey())?;
    Ok(id.into_uuid())
}

/// Whose passkey is asked for.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct BeginSignInBody {
    /// In the second step of a login: the `mfa_token` of the answer to the first. Without it the passkey logs in alone.
    mfa_token: Option<String>,
}

/// Begin to log in with a passkey
///
/// Without a body: alone, and without a name being typed.
#[utoipa::path(
    post, path = "/auth/passkey/begin", operation_id = "begin_passkey_sign_in", tag = "Sessions", request_body(content = Option<BeginSignInBody>, description = "In the second step of a login"),
    responses(
        (status = 200, description = "For `navigator.credentials.get()`", body = PasskeyOptions),
        (status = 401, description = "`mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`account_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the account has no passkey", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin_sign_in(State(house): State<Tokenhouse>, body: Option<Body>) -> Result<Response, Error> {
    let token = match body {
        Some(Body(mut body)) => {
            let token = body.take_optional("mfa_token").map(Secret::from);
            body.finish()?;
            token
        }
        None => None,
    };
    let options = match token {
        Some(token) => house.begin_passkey_second_step(&token).await?,
        None => house.begin_passkey_sign_in().await?,
    };
    Ok(no_store(StatusCode::OK, options))
}

/// What the browser's passkey answered.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct SignInBody {
    /// What `toJSON()` of the browser's credential gives.
    #[schema(value_type = Object)]
    credential: (),
    /// In the second step of a login: the `mfa_token` of the answer to the first.
    mfa_token: Option<String>,
    /// Scopes asked for, separated by spaces; in the second step, those of the first count.
    scope: Option<String>,
}

/// Log in with a passkey
#[utoipa::path(
    post, path = "/auth/passkey/finish", operation_id = "finish_passkey_sign_in", tag = "Sessions", request_body = SignInBody,
    responses(
        (status = 200, description = "The tokens and the user", body = TokenAnswer),
        (status = 401, description = "`passkey_invalid`; `mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`account_disabled`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn finish_sign_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let credential = take_credential(&mut body);
    let token = body.take_optional("mfa_token").map(Secret::from);
    let scope = body.take_optional("scope");
    body.finish()?;
    let login = match token {
        Some(token) => {
            house
                .log_in_with_passkey_second(&token, credential, &origin)
                .await?
        }
        None => house
            .log_in_with_passkey(credential, scope.as_deref(), &origin)
            .await?
            .done()?,
    };
    Ok(TokenAnswer::respond(
        StatusCode::OK,
        &login.tokens,
        Some(login.user),
    ))
}

/// A login that waits for a second factor to be set up.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct BeginAtLoginBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
}

/// Begin to make a passkey during a login
///
/// After `mfa_required` with `set_up`: the account must have a second factor, and has none.
#[utoipa::path(
    post, path = "/auth/mfa/passkey/begin", operation_id = "begin_passkey_at_login", tag = "Second factors", request_body = BeginAtLoginBody,
    responses(
        (status = 200, description = "For `navigator.credentials.create()`", body = PasskeyOptions),
        (status = 401, description = "`mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there is a second factor, which must be shown; `account_disabled`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin_at_login(State(house): State<Tokenhouse>, Body(mut body): Body) -> Result<Response, Error> {
    let token = body.take_secret("mfa_token").unwrap_or_default();
    body.finish()?;
    Ok(no_store(
        StatusCode::OK,
        house.begin_passkey_at_login(&token).await?,
    ))
}

/// The same with the passkey that the browser made.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct FinishAtLoginBody {
    /// The `mfa_token` of the answer to the first step.
    mfa_token: String,
    /// What `toJSON()` of the browser's credential gives.
    #[schema(value_type = Object)]
    credential: (),
    /// What its owner calls it.
    #[schema(max_length = 64)]
    name: Option<String>,
}

/// Keep the passkey that the browser made, and be logged in
#[utoipa::path(
    post, path = "/auth/mfa/passkey/finish", operation_id = "finish_passkey_at_login", tag = "Second factors", request_body = FinishAtLoginBody,
    responses(
        (status = 200, description = "The tokens, the user, and `recovery_codes`, shown this once", body = TokenAnswer),
        (status = 401, description = "`passkey_invalid`; `mfa_expired`: log in again", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: there is a second factor, which must be shown; `account_disabled`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn finish_at_login(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<Response, Error> {
    let token = body.take_secret("mfa_token").unwrap_or_default();
    let credential = take_credential(&mut body);
    let name = body.take_optional("name");
    body.finish()?;
    let (login, codes) = house
        .finish_passkey_at_login(&token, credential, name.as_deref(), &origin)
        .await?;
    Ok(TokenAnswer::with_recovery_codes(login, exposed(&codes)))
}

/// Begin to prove again who you are, with a passkey
#[utoipa::path(
    post, path = "/auth/reauthenticate/passkey/begin", operation_id = "begin_passkey_proof", tag = "Sessions", security(("password" = [])),
    responses(
        (status = 200, description = "For `navigator.credentials.get()`", body = PasskeyOptions),
        (status = 401, description = "`token_missing`, `token_invalid`, `token_expired` or `token_revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the account has no passkey", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin_proof(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Response, Error> {
    Ok(no_store(StatusCode::OK, house.begin_passkey_proof(&user).await?))
}

/// What the browser's passkey answered.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct ProofBody {
    /// What `toJSON()` of the browser's credential gives.
    #[schema(value_type = Object)]
    credential: (),
}

/// Prove again who you are, with a passkey
///
/// After `fresh_proof_required`; then repeat what was refused.
#[utoipa::path(
    post, path = "/auth/reauthenticate/passkey/finish", operation_id = "finish_passkey_proof", tag = "Sessions", request_body = ProofBody, security(("password" = [])),
    responses(
        (status = 204, description = "The session counts as freshly proven"),
        (status = 401, description = "`passkey_invalid`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn finish_proof(
    State(house): State<Tokenhouse>,
    origin: Origin,
    user: CurrentUser,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let credential = take_credential(&mut body);
    body.finish()?;
    house
        .prove_again_with_passkey(&user, user.session_id()?, credential, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn take_credential(body: &mut Fields) -> serde_json::Map<String, serde_json::Value> {
    body.take_required_object("credential").unwrap_or_default()
}
