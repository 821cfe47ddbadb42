//! The pages of passwords: sign in with one, sign up, change it, set the first.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;

use super::{Login, SignedUp, Signup};
use crate::base::error::{Code, Error};
use crate::base::http::{Fields, page};
use crate::base::id::UserId;
use crate::base::secret::Secret;
use crate::base::settings::{Identifier, SignupMode};
use crate::base::template;
use crate::kernel::house::Tokenhouse;
use crate::kernel::mailbox::ticket_invalid;
use crate::kernel::pages::{FormState, Member, Pages, Part, Posted, Samples, SignIn, Visit, done, query};

pub(super) const PAGES: Pages = Pages {
    routes,
    sign_in: Some(sign_in_part),
    account: Some(account_part),
    prove: None,
    export: Some(export),
    samples,
};

fn samples() -> Samples {
    let mut samples = super::reset_pages::samples();
    for identifier in ["email", "username", "either"] {
        let full = identifier == "email";
        let way = SignInWay {
            identifier,
            sign_up: full,
            forgot: full,
        };
        samples = samples.sign_in("pages/part_sign_in_password.html", &way);
    }
    for changed_at in [Some(Timestamp::UNIX_EPOCH), None] {
        samples = samples.account("pages/part_password.html", &Section { changed_at });
    }
    for form in FormState::samples() {
        for (email, username, closed) in [
            (Some(true), Some(false), false),
            (None, Some(true), false),
            (Some(false), None, true),
        ] {
            let page = SignUpPage {
                form: form.clone(),
                return_to: email.map(|_| "/<there>".to_owned()),
                email,
                username,
                password_min: 8,
                closed,
                invitation: email.map(|_| "<token>".to_owned()),
            };
            samples = samples.page("pages/sign_up.html", &page);
        }
        for has_one in [true, false] {
            let page = ChangePage {
                form: form.clone(),
                called: "<ada>".to_owned(),
                has_one,
                password_min: 8,
            };
            samples = samples.page("pages/password.html", &page);
        }
    }
    samples
}

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/sign-in", post(sign_in))
        .route("/account/sign-up", get(show_sign_up).post(sign_up))
        .merge(super::reset_pages::routes())
        .route("/account/password", get(show_change).post(change))
}

/// The way to sign in.
#[derive(Serialize)]
struct SignInWay {
    /// What is asked for: `email`, `username` or `either`.
    identifier: &'static str,
    sign_up: bool,
    /// Whether a forgotten one can be replaced.
    forgot: bool,
}

fn sign_in_part(visit: &Visit) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let settings = visit.house.settings();
    let way = SignInWay {
        identifier: match settings.accounts.identifier {
            Identifier::Email => "email",
            Identifier::Username => "username",
            Identifier::Both | Identifier::Either => "either",
        },
        sign_up: settings.signup.mode == SignupMode::Open,
        forgot: visit.house.sends_mail(),
    };
    let part = Part {
        order: 20,
        template: "pages/part_sign_in_password.html",
        data: template::context(&way),
    };
    Box::pin(std::future::ready(Ok(Some(part))))
}

/// `POST /account/sign-in`
async fn sign_in(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let identifier = fields.take_optional("identifier").unwrap_or_default();
    let login = Login {
        identifier: identifier.clone(),
        password: fields.take_optional("password").unwrap_or_default().into(),
        scope: None,
    };
    match visit.house.log_in_with_password(login, &visit.origin).await {
        Ok(step) => visit.step(step, return_to).await,
        Err(error) => {
            let form = FormState::with([("identifier", Some(identifier))]).failed(&visit, error)?;
            visit
                .sign_in_page(SignIn {
                    return_to,
                    form,
                    ..SignIn::default()
                })
                .await
        }
    }
}

#[derive(Serialize)]
struct SignUpPage {
    form: FormState,
    return_to: Option<String>,
    /// Which names are asked for, and which of them must be there.
    email: Option<bool>,
    username: Option<bool>,
    password_min: usize,
    closed: bool,
    /// What the link of an invitation holds.
    invitation: Option<String>,
}

fn sign_up_page(
    visit: &Visit,
    return_to: Option<String>,
    invitation: Option<String>,
    form: FormState,
) -> Result<Response, Error> {
    let settings = visit.house.settings();
    let (email, username) = match settings.accounts.identifier {
        Identifier::Email => (Some(true), None),
        Identifier::Username => (None, Some(true)),
        Identifier::Both => (Some(true), Some(true)),
        Identifier::Either => (Some(false), Some(false)),
    };
    let page = SignUpPage {
        return_to,
        email,
        username,
        password_min: settings.passwords.min_length,
        closed: match settings.signup.mode {
            SignupMode::Open => false,
            SignupMode::Invitation => invitation.is_none(),
            SignupMode::Closed => true,
        },
        invitation,
        form,
    };
    let status = if page.closed {
        StatusCode::FORBIDDEN
    } else {
        page.form.status()
    };
    Ok(page
        .form
        .complete(visit.page(status, "pages/sign_up.html", &page)?))
}

