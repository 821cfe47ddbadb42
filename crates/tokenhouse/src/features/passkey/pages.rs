//! The pages of passkeys: sign in with one, make, name and remove them. They are the one thing that needs a script: it
//! hands the options to the browser, puts what comes back into the form, and sends it.

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Passkey, PasskeyOptions, no_such_passkey};
use crate::base::error::{Code, Error};
use crate::base::http::{Fields, page};
use crate::base::secret::Secret;
use crate::base::template;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{FormState, Member, Pages, Part, Posted, Samples, SignIn, Visit, done};

pub(super) const PAGES: Pages = Pages {
    routes,
    sign_in: Some(sign_in_part),
    account: Some(account_part),
    prove: None,
    export: Some(|house, user| Box::pin(async move { Ok(serde_json::json!(house.passkeys(user).await?)) })),
    samples,
};

fn samples() -> Samples {
    let passkey = |used: bool| Passkey {
        id: Uuid::nil(),
        name: "<key>".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        last_used_at: used.then_some(Timestamp::UNIX_EPOCH),
        signs_in_alone: used,
        backup_eligible: used,
        backed_up: used,
        transports: Vec::new(),
        aaguid: Uuid::nil(),
    };
    let mut samples = Samples::default().sign_in("pages/part_sign_in_passkey.html", &());
    for passkeys in [vec![passkey(true), passkey(false)], Vec::new()] {
        samples = samples.account("pages/part_passkeys.html", &Section { passkeys });
    }
    for form in FormState::samples() {
        for purpose in ["sign_in", "second_step", "prove", "new"] {
            let full = purpose == "new";
            let page = CeremonyPage {
                form: form.clone(),
                what: if full { "create" } else { "get" },
                purpose,
                action: "/account/passkeys/finish",
                options: "<options>".to_owned(),
                return_to: full.then(|| "/<there>".to_owned()),
                mfa_token: full.then(|| "<token>".to_owned()),
            };
            samples = samples.page("pages/passkey.html", &page);
        }
        for used in [true, false] {
            let page = PasskeyPage {
                form: form.clone(),
                passkey: passkey(used),
            };
            samples = samples.page("pages/passkey_edit.html", &page);
        }
    }
    samples
}

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/sign-in/passkey", post(begin_sign_in))
        .route("/account/sign-in/passkey/finish", post(finish_sign_in))
        .route("/account/second-step/passkey", post(begin_second_step))
        .route("/account/set-up/passkey", post(begin_at_login))
        .route("/account/set-up/passkey/finish", post(finish_at_login))
        .route("/account/prove/passkey", post(begin_proof))
        .route("/account/prove/passkey/finish", post(finish_proof))
        .route("/account/passkeys/new", get(begin))
        .route("/account/passkeys/finish", post(finish))
        .route("/account/passkeys/{id}", get(show).post(rename))
        .route("/account/passkeys/{id}/remove", post(remove))
}

fn sign_in_part(_: &Visit) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    let part = Part {
        order: 30,
        template: "pages/part_sign_in_passkey.html",
        data: template::context(&()),
    };
    Box::pin(std::future::ready(Ok(Some(part))))
}

#[derive(Serialize)]
struct Section {
    passkeys: Vec<Passkey>,
}

fn account_part(member: &Member) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    Box::pin(async move {
        let passkeys = member.house.passkeys(member.user.id).await?;
        Ok(Some(Part {
            order: 40,
            template: "pages/part_passkeys.html",
            data: template::context(&Section { passkeys }),
        }))
    })
}

/// What the browser is to do with a passkey.
#[derive(Serialize)]
struct CeremonyPage {
    form: FormState,
    /// `create` or `get`.
    what: &'static str,
    /// What it is for: the key of the page's texts.
    purpose: &'static str,
    action: &'static str,
    /// For the script, as JSON.
    options: String,
    return_to: Option<String>,
    mfa_token: Option<String>,
}

impl CeremonyPage {
    fn get(purpose: &'static str, action: &'static str, options: &PasskeyOptions) -> Self {
        Self {
            form: FormState::default(),
            what: "get",
            purpose,
            action,
            options: options.public_key.to_string(),
            return_to: None,
            mfa_token: None,
        }
    }

