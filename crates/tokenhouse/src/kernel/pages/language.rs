//! The language of the pages, which can be chosen on each of them. A cookie remembers it in this browser; the account of
//! somebody who is signed in remembers it too, so that mails and other devices speak it.

use axum::response::Response;

use super::{Posted, Visit};
use crate::base::error::{Code, Error};
use crate::base::http::{cookie, page};
use crate::base::template::Language;
use crate::kernel::account::{User, UserChange};
use crate::kernel::house::Tokenhouse;

/// `POST /account/language`
pub(super) async fn choose(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let wanted = fields.take_optional("language").unwrap_or_default();
    let return_to = fields.take_optional("return_to").unwrap_or_default();
    let house = &visit.house;
    // Back to a page of this house: nowhere that only signing in may lead to.
    let back = page::destination(&return_to, &[]).unwrap_or_else(|| visit.path("/account"));
    let mut response = page::redirect(&back);
    if let Some(language) = house.0.templates.named(&wanted) {
        if let Some((user, _)) = &visit.signed_in {
            remember(house, user, language).await?;
        }
        cookie::set(
            response.headers_mut(),
            house.0.browser.keep_language(language.tag()),
        );
    }
    Ok(response)
}

async fn remember(house: &Tokenhouse, user: &User, language: &Language) -> Result<(), Error> {
    let own = user.profile.get("locale").and_then(serde_json::Value::as_str);
    let understood = own.and_then(|own| house.0.templates.understood(own));
    // `de-AT` says more than `de`, and is German already.
    if understood.is_some_and(|understood| understood.tag() == language.tag()) {
        return Ok(());
    }
    let mut profile = user.profile.clone();
    profile.insert("locale".to_owned(), language.tag().into());
    let change = UserChange {
        profile: Some(profile),
        ..UserChange::default()
    };
    match house.update_user(user.id, change).await {
        // An application may have filled the profile; the page is in the language all the same.
        Err(error) if error.code() != Code::InvalidFields => Err(error),
        _ => Ok(()),
    }
}
