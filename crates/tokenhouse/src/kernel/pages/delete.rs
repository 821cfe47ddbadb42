//! The end of an account, which its user confirms: by the password, or by having just proven again who they are.

use axum::response::Response;
use serde::Serialize;

use super::{FormState, Member, Posted, done};
use crate::base::error::{Code, Error};
use crate::base::http::cookie;
use crate::base::secret::Secret;

#[derive(Serialize)]
pub(super) struct DeletePage {
    pub(super) form: FormState,
    pub(super) called: String,
    pub(super) asks_password: bool,
}

async fn page(member: &Member, form: FormState) -> Result<Response, Error> {
    let page = DeletePage {
        called: member.signs_in_as(),
        asks_password: member.house.confirms_by_secret(&member.user).await?,
        form,
    };
    let response = member.page(page.form.status(), "pages/delete.html", &page)?;
    Ok(page.form.complete(response))
}

/// `GET /account/delete`
pub(super) async fn show(member: Member) -> Result<Response, Error> {
    let by_password = member.house.confirms_by_secret(&member.user).await?;
    if let Some(proof) = member.prove_before(by_password, "/account/delete").await? {
        return Ok(proof);
    }
    page(&member, FormState::default()).await
}

/// `POST /account/delete`
pub(super) async fn delete(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let password = fields.take_optional("password").map(Secret::from);
    let (house, session) = (&member.house, member.session.id);
    match house
        .delete_own_account(&member.user, session, password, &member.origin)
        .await
    {
        Ok(()) => {
            let mut response = done(&member, "/account/sign-in", "account_deleted");
            cookie::set(response.headers_mut(), house.0.browser.forget_session());
            Ok(response)
        }
        Err(error) if error.code() == Code::FreshProofRequired => {
            member.prove_first(error, "/account/delete")
        }
        Err(error) => {
            let form = FormState::default().of_password("password", &member, error)?;
            page(&member, form).await
        }
    }
}
