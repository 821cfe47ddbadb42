//! The pages of logging in by mail.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use http::Uri;
use minijinja::context;

use super::{CLAIM, MAGIC};
use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{AskPage, FormState, FromMailPage, Pages, Part, Posted, Visit, given, query};
use crate::kernel::ticket::Key;

pub(super) const PAGES: Pages = Pages {
    routes,
    sign_in: Some(sign_in_part),
    ..Pages::NONE
};

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/magic", get(show).post(log_in))
        .route("/account/magic/request", post(ask))
}

fn sign_in_part(visit: &Visit) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let part = visit.house.sends_mail().then(|| Part {
        order: 40,
        template: "pages/part_sign_in_magic.html",
        data: context! {},
    });
    Box::pin(std::future::ready(Ok(part)))
}

fn ask_page(form: FormState) -> AskPage {
    AskPage {
        kind: "magic",
        action: "/magic/request",
        form,
    }
}

fn page() -> FromMailPage {
    FromMailPage {
        kind: "magic",
        action: "/magic",
        again: Some("/magic"),
        ..FromMailPage::default()
    }
}

/// `GET /account/magic`
async fn show(visit: Visit, uri: Uri) -> Result<Response, Error> {
    let Some(token) = query(&uri, "token") else {
        return ask_page(FormState::default()).show(&visit);
    };
    let key = Key::of(&Secret::from(token.as_str()));
    let claims = visit.house.peek_ticket(CLAIM, &key).await?.is_some();
    let over = !claims && visit.house.peek_ticket(MAGIC, &key).await?.is_none();
    FromMailPage {
        kind: if claims { "claim" } else { "magic" },
        token: Some(token),
        over,
        ..page()
    }
    .show(&visit)
}

/// `POST /account/magic/request`
async fn ask(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let email = fields.take_optional("email").unwrap_or_default();
    let typed = FormState::with([("email", Some(email.clone()))]);
    match visit.house.ask_to_log_in(&email, &visit.origin).await {
        Ok(()) => FromMailPage {
            asked: true,
            form: typed,
            ..page()
        }
        .show(&visit),
        Err(error) => ask_page(typed.failed(&visit, error)?).show(&visit),
    }
}

/// `POST /account/magic`
async fn log_in(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let (presented, page) = given(&mut fields, page());
    let signed_in = visit.signed_in.as_ref().map(|(user, _)| user.id);
    let step = visit
        .house
        .log_in_by_mail(&presented, None, signed_in, &visit.origin)
        .await;
    match step {
        Ok(step) => visit.step(step, None).await,
        Err(error) => page.failed(&visit, error),
    }
}
