//! The pages of an address: verify it, change it, take a change back.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use futures_util::future::BoxFuture;
use http::Uri;
use serde::Serialize;

use super::CHANGE;
use crate::base::error::{Code, Error};
use crate::base::http::cookie;
use crate::base::secret::Secret;
use crate::base::template;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::{UNDO, VERIFY};
use crate::kernel::pages::{
    AskPage, FormState, FromMailPage, Member, Pages, Part, Posted, Samples, Visit, done, given, opened, query,
};

pub(super) const PAGES: Pages = Pages {
    routes,
    account: Some(account_part),
    samples,
    ..Pages::NONE
};

fn samples() -> Samples {
    let mut samples = Samples::default();
    for (email, verified) in [(Some("<ada>"), true), (Some("<ada>"), false), (None, false)] {
        samples = samples.account("pages/part_email.html", &Section { email, verified });
    }
    for form in FormState::samples() {
        for page in [verify_page(), confirm_page(), undo_page()] {
            samples = FromMailPage::samples(samples, &form, &page);
        }
        for asks_password in [true, false] {
            let page = ChangePage {
                form: form.clone(),
                called: "<ada>".to_owned(),
                asks_password,
            };
            samples = samples.page("pages/email.html", &page);
        }
        samples = samples.page("pages/ask.html", &ask_page(form));
    }
    samples
}

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/verify", get(show_verify).post(verify))
        .route("/account/verify/request", get(show_ask).post(ask))
        .route("/account/email", get(show_change).post(ask_to_change))
        .route("/account/email/change", get(show_confirm).post(confirm))
        .route("/account/email/undo", get(show_undo).post(undo))
}

#[derive(Serialize)]
struct Section<'a> {
    email: Option<&'a str>,
    verified: bool,
}

fn account_part(member: &Member) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let part = member.house.sends_mail().then(|| Part {
        order: 15,
        template: "pages/part_email.html",
        data: template::context(&Section {
            email: member.user.email.as_deref(),
            verified: member.user.email_verified,
        }),
    });
    Box::pin(std::future::ready(Ok(part)))
}

fn verify_page() -> FromMailPage {
    FromMailPage {
        kind: "verify",
        action: "/verify",
        again: Some("/verify/request"),
        ..FromMailPage::default()
    }
}

fn confirm_page() -> FromMailPage {
    FromMailPage {
        kind: "change",
        action: "/email/change",
        again: Some("/email"),
        ..FromMailPage::default()
    }
}

fn undo_page() -> FromMailPage {
    FromMailPage {
        kind: "undo",
        action: "/email/undo",
        ..FromMailPage::default()
    }
}

/// `GET /account/verify`
async fn show_verify(visit: Visit, uri: Uri) -> Result<Response, Error> {
    opened(&visit, &uri, VERIFY, verify_page()).await
}

/// `POST /account/verify`
async fn verify(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let (presented, page) = given(&mut fields, verify_page());
    let signed_in = visit.signed_in.as_ref().map(|(user, _)| user.id);
    let verified = visit
        .house
        .verify_email(&presented, signed_in, &visit.origin)
        .await;
    match verified {
        Ok(_) if visit.signed_in.is_some() => Ok(done(&visit, "/account", "email_verified")),
        Ok(_) => Ok(done(&visit, "/account/sign-in", "email_verified")),
        Err(error) => page.failed(&visit, error),
    }
}

fn ask_page(form: FormState) -> AskPage {
    AskPage {
        kind: "verify",
        action: "/verify/request",
        form,
    }
}

/// `GET /account/verify/request`
async fn show_ask(visit: Visit) -> Result<Response, Error> {
    ask_page(FormState::default()).show(&visit)
}

/// `POST /account/verify/request`
async fn ask(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let email = fields.take_optional("email").unwrap_or_default();
    let typed = FormState::with([("email", Some(email.clone()))]);
    match visit.house.ask_to_verify_email(&email, &visit.origin).await {
        Ok(()) => FromMailPage {
            asked: true,
            form: typed,
            ..verify_page()
        }
        .show(&visit),
        Err(error) => ask_page(typed.failed(&visit, error)?).show(&visit),
    }
}

#[derive(Serialize)]
struct ChangePage {
    form: FormState,
    called: String,
    asks_password: bool,
}

async fn change_page(member: &Member, form: FormState) -> Result<Response, Error> {
    let page = ChangePage {
        called: member.signs_in_as(),
        asks_password: member.house.confirms_by_secret(&member.user).await?,
        form,
    };
    let response = member.page(page.form.status(), "pages/email.html", &page)?;
    Ok(page.form.complete(response))
}

/// `GET /account/email`
async fn show_change(member: Member) -> Result<Response, Error> {
    let by_password = member.house.confirms_by_secret(&member.user).await?;
    if let Some(proof) = member.prove_before(by_password, "/account/email").await? {
        return Ok(proof);
    }
    change_page(&member, FormState::default()).await
}

/// `POST /account/email`
async fn ask_to_change(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let new = fields.take_optional("new_email").unwrap_or_default();
    let password = fields.take_optional("password").map(Secret::from);
    let typed = FormState::with([("new_email", Some(new.clone()))]);
    let (house, origin) = (&member.house, &member.origin);
    if let Err(error) = house
        .confirm(&member.user, member.session.id, password, origin)
        .await
    {
        if error.code() == Code::FreshProofRequired {
            return member.prove_first(error, "/account/email");
        }
        let form = typed.of_password("password", &member, error)?;
        return change_page(&member, form).await;
    }
    match house.ask_to_change_email(&member.user, &new, origin).await {
        Ok(()) => FromMailPage {
            asked: true,
            form: FormState::with([("email", Some(new))]),
            ..confirm_page()
        }
        .show(&member),
        Err(error) if error.code() == Code::EmailTaken => {
            let mut form = typed;
            let words = member.language().text("trouble.email_taken", &[]);
            form.fault("new_email", words.unwrap_or_default());
            change_page(&member, form).await
        }
        Err(error) => change_page(&member, typed.failed(&member, error)?).await,
    }
}

/// `GET /account/email/change`
async fn show_confirm(member: Member, uri: Uri) -> Result<Response, Error> {
    opened(&member, &uri, CHANGE, confirm_page()).await
}

/// `POST /account/email/change`
async fn confirm(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let (presented, page) = given(&mut fields, confirm_page());
    let changed = member
        .house
        .change_email(&member.user, &presented, &member.origin)
        .await;
    match changed {
        Ok(_) => Ok(done(&member, "/account", "email_changed")),
        Err(error) => page.failed(&member, error),
    }
}

/// `GET /account/email/undo`
async fn show_undo(visit: Visit, uri: Uri) -> Result<Response, Error> {
    let over = query(&uri, "token").is_none();
    opened(&visit, &uri, UNDO, FromMailPage { over, ..undo_page() }).await
}

/// `POST /account/email/undo`
async fn undo(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let token = fields.take_optional("token").unwrap_or_default();
    let page = FromMailPage {
        token: Some(token.clone()),
        ..undo_page()
    };
    match visit
        .house
        .undo_email_change(&Secret::from(token), &visit.origin)
        .await
    {
        Ok(_) => {
            let mut response = done(&visit, "/account/sign-in", "email_change_undone");
            cookie::set(response.headers_mut(), visit.house.0.browser.forget_session());
            Ok(response)
        }
        Err(error) => page.failed(&visit, error),
    }
}