/// `GET /account/sign-up`
async fn show_sign_up(visit: Visit, uri: Uri) -> Result<Response, Error> {
    let return_to = query(&uri, "return_to");
    if visit.signed_in.is_some() {
        return Ok(page::redirect(&visit.destination(return_to.as_deref())));
    }
    let (mut form, mut invitation) = (FormState::default(), None);
    if let Some(token) = query(&uri, "token") {
        match visit.house.invited_address(&Secret::from(token.as_str())).await? {
            Some(email) => {
                form = FormState::with([("email", Some(email))]);
                invitation = Some(token);
            }
            None => form = form.failed(&visit, ticket_invalid())?,
        }
    }
    sign_up_page(&visit, return_to, invitation, form)
}

/// `POST /account/sign-up`
async fn sign_up(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let mut signup = read_signup(&mut fields);
    if let Some(language) = visit.chosen_language() {
        signup.profile.insert("locale".to_owned(), language.into());
    }
    let invitation = signup.invitation.as_ref().map(|token| token.expose().to_owned());
    let typed = FormState::with([
        ("email", signup.email.clone()),
        ("username", signup.username.clone()),
    ]);
    match visit.house.sign_up(signup, &visit.origin).await {
        Ok(SignedUp::In(step)) => visit.step(step, return_to).await,
        Ok(SignedUp::Untold) => Ok(done(&visit, "/account/sign-in", "signed_up")),
        Err(error) => {
            let form = typed.failed(&visit, error)?;
            sign_up_page(&visit, return_to, invitation, form)
        }
    }
}

fn read_signup(fields: &mut Fields) -> Signup {
    Signup {
        email: fields.take_optional("email"),
        username: fields.take_optional("username"),
        password: fields.take_optional("password").unwrap_or_default().into(),
        invitation: fields.take_optional("invitation").map(Secret::from),
        ..Signup::default()
    }
}

/// The section of the account page.
#[derive(Serialize)]
struct Section {
    changed_at: Option<Timestamp>,
}

fn account_part(member: &Member) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    Box::pin(async move {
        let changed_at = member.house.password_changed_at(member.user.id).await?;
        Ok(Some(Part {
            order: 20,
            template: "pages/part_password.html",
            data: template::context(&Section { changed_at }),
        }))
    })
}

#[derive(Serialize)]
struct ChangePage {
    form: FormState,
    called: String,
    /// Whether there is one that is changed.
    has_one: bool,
    password_min: usize,
}

async fn change_page(member: &Member, form: FormState) -> Result<Response, Error> {
    let page = ChangePage {
        called: member.signs_in_as(),
        has_one: has_one(member).await?,
        password_min: member.house.settings().passwords.min_length,
        form,
    };
    let status = page.form.status();
    Ok(page
        .form
        .complete(member.page(status, "pages/password.html", &page)?))
}

async fn has_one(member: &Member) -> Result<bool, Error> {
    let changed_at = member.house.password_changed_at(member.user.id).await?;
    Ok(changed_at.is_some())
}

/// `GET /account/password`
async fn show_change(member: Member) -> Result<Response, Error> {
    if let Some(proof) = member
        .prove_before(has_one(&member).await?, "/account/password")
        .await?
    {
        return Ok(proof);
    }
    change_page(&member, FormState::default()).await
}

/// `POST /account/password`
async fn change(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let current = fields.take_optional("current_password").map(Secret::from);
    let new = fields.take_optional("new_password").unwrap_or_default();
    let first = current.is_none();
    let (house, keep) = (&member.house, Some(member.session.id));
    let changed = house
        .change_password(&member.user, current, &new.into(), keep, &member.origin)
        .await;
    match changed {
        Ok(()) if first => Ok(done(&member, "/account", "password_set")),
        Ok(()) => Ok(done(&member, "/account", "password_changed")),
        Err(error) if error.code() == Code::FreshProofRequired => {
            member.prove_first(error, "/account/password")
        }
        Err(error) => {
            let form = FormState::default().of_password("current_password", &member, error)?;
            change_page(&member, form).await
        }
    }
}

fn export(house: &Tokenhouse, user: UserId) -> BoxFuture<'_, Result<serde_json::Value, Error>> {
    Box::pin(async move {
        let changed_at = house.password_changed_at(user).await?;
        Ok(serde_json::json!({ "changed_at": changed_at }))
    })
}
