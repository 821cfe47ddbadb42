//! The pages of logging in by mail.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use http::Uri;
use minijinja::context;

use super::{CLAIM, MAGIC};
use crate::base::error::Error;
use crate::base::http::page;
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{
    AskPage, FormState, FromMailPage, Member, Pages, Part, Posted, Samples, Visit, given, query,
};
use crate::kernel::ticket::Key;

pub(super) const PAGES: Pages = Pages {
    routes,
    sign_in: Some(sign_in_part),
    prove: Some(prove_part),
    samples,
    ..Pages::NONE
};

fn samples() -> Samples {
    let parts = Samples::default()
        .sign_in("pages/part_sign_in_magic.html", &())
        .prove("pages/part_prove_magic.html", &());
    FormState::samples().into_iter().fold(parts, |samples, form| {
        FromMailPage::samples(samples, &form, &from_mail_page()).page("pages/ask.html", &ask_page(form))
    })
}

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/magic", get(show).post(log_in))
        .route("/account/magic/request", post(ask))
        .route("/account/prove/magic/request", post(ask_to_prove))
        .route(PROVE, post(prove))
}

fn sign_in_part(visit: &Visit) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let part = visit.house.sends_mail().then(|| Part {
        order: 40,
        template: "pages/part_sign_in_magic.html",
        data: context! {},
    });
    Box::pin(std::future::ready(Ok(part)))
}

/// Where the code goes that proves again.
const PROVE: &str = "/account/prove/magic";

fn prove_part(member: &Member) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let part = member.house.logs_in_by_mail(&member.user).then(|| Part {
        order: 40,
        template: "pages/part_prove_magic.html",
        data: context! {},
    });
    Box::pin(std::future::ready(Ok(part)))
}

/// `POST /account/prove/magic/request`
async fn ask_to_prove(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let (user, session) = (&member.user, member.session.id);
    let asked = member
        .house
        .ask_to_prove_by_mail(user, session, &member.origin)
        .await;
    match asked {
        Ok(()) => {
            let form = FormState::default();
            member.prove_page(form, return_to, Some(PROVE)).await
        }
        Err(error) => {
            let form = FormState::default().failed(&member, error)?;
            member.prove_page(form, return_to, None).await
        }
    }
}

/// `POST /account/prove/magic`
async fn prove(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let code = Secret::from(fields.take_optional("code").unwrap_or_default());
    let (user, session) = (&member.user, member.session.id);
    let proven = member
        .house
        .prove_again_by_mail(user, session, &code, &member.origin)
        .await;
    match proven {
        Ok(()) => Ok(page::redirect(&member.destination(return_to.as_deref()))),
        Err(error) => {
            let form = FormState::default().failed(&member, error)?;
            member.prove_page(form, return_to, Some(PROVE)).await
        }
    }
}

fn ask_page(form: FormState) -> AskPage {
    AskPage {
        kind: "magic",
        action: "/magic/request",
        form,
    }
}

fn from_mail_page() -> FromMailPage {
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
        ..from_mail_page()
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
            ..from_mail_page()
        }
        .show(&visit),
        Err(error) => ask_page(typed.failed(&visit, error)?).show(&visit),
    }
}

/// `POST /account/magic`
async fn log_in(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let (presented, page) = given(&mut fields, from_mail_page());
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
