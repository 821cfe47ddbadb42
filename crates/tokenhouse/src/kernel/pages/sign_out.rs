//! Signing out. The address alone changes nothing: its page asks.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::{Posted, Visit};
use crate::base::error::Error;
use crate::base::http::cookie;
use crate::base::http::page;

#[derive(Serialize)]
pub(super) struct SignOut {}

/// `GET /account/sign-out`
pub(super) async fn ask(visit: Visit) -> Result<Response, Error> {
    if visit.signed_in.is_none() {
        return Ok(page::redirect(&visit.path("/account/sign-in")));
    }
    visit.page(StatusCode::OK, "pages/sign_out.html", &SignOut {})
}

/// `POST /account/sign-out`
pub(super) async fn sign_out(Posted(visit, _): Posted<Visit>) -> Result<Response, Error> {
    if let Some((user, session)) = &visit.signed_in {
        visit
            .house
            .end_session(user.id, session.id, &visit.origin)
            .await?;
    }
    let mut response = super::done(&visit, "/account/sign-in", "signed_out").into_response();
    cookie::set(response.headers_mut(), visit.house.0.browser.forget_session());
    Ok(response)
}
