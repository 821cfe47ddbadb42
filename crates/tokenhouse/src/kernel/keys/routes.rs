//! The door of the keyring: what verifiers elsewhere need.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::kernel::house::Tokenhouse;
use crate::kernel::session::feed;

const JWKS: &str = "/.well-known/jwks.json";

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new()
        .routes(routes!(jwks))
        .routes(routes!(metadata))
}

/// The public keys
///
/// A JWK set (RFC 7517). A key appears here before it signs, and stays until its last token has died, so a
/// cache of five minutes is never too old; fetch again when a token names a `kid` you do not know.
#[utoipa::path(get, path = JWKS, operation_id = "read_public_keys", tag = "Tokens", responses((status = 200, description = "The keys", content_type = "application/jwk-set+json", body = Object)))]
async fn jwks(State(house): State<Tokenhouse>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, house.0.keys.ring().jwks.clone()).into_response()
}

/// What there is, and where.
#[derive(Serialize, utoipa::ToSchema)]
struct Metadata {
    /// The `iss` of the tokens.
    #[schema(example = "https://id.example.com")]
    issuer: String,
    /// The public keys.
    #[schema(example = "https://id.example.com/.well-known/jwks.json")]
    jwks_uri: String,
    /// None: there is no authorization endpoint.
    response_types_supported: [String; 0],
    /// None: left out, it would mean `authorization_code` and `implicit`.
    grant_types_supported: [String; 0],
    /// The feed of revocations, where there is one: a member of Tokenhouse's own.
    #[schema(example = "https://id.example.com/.well-known/revocations.json")]
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_feed_uri: Option<String>,
}

/// What there is, and where
///
/// Authorization server metadata (RFC 8414), for who checks tokens: the issuer, its keys and its feed of revocations.
/// All addresses begin with the setting `public_url`, which has to name where the routes are mounted.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", operation_id = "read_metadata", tag = "Tokens", responses((status = 200, description = "The metadata", body = Metadata)))]
async fn metadata(State(house): State<Tokenhouse>) -> Response {
    let settings = &house.0.settings;
    let base = &settings.public_url;
    let metadata = Metadata {
        issuer: settings.tokens.issuer.as_ref().unwrap_or(base).clone(),
        jwks_uri: format!("{base}{JWKS}"),
        response_types_supported: [],
        grant_types_supported: [],
        revocation_feed_uri: settings
            .http
            .revocation_feed
            .then(|| format!("{base}{}", feed::PATH)),
    };
    ([(CACHE_CONTROL, "public, max-age=300")], Json(metadata)).into_response()
}
