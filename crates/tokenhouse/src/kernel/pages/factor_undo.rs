//! The page behind the mail that tells of the first second factor: one button takes it back.

use axum::response::Response;
use http::Uri;

use super::{FromMailPage, Posted, Visit, done, opened, query};
use crate::base::error::Error;
use crate::base::http::cookie;
use crate::base::secret::Secret;
use crate::kernel::factor_undo::FACTOR_UNDO;

fn page() -> FromMailPage {
    FromMailPage {
        kind: "factor_undo",
        action: "/factors/undo",
        ..FromMailPage::default()
    }
}

/// `GET /account/factors/undo`
pub(super) async fn show(visit: Visit, uri: Uri) -> Result<Response, Error> {
    let over = query(&uri, "token").is_none();
    opened(&visit, &uri, FACTOR_UNDO, FromMailPage { over, ..page() }).await
}

/// `POST /account/factors/undo`
pub(super) async fn undo(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let token = fields.take_optional("token").unwrap_or_default();
    let page = FromMailPage {
        token: Some(token.clone()),
        ..page()
    };
    let undone = visit
        .house
        .undo_first_factor(&Secret::from(token), &visit.origin)
        .await;
    match undone {
        Ok(_) => {
            let mut response = done(&visit, "/account/sign-in", "factors_undone");
            cookie::set(response.headers_mut(), visit.house.0.browser.forget_session());
            Ok(response)
        }
        Err(error) => page.failed(&visit, error),
    }
}
