//! The door of recovery codes.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::base::error::Error;
use crate::base::http::{Origin, Problem};
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::session::CurrentUser;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(make))
}

/// Recovery codes, shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct CodesAnswer {
    /// Each stands in once for a second factor.
    #[schema(example = json!(["ABCD-EFGH-IJKL-MNOP"]))]
    recovery_codes: Vec<String>,
}

/// The codes as the API shows them.
pub(crate) fn exposed(codes: &[Secret]) -> Vec<String> {
    codes.iter().map(|code| code.expose().to_owned()).collect()
}

/// Make new recovery codes
///
/// The old ones work no more. Needs a fresh proof.
#[utoipa::path(
    post, path = "/users/me/recovery-codes", operation_id = "make_recovery_codes", tag = "Second factors", security(("password" = [])),
    responses(
        (status = 201, description = "The new codes, shown this once", body = CodesAnswer),
        (status = 401, description = "`fresh_proof_required`; `token_missing`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: the account has no second factor that could be lost", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn make(State(house): State<Tokenhouse>, origin: Origin, user: CurrentUser) -> Result<Response, Error> {
    let codes = house
        .make_recovery_codes(&user, user.session_id()?, &origin)
        .await?;
    let answer = CodesAnswer {
        recovery_codes: exposed(&codes),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
