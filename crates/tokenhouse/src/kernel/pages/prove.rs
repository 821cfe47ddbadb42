//! Proving again who one is, before something is changed that one signs in with; then back to what was asked for.

use axum::response::Response;
use http::Uri;
use serde::Serialize;

use super::visit::query;
use super::{FormState, Member, Part, Posted};
use crate::base::error::{Code, Error};
use crate::base::http::page;
use crate::kernel::login::Shown;

#[derive(Serialize)]
pub(super) struct ProvePage {
    pub(super) form: FormState,
    pub(super) return_to: Option<String>,
    /// The second factors that can be shown.
    pub(super) factors: Vec<&'static str>,
    pub(super) has_recovery_codes: bool,
    /// Whether typed codes are no longer looked at.
    pub(super) codes_stopped: bool,
    pub(super) has_password: bool,
    /// The other ways, where there is no second factor.
    pub(super) parts: Vec<Part>,
    pub(super) called: String,
    /// Where a code goes that has just been sent.
    pub(super) sent: Option<&'static str>,
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

    /// Leads to where one proves again who one is, where that is what confirms rather than the password, and it was not
    /// done for a while.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn prove_before(
        &self,
        by_password: bool,
        back: &str,
    ) -> Result<Option<Response>, Error> {
        if by_password {
            return Ok(None);
        }
        match self.house.require_fresh(self.session.id).await {
            Ok(_) => Ok(None),
            Err(error) => self.prove_first(error, back).map(Some),
        }
    }

    /// The page, with what was wrong; `sent` says where a code goes that has just been sent.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn prove_page(
        &self,
        form: FormState,
        return_to: Option<String>,
        sent: Option<&'static str>,
    ) -> Result<Response, Error> {
        let user = &self.user;
        let mut parts = Vec::new();
        for feature in &self.house.0.features {
            if let Some(part) = feature.pages.prove {
                parts.extend(part(self).await?);
            }
        }
        parts.sort_by_key(|part| part.order);
        let has_password = {
            let mut reader = self.house.0.store.read().await?;
            self.house.has_secret(&mut reader, user).await?
        };
        let page = ProvePage {
            form,
            return_to,
            factors: self.house.second_factors_of(user).await?,
            has_password,
            parts,
            has_recovery_codes: self.house.recovery_codes_left(user.id).await? > 0,
            codes_stopped: self.house.codes_are_stopped(user).await?,
            called: self.signs_in_as(),
            sent,
        };
        let response = self.page(page.form.status(), "pages/prove.html", &page)?;
        Ok(page.form.complete(response))
    }
}

/// `GET /account/prove`
pub(super) async fn show(member: Member, uri: Uri) -> Result<Response, Error> {
    member
        .prove_page(FormState::default(), query(&uri, "return_to"), None)
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
            member.prove_page(form, return_to, None).await
        }
    }
}
