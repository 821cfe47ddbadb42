//! The sign-in page: a frame that the ways to sign in stand in.

use axum::response::Response;
use http::Uri;
use serde::Serialize;

use super::visit::query;
use super::{FormState, Part, Visit};
use crate::base::error::Error;
use crate::base::http::page;

/// The page as it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SignIn {
    /// Where to go afterwards; checked when it is used.
    pub(crate) return_to: Option<String>,
    /// Of the way that was tried.
    pub(crate) form: FormState,
    /// The ways there are.
    pub(crate) parts: Vec<Part>,
}

/// `GET /account/sign-in`
pub(super) async fn show(visit: Visit, uri: Uri) -> Result<Response, Error> {
    let return_to = query(&uri, "return_to");
    if visit.signed_in.is_some() {
        return Ok(page::redirect(&visit.destination(return_to.as_deref())));
    }
    let sign_in = SignIn {
        return_to,
        ..SignIn::default()
    };
    visit.sign_in_page(sign_in).await
}

impl Visit {
    /// The sign-in page, with what came of the way that was tried.
    ///
    /// # Errors
    /// When a way cannot be shown.
    pub(crate) async fn sign_in_page(&self, mut sign_in: SignIn) -> Result<Response, Error> {
        for feature in &self.house.0.features {
            if let Some(part) = feature.pages.sign_in {
                sign_in.parts.extend(part(self).await?);
            }
        }
        sign_in.parts.sort_by_key(|part| part.order);
        let status = sign_in.form.status();
        let page = self.page(status, "pages/sign_in.html", &sign_in)?;
        Ok(sign_in.form.complete(page))
    }
}
