//! The pages of authenticator apps: set one up, also during a login, and stop using it.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{TotpEnrolment, sql};
use crate::base::error::{Code, Error};
use crate::base::secret::Secret;
use crate::base::template;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{FormState, Member, Pages, Part, Posted, Samples, Visit, done};

pub(super) const PAGES: Pages = Pages {
    routes,
    sign_in: None,
    account: Some(account_part),
    prove: None,
    export: Some(|house, user| {
        Box::pin(async move {
            let (since, until) = sql::dates(&mut house.0.store.read().await?, user).await?;
            Ok(serde_json::json!({ "used_since": since, "can_be_confirmed_until": until }))
        })
    }),
    samples,
};

fn samples() -> Samples {
    let mut samples = Samples::default();
    for set_up in [true, false] {
        samples = samples.account("pages/part_totp.html", &Section { set_up });
        for form in FormState::samples() {
            let page = EnrolmentPage {
                form,
                action: "/account/totp/confirm",
                secret: "<secret>".to_owned(),
                uri: "<uri>".to_owned(),
                qr_code: "<svg></svg>".to_owned(),
                mfa_token: set_up.then(|| "<token>".to_owned()),
                return_to: set_up.then(|| "/<there>".to_owned()),
            };
            samples = samples.page("pages/totp.html", &page);
        }
    }
    samples
}

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/totp", get(show))
        .route("/account/totp/confirm", post(confirm))
        .route("/account/totp/remove", post(remove))
        .route("/account/set-up/totp", post(show_at_login))
        .route("/account/set-up/totp/confirm", post(confirm_at_login))
}

#[derive(Serialize)]
struct Section {
    set_up: bool,
}

fn account_part(member: &Member) -> BoxFuture<'_, Result<Option<Part>, Error>> {
    Box::pin(async move {
        let set_up = member.house.uses_totp(member.user.id).await?;
        Ok(Some(Part {
            order: 30,
            template: "pages/part_totp.html",
            data: template::context(&Section { set_up }),
        }))
    })
}

#[derive(Serialize)]
struct EnrolmentPage {
    form: FormState,
    action: &'static str,
    secret: String,
    uri: String,
    qr_code: String,
    /// During a login.
    mfa_token: Option<String>,
    return_to: Option<String>,
}

fn enrolment_page(
    visit: &Visit,
    enrolment: &TotpEnrolment,
    login: Option<(&Secret, Option<String>)>,
    form: FormState,
) -> Result<Response, Error> {
    let secret: Vec<char> = enrolment.secret.expose().chars().collect();
    let groups: Vec<String> = secret.chunks(4).map(|group| group.iter().collect()).collect();
    let (mfa_token, return_to) = match login {
        Some((token, return_to)) => (Some(token.expose().to_owned()), return_to),
        None => (None, None),
    };
    let page = EnrolmentPage {
        action: if mfa_token.is_some() {
            "/account/set-up/totp/confirm"
        } else {
            "/account/totp/confirm"
        },
        secret: groups.join(" "),
        uri: enrolment.uri.expose().to_owned(),
        qr_code: enrolment.qr_code.expose().to_owned(),
        mfa_token,
        return_to,
        form,
    };
    visit.page(page.form.status(), "pages/totp.html", &page)
}

/// `GET /account/totp`: a new secret each time, which counts for nothing until it is confirmed.
async fn show(member: Member) -> Result<Response, Error> {
    match member.house.begin_totp(&member.user, member.session.id).await {
        Ok(enrolment) => enrolment_page(&member, &enrolment, None, FormState::default()),
        Err(error) => member.prove_first(error, "/account/totp"),
    }
}

/// `POST /account/totp/confirm`
async fn confirm(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let (house, user, session) = (&member.house, &member.user, member.session.id);
    let code = Secret::from(fields.take_optional("code").unwrap_or_default());
    match house.confirm_totp(user, session, &code, &member.origin).await {
        Ok(codes) if codes.is_empty() => Ok(done(&member, "/account", "totp_set_up")),
        Ok(codes) => member.recovery_codes_page(&codes, member.path("/account")),
        Err(error) if error.code() == Code::MfaInvalid => {
            let enrolment = house.totp_begun(user).await?;
            let form = wrong_code(&member);
            enrolment_page(&member, &enrolment, None, form)
        }
        Err(error) => member.prove_first(error, "/account/totp"),
    }
}

fn wrong_code(visit: &Visit) -> FormState {
    let mut form = FormState::default();
    let words = visit.language().text("fault.code_wrong", &[]);
    form.fault("code", words.unwrap_or_default());
    form
}

/// `POST /account/totp/remove`
async fn remove(Posted(member, _): Posted<Member>) -> Result<Response, Error> {
    let removed = member
        .house
        .remove_totp(&member.user, member.session.id, &member.origin)
        .await;
    match removed {
        Ok(()) => Ok(done(&member, "/account", "totp_removed")),
        Err(error) if error.code() == Code::NotFound => Ok(done(&member, "/account", "totp_removed")),
        Err(error) if error.code() == Code::SecondFactorRequired => {
            Ok(done(&member, "/account", "second_factor_stays"))
        }
        Err(error) => member.prove_first(error, "/account"),
    }
}

/// `POST /account/set-up/totp`
async fn show_at_login(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = Secret::from(fields.take_optional("mfa_token").unwrap_or_default());
    match visit.house.begin_totp_at_login(&token).await {
        Ok(enrolment) => enrolment_page(
            &visit,
            &enrolment,
            Some((&token, return_to)),
            FormState::default(),
        ),
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}

/// `POST /account/set-up/totp/confirm`
async fn confirm_at_login(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = Secret::from(fields.take_optional("mfa_token").unwrap_or_default());
    let code = Secret::from(fields.take_optional("code").unwrap_or_default());
    match visit
        .house
        .confirm_totp_at_login(&token, &code, &visit.origin)
        .await
    {
        Ok((login, codes)) => {
            visit
                .sign_in_with_codes(&login, &codes, return_to.as_deref())
                .await
        }
        Err(error) if error.code() == Code::MfaInvalid => {
            let enrolment = visit.house.totp_begun_at_login(&token).await?;
            enrolment_page(&visit, &enrolment, Some((&token, return_to)), wrong_code(&visit))
        }
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}
