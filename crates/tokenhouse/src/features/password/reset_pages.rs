//! The pages of a forgotten password.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::Uri;

use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::RESET;
use crate::kernel::pages::{AskPage, FormState, FromMailPage, Posted, Samples, Visit, done, given, opened};

pub(super) fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/forgot", get(show_ask).post(ask))
        .route("/account/reset", get(show).post(reset))
}

pub(super) fn samples() -> Samples {
    FormState::samples()
        .into_iter()
        .fold(Samples::default(), |samples, form| {
            FromMailPage::samples(samples, &form, &new_password(8)).page("pages/ask.html", &ask_page(form))
        })
}

fn ask_page(form: FormState) -> AskPage {
    AskPage {
        kind: "reset",
        action: "/forgot",
        form,
    }
}

fn page(visit: &Visit) -> FromMailPage {
    new_password(visit.house.settings().passwords.min_length)
}

fn new_password(min_length: usize) -> FromMailPage {
    FromMailPage {
        kind: "reset",
        action: "/reset",
        again: Some("/forgot"),
        password_min: Some(min_length),
        ..FromMailPage::default()
    }
}

/// `GET /account/forgot`
async fn show_ask(visit: Visit) -> Result<Response, Error> {
    ask_page(FormState::default()).show(&visit)
}

/// `POST /account/forgot`
async fn ask(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let email = fields.take_optional("email").unwrap_or_default();
    let typed = FormState::with([("email", Some(email.clone()))]);
    match visit.house.forgot_password(&email, &visit.origin).await {
        Ok(()) => FromMailPage {
            asked: true,
            form: typed,
            ..page(&visit)
        }
        .show(&visit),
        Err(error) => ask_page(typed.failed(&visit, error)?).show(&visit),
    }
}

/// `GET /account/reset`
async fn show(visit: Visit, uri: Uri) -> Result<Response, Error> {
    opened(&visit, &uri, RESET, page(&visit)).await
}

/// `POST /account/reset`
async fn reset(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let new = Secret::from(fields.take_optional("new_password").unwrap_or_default());
    let (presented, page) = given(&mut fields, page(&visit));
    match visit.house.reset_password(&presented, &new, &visit.origin).await {
        Ok(()) => Ok(done(&visit, "/account/sign-in", "password_reset")),
        Err(error) => page.failed(&visit, error),
    }
}
