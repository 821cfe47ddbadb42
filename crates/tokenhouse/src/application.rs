//! What an application's own routes can have of the house's.

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use http::header::CACHE_CONTROL;
use utoipa::openapi::OpenApi;

use crate::base::http::observe::observe;
use crate::kernel::house::Tokenhouse;
use crate::router::{limit_by_address, method_not_allowed};

impl Tokenhouse {
    /// The application's own routes, treated like the house's: a request id, a count in the metrics, a line in
    /// the log, a panic answered with 500, and every [`Error`](crate::Error) looking as
    /// [`problems`](crate::Builder::problems) wants it.
    pub fn observed<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        routes
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(self.watch(false), observe))
    }

    /// The documentation page for an application's own description: `/docs`, and `/openapi.json` beside it. Nest it where
    /// the described paths are; *Authorize* logs in at the `tokenUrl` of the description's password flow.
    pub fn documentation<S: Clone + Send + Sync + 'static>(&self, description: OpenApi) -> Router<S> {
        let serve = move || {
            let description = description.clone();
            async move { ([(CACHE_CONTROL, "no-cache")], Json(description)) }
        };
        let routes = crate::docs::routes().with_state::<S>(self.clone());
        self.observed(routes.route("/openapi.json", get(serve)))
    }

    /// Routes of the application that take credentials, limited per address as the house's own are
    /// (`rate_limit.burst`, `rate_limit.per_minute`).
    pub fn limited<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        routes.layer(from_fn_with_state(self.clone(), limit_by_address))
    }
}
