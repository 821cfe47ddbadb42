//! The second step of signing in: a code, a recovery code, or a passkey; or, for somebody who must have a second factor
//! and has none, what to set up. What holds the two steps together is a token in the form: it opens nothing by itself.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::sign_in::SignIn;
use super::{FormState, Posted, Visit};
use crate::base::error::{Code, Error};
use crate::base::secret::Secret;
use crate::kernel::login::{SecondStep, Shown, Step};

#[derive(Serialize)]
pub(super) struct SecondStepPage {
    pub(super) form: FormState,
    pub(super) return_to: Option<String>,
    pub(super) mfa_token: String,
    pub(super) factors: Vec<&'static str>,
    /// Whether a code has just been sent.
    pub(super) sent: bool,
}

#[derive(Serialize)]
pub(super) struct SetUpPage {
    pub(super) return_to: Option<String>,
    pub(super) mfa_token: String,
    pub(super) set_up: Vec<&'static str>,
}

impl Visit {
    /// Signs in whoever lacks nothing, and shows the others what does.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn step(&self, step: Step, return_to: Option<String>) -> Result<Response, Error> {
        let second = match step {
            Step::Done(login) => return self.sign_in(&login, return_to.as_deref()).await,
            Step::Need(second) => second,
        };
        let SecondStep {
            mfa_token,
            factors,
            set_up,
            ..
        } = second;
        let mfa_token = mfa_token.expose().to_owned();
        if !set_up.is_empty() {
            let page = SetUpPage {
                return_to,
                mfa_token,
                set_up,
            };
            return self.page(StatusCode::OK, "pages/set_up.html", &page);
        }
        second_step(
            self,
            SecondStepPage {
                form: FormState::default(),
                return_to,
                mfa_token,
                factors,
                sent: false,
            },
        )
    }

    /// The second step again, with what was wrong; or the sign-in page, where it has to begin anew.
    ///
    /// # Errors
    /// Those that no other code would help against.
    pub(crate) async fn second_step_again(
        &self,
        error: Error,
        mfa_token: &Secret,
        return_to: Option<String>,
    ) -> Result<Response, Error> {
        let begins_anew = error.code() == Code::MfaExpired;
        let form = FormState::default().failed(self, error)?;
        let factors = match self.house.factors_at_second_step(mfa_token).await {
            Ok(factors) if !begins_anew => factors,
            _ => {
                let sign_in = SignIn {
                    return_to,
                    form,
                    ..SignIn::default()
                };
                return self.sign_in_page(sign_in).await;
            }
        };
        second_step(
            self,
            SecondStepPage {
                form,
                return_to,
                mfa_token: mfa_token.expose().to_owned(),
                factors,
                sent: false,
            },
        )
    }
}

fn second_step(visit: &Visit, page: SecondStepPage) -> Result<Response, Error> {
    let response = visit.page(page.form.status(), "pages/second_step.html", &page)?;
    Ok(page.form.complete(response))
}

/// `POST /account/second-step`
pub(super) async fn take(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = Secret::from(fields.take_optional("mfa_token").unwrap_or_default());
    let shown = match fields.take_optional("recovery_code") {
        Some(code) => Shown::RecoveryCode(code.into()),
        None => Shown::Code(fields.take_optional("code").unwrap_or_default().into()),
    };
    let taken = visit
        .house
        .log_in_with_second_factor(&token, &shown, &visit.origin)
        .await;
    match taken {
        Ok(login) => visit.sign_in(&login, return_to.as_deref()).await,
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}

/// `POST /account/second-step/sent`: the page again, after a feature has sent a code.
pub(crate) async fn sent(
    visit: &Visit,
    mfa_token: &Secret,
    return_to: Option<String>,
) -> Result<Response, Error> {
    let factors = visit.house.factors_at_second_step(mfa_token).await?;
    second_step(
        visit,
        SecondStepPage {
            form: FormState::default(),
            return_to,
            mfa_token: mfa_token.expose().to_owned(),
            factors,
            sent: true,
        },
    )
}
