//! The documentation page.

use axum::Router;

use crate::kernel::house::Tokenhouse;

pub(crate) fn routes() -> Router<Tokenhouse> {
    Router::new()
}
