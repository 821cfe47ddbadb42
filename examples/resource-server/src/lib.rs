//! An API that has no accounts: it checks the access tokens of a Tokenhouse elsewhere.

mod guard;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

pub use guard::{Caller, Config, Guard, Refusal};

/// The routes.
pub fn routes(guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/", get(|| async { "Everybody may read this." }))
        .route("/notes", get(notes))
        .with_state(guard)
}

/// Whoever names `Caller` is entered by nobody whose token is not good.
async fn notes(caller: Caller) -> Json<Value> {
    Json(json!({ "notes_of": caller.claims().sub }))
}
