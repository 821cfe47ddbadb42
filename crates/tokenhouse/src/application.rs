//! What an application's own routes can have of the house's.

use axum::Router;
use axum::middleware::from_fn_with_state;

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
            .layer(from_fn_with_state(self.0.observer.clone(), observe))
    }

    /// Routes of the application that take credentials, limited per address as the house's own are
    /// (`rate_limit.burst`, `rate_limit.per_minute`).
    pub fn limited<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        routes.layer(from_fn_with_state(self.clone(), limit_by_address))
    }
}