    fn create(action: &'static str, options: &PasskeyOptions) -> Self {
        Self {
            what: "create",
            ..Self::get("new", action, options)
        }
    }

    fn show(&self, visit: &Visit) -> Result<Response, Error> {
        visit.page(self.form.status(), "pages/passkey.html", self)
    }
}

/// What the script put into the form; nothing where there was no script.
fn credential(fields: &mut Fields) -> Map<String, Value> {
    fields
        .take_optional("credential")
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn token(fields: &mut Fields) -> Option<Secret> {
    fields.take_optional("mfa_token").map(Secret::from)
}

/// What the browser gave could not be read: for a person that is a passkey that did not work.
fn as_refused(error: Error) -> Error {
    if error.code() == Code::InvalidFields
        && error.fields().iter().any(|fault| fault.pointer == "/credential")
    {
        return Error::new(Code::PasskeyInvalid, "the passkey did not work");
    }
    error
}

/// `POST /account/sign-in/passkey`
async fn begin_sign_in(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let options = visit.house.begin_passkey_sign_in().await?;
    CeremonyPage {
        return_to: fields.take_optional("return_to"),
        ..CeremonyPage::get("sign_in", "/account/sign-in/passkey/finish", &options)
    }
    .show(&visit)
}

/// `POST /account/second-step/passkey`
async fn begin_second_step(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = token(&mut fields).unwrap_or_default();
    match visit.house.begin_passkey_second_step(&token).await {
        Ok(options) => CeremonyPage {
            return_to,
            mfa_token: Some(token.expose().to_owned()),
            ..CeremonyPage::get("second_step", "/account/sign-in/passkey/finish", &options)
        }
        .show(&visit),
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}

/// `POST /account/sign-in/passkey/finish`
async fn finish_sign_in(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let credential = credential(&mut fields);
    if let Some(token) = token(&mut fields) {
        let login = visit
            .house
            .log_in_with_passkey_second(&token, credential, &visit.origin)
            .await;
        return match login {
            Ok(login) => visit.sign_in(&login, return_to.as_deref()).await,
            Err(error) => {
                visit
                    .second_step_again(as_refused(error), &token, return_to)
                    .await
            }
        };
    }
    match visit
        .house
        .log_in_with_passkey(credential, None, &visit.origin)
        .await
    {
        Ok(step) => visit.step(step, return_to).await,
        Err(error) => {
            let form = FormState::default().failed(&visit, as_refused(error))?;
            let sign_in = SignIn {
                return_to,
                form,
                ..SignIn::default()
            };
            visit.sign_in_page(sign_in).await
        }
    }
}

/// `POST /account/set-up/passkey`
async fn begin_at_login(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = token(&mut fields).unwrap_or_default();
    match visit.house.begin_passkey_at_login(&token).await {
        Ok(options) => CeremonyPage {
            return_to,
            mfa_token: Some(token.expose().to_owned()),
            ..CeremonyPage::create("/account/set-up/passkey/finish", &options)
        }
        .show(&visit),
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}

/// `POST /account/set-up/passkey/finish`
async fn finish_at_login(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = token(&mut fields).unwrap_or_default();
    let (credential, name) = (credential(&mut fields), name(&mut fields));
    match visit
        .house
        .finish_passkey_at_login(&token, credential, name.as_deref(), &visit.origin)
        .await
    {
        Ok((login, codes)) => {
            visit
                .sign_in_with_codes(&login, &codes, return_to.as_deref())
                .await
        }
        Err(error) => {
            visit
                .second_step_again(as_refused(error), &token, return_to)
                .await
        }
    }
}

/// `POST /account/prove/passkey`
async fn begin_proof(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let options = member.house.begin_passkey_proof(&member.user).await?;
    CeremonyPage {
        return_to: fields.take_optional("return_to"),
        ..CeremonyPage::get("prove", "/account/prove/passkey/finish", &options)
    }
    .show(&member)
}

/// `POST /account/prove/passkey/finish`
async fn finish_proof(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let credential = credential(&mut fields);
    let (user, session) = (&member.user, member.session.id);
    match member
        .house
        .prove_again_with_passkey(user, session, credential, &member.origin)
        .await
    {
        Ok(()) => Ok(page::redirect(&member.destination(return_to.as_deref()))),
        Err(error) => {
            let form = FormState::default().failed(&member, as_refused(error))?;
            member.prove_page(form, return_to, None).await
        }
    }
}

/// `GET /account/passkeys/new`
async fn begin(member: Member) -> Result<Response, Error> {
    match member.house.begin_passkey(&member.user, member.session.id).await {
        Ok(options) => CeremonyPage::create("/account/passkeys/finish", &options).show(&member),
        Err(error) => member.prove_first(error, "/account/passkeys/new"),
    }
}

/// An empty name is none.
fn name(fields: &mut Fields) -> Option<String> {
    let name = fields.take_optional("name")?;
    let name: String = name.trim().chars().take(super::MAX_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// `POST /account/passkeys/finish`
async fn finish(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let (credential, name) = (credential(&mut fields), name(&mut fields));
    let (user, session) = (&member.user, member.session.id);
    let kept = member
        .house
        .finish_passkey(user, session, credential, name.as_deref(), &member.origin)
        .await;
    match kept.map_err(as_refused) {
        Ok((_, codes)) if codes.is_empty() => Ok(done(&member, "/account", "passkey_made")),
        Ok((_, codes)) => member.recovery_codes_page(&codes, member.path("/account")),
        Err(error) if error.code() == Code::PasskeyInvalid => {
            let form = FormState::default().failed(&member, error)?;
            let options = member.house.begin_passkey(user, session).await?;
            CeremonyPage {
                form,
                ..CeremonyPage::create("/account/passkeys/finish", &options)
            }
            .show(&member)
        }
        Err(error) => member.prove_first(error, "/account/passkeys/new"),
    }
}

#[derive(Serialize)]
struct PasskeyPage {
    form: FormState,
    passkey: Passkey,
}

async fn passkey_page(member: &Member, id: Uuid, form: FormState) -> Result<Response, Error> {
    let passkeys = member.house.passkeys(member.user.id).await?;
    let passkey = passkeys
        .into_iter()
        .find(|passkey| passkey.id == id)
        .ok_or_else(no_such_passkey)?;
    let page = PasskeyPage { form, passkey };
    member.page(page.form.status(), "pages/passkey_edit.html", &page)
}

/// `GET /account/passkeys/{id}`
async fn show(id: Result<Path<Uuid>, PathRejection>, member: Member) -> Result<Response, Error> {
    let Path(id) = id.map_err(|_| no_such_passkey())?;
    let passkeys = member.house.passkeys(member.user.id).await?;
    let name = passkeys
        .iter()
        .find(|one| one.id == id)
        .map(|one| one.name.clone());
    passkey_page(&member, id, FormState::with([("name", name)])).await
}

/// `POST /account/passkeys/{id}`
async fn rename(
    id: Result<Path<Uuid>, PathRejection>,
    Posted(member, mut fields): Posted<Member>,
) -> Result<Response, Error> {
    let Path(id) = id.map_err(|_| no_such_passkey())?;
    let name = fields.take_optional("name").unwrap_or_default();
    match member.house.rename_passkey(member.user.id, id, &name).await {
        Ok(()) => Ok(done(&member, "/account", "passkey_named")),
        Err(error) => {
            let form = FormState::with([("name", Some(name))]).failed(&member, error)?;
            passkey_page(&member, id, form).await
        }
    }
}

/// `POST /account/passkeys/{id}/remove`
async fn remove(
    id: Result<Path<Uuid>, PathRejection>,
    Posted(member, _): Posted<Member>,
) -> Result<Response, Error> {
    let Path(id) = id.map_err(|_| no_such_passkey())?;
    let (user, session) = (&member.user, member.session.id);
    match member
        .house
        .remove_passkey(user, session, id, &member.origin)
        .await
    {
        Ok(()) => Ok(done(&member, "/account", "passkey_removed")),
        Err(error) => match error.code() {
            Code::LastWayIn => Ok(done(&member, "/account", "last_way_in")),
            Code::SecondFactorRequired => Ok(done(&member, "/account", "second_factor_stays")),
            _ => member.prove_first(error, &format!("/account/passkeys/{id}")),
        },
    }
}
