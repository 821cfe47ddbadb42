//! The door of the keyring: what verifiers elsewhere need.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::kernel::house::Tokenhouse;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// The public keys
///
/// A JWK set (RFC 7517). A key appears here before it signs, and stays until its last token has died, so a
/// cache of five minutes is never too old; fetch again when a token names a `kid` you do not know.
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "read_public_keys", tag = "Tokens", responses((status = 200, description = "The keys", content_type = "application/jwk-set+json", body = Object)))]
async fn jwks(State(house): State<Tokenhouse>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, house.0.keys.ring().jwks.clone()).into_response()
}
