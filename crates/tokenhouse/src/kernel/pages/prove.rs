//! Proving again who one is, before something is changed that one signs in with; then back to what was asked for.

use axum::response::Response;
use http::Uri;
use serde::Serialize;

use super::visit::query;
use super::{FormState, Member, Posted};
use crate::base::error::{Code, Error};
use crate::base::http::page;
use crate::kernel::login::Shown;

#[derive(Serialize)]
pub(super) struct ProvePage {
    pub(super) form: FormState,
    pub(super) return_to: Option<String>,
    /// What can be shown; nothing where the password is all there is.
    pub(super) factors: Vec<&'static str>,
    pub(super) has_recovery_codes: bool,
    /// Whether typed codes are no longer looked at.
    pub(super) codes_stopped: bool,
    pub(super) called: String,
    pub(super) sent: bool,
}

impl Member {
    /// Leads to where one proves again who one is, where that is what `error` asks for. `back` is a page that can be
    /// shown again.
    ///
    /// # Errors
    /// `error`, where it is another.
    pub(crate) fn prove_first(&self, error: Error, back: &str) -> Result<Response, Error> {
        if error.code() != Code::FreshProofRequired {
            return Err(error);
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("return_to", &self.path(back))
            .finish();
        Ok(page::redirect(&format!(
            "{}?{query}",
            self.path("/account/prove")
        )))
    }

    /// The page, with what was wrong.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn prove_page(
        &self,
        form: FormState,
        return_to: Option<String>,
        sent: bool,
    ) -> Result<Response, Error> {
        let user = &self.user;
        let page = ProvePage {
            form,
            return_to,
            factors: self.house.second_factors_of(user).await?,
            has_recovery_codes: self.house.recovery_codes_left(user.id).await? > 0,
            codes_stopped: self.house.codes_are_stopped(user).await?,
            called: user
                .email
                .as_ref()
                .or(user.username.as_ref())
                .cloned()
                .unwrap_or_default(),
            sent,
        };
        let response = self.page(page.form.status(), "pages/prove.html", &page)?;
        Ok(page.form.complete(response))
    }
}

/// `GET /account/prove`
pub(super) async fn show(member: Member, uri: Uri) -> Result<Response, Error> {
    member
        .prove_page(FormState::default(), query(&uri, "return_to"), false)
        .await
}

/// `POST /account/prove`
pub(super) async fn prove(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let (house, user, session) = (&member.house, &member.user, member.session.id);
    let proven = if let Some(password) = fields.take_optional("password") {
        house
            .prove_again_by_secret(user, session, password.into(), &member.origin)
            .await
    } else {
        let shown = match fields.take_optional("recovery_code") {
            Some(code) => Shown::RecoveryCode(code.into()),
            None => Shown::Code(fields.take_optional("code").unwrap_or_default().into()),
        };
        house.prove_again(user, session, &shown, &member.origin).await
    };
    match proven {
        Ok(()) => Ok(page::redirect(&member.destination(return_to.as_deref()))),
        Err(error) => {
            let form = FormState::default().failed(&member, error)?;
            member.prove_page(form, return_to, false).await
        }
    }
}
