//! Whether the house is alive, ready for requests, and what it counts.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::house::Tokenhouse;
use crate::base::error::Error;
use crate::base::http::Problem;

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

pub(crate) fn metrics_routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// How it is.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok`
    #[schema(example = "ok")]
    status: &'static str,
}

const OK: ([(http::HeaderName, &str); 1], Json<Health>) =
    ([(CACHE_CONTROL, "no-store")], Json(Health { status: "ok" }));

/// Liveness
///
/// Answers as long as the process can answer at all.
#[utoipa::path(get, path = "/health/live", operation_id = "check_liveness", tag = "Operation", responses((status = 200, description = "Alive", body = Health)))]
async fn live() -> Response {
    OK.into_response()
}

/// Readiness
///
/// Answers 200 when the database can be reached and there is a key to sign with.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "check_readiness", tag = "Operation",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ready(State(house): State<Tokenhouse>) -> Result<Response, Error> {
    // Without a key to sign with the house would not have been built.
    house.0.store.ping().await?;
    Ok(OK.into_response())
}

/// Metrics
///
/// In the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "read_metrics", tag = "Operation", responses((status = 200, description = "What was counted", content_type = "application/openmetrics-text", body = String)))]
async fn metrics(State(house): State<Tokenhouse>) -> Response {
    (
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        house.metrics(),
    )
        .into_response()
}
