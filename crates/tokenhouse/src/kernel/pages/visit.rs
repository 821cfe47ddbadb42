//! Who is at a page: an anonymous visitor, or a member who is signed in.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{StatusCode, Uri};
use minijinja::{Value, context};
use serde::Serialize;

use super::frame::Frame;
use crate::base::error::Error;
use crate::base::http::cookie;
use crate::base::http::{Origin, page};
use crate::base::secret::Secret;
use crate::base::template::{self, Language};
use crate::kernel::account::User;
use crate::kernel::house::Tokenhouse;
use crate::kernel::login::LoggedIn;
use crate::kernel::session::Session;
use crate::kernel::session::browser::Bound;

/// Somebody's visit to a page.
pub(crate) struct Visit {
    pub(crate) house: Tokenhouse,
    pub(crate) origin: Origin,
    /// Who is signed in in this browser.
    pub(crate) signed_in: Option<(User, Session)>,
    language: String,
    /// Whether the language was chosen on a page.
    is_chosen: bool,
    /// Whether the browser can ask for the same page again.
    is_repeatable: bool,
    mount: String,
    /// The path and query that were asked for, as the browser has them.
    address: String,
    /// What names this browser before it is signed in, and whether it has yet to be told.
    visitor: String,
    is_new: bool,
    /// What has just been done, by the key of its text.
    done: Option<String>,
}

/// A visit by somebody who is signed in; others are led to the sign-in page.
pub(crate) struct Member {
    pub(crate) visit: Visit,
    pub(crate) user: User,
    pub(crate) session: Session,
}

impl Member {
    /// For a password manager, which wants to know whose password it keeps.
    pub(crate) fn signs_in_as(&self) -> String {
        let user = &self.user;
        let name = user.email.as_ref().or(user.username.as_ref());
        name.cloned().unwrap_or_default()
    }
}

impl std::ops::Deref for Member {
    type Target = Visit;

    fn deref(&self) -> &Visit {
        &self.visit
    }
}

impl AsRef<Visit> for Visit {
    fn as_ref(&self) -> &Visit {
        self
    }
}

impl AsRef<Visit> for Member {
    fn as_ref(&self) -> &Visit {
        &self.visit
    }
}

impl Visit {
    /// An address of this house as the browser must have it, wherever the routes are mounted.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.mount)
    }

    /// Where to go once signed in: what was asked for, if one may be led there; else what the settings say.
    pub(crate) fn destination(&self, return_to: Option<&str>) -> String {
        let pages = &self.house.0.settings.pages;
        let allowed = |text: &str| page::destination(text, &pages.return_origins);
        return_to
            .and_then(allowed)
            .or_else(|| pages.after_sign_in.as_deref().and_then(allowed))
            .unwrap_or_else(|| self.path("/account"))
    }

    /// The language of the page.
    pub(crate) fn language(&self) -> &Language {
        self.house.0.templates.language(&self.language)
    }

    /// The language that was chosen on a page, in this browser.
    pub(crate) fn chosen_language(&self) -> Option<&str> {
        self.is_chosen.then_some(self.language.as_str())
    }

    /// The token that this browser's forms have in the field `csrf`.
    pub(crate) fn form_token(&self) -> String {
        self.house.0.browser.form_token(match &self.signed_in {
            Some((_, session)) => Bound::Session(session.id),
            None => Bound::Visitor(&self.visitor),
        })
    }

    /// Whether a form was shown to this browser. One that was shown before signing in in another tab still counts.
    pub(super) fn was_shown(&self, token: &str) -> bool {
        let keys = &self.house.0.browser;
        let by_session =
            |(_, session): &(User, Session)| keys.is_form_token(Bound::Session(session.id), token);
        self.signed_in.as_ref().is_some_and(by_session)
            || !self.is_new && keys.is_form_token(Bound::Visitor(&self.visitor), token)
    }

    /// A page: a template, with what is its own beside what every page has as `page`.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub(crate) fn page(
        &self,
        status: StatusCode,
        template: &str,
        own: &impl Serialize,
    ) -> Result<Response, Error> {
        let html = self.language().render(
            template,
            context! { page => self.frame(), ..template::context(own) },
        )?;
        let mut response = page::respond(status, html, &self.house.0.look.policy);
        if self.is_new && self.signed_in.is_none() {
            let keys = &self.house.0.browser;
            cookie::set(response.headers_mut(), keys.keep_visitor(&self.visitor));
        }
        Ok(response)
    }

    fn frame(&self) -> Value {
        let language = self.language();
        let done = self
            .done
            .as_ref()
            .and_then(|what| language.text(&format!("done.{what}"), &[]));
        let mut frame = Frame::new(&self.house.0.look, language, &self.mount);
        if self.is_repeatable {
            frame = frame.in_other_languages(&self.house.0.templates, self.here());
        }
        template::context(&frame.of_visit(self.form_token(), self.signed_in.is_some(), done))
    }

    /// The address of this page, without what has just been done: that is told once.
    fn here(&self) -> String {
        match self.address.split_once('?') {
            Some((path, _)) if self.done.is_some() => path.to_owned(),
            _ => self.address.clone(),
        }
    }

    /// Signs somebody in in this browser, and leads on. The session is a new one, whatever the browser held before.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(crate) async fn sign_in(&self, login: &LoggedIn, return_to: Option<&str>) -> Result<Response, Error> {
        if let Some((user, session)) = &self.signed_in {
            self.house.end_session(user.id, session.id, &self.origin).await?;
        }
        let mut response = page::redirect(&self.destination(return_to));
        cookie::set(response.headers_mut(), self.house.keep_session(&login.session));
        Ok(response)
    }

    /// The same after a second factor was set up on the way: the recovery codes are shown before.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub(crate) async fn sign_in_with_codes(
        &self,
        login: &LoggedIn,
        codes: &[Secret],
        return_to: Option<&str>,
    ) -> Result<Response, Error> {
        let signed_in = self.sign_in(login, return_to).await?;
        let mut response = self.recovery_codes_page(codes, self.destination(return_to))?;
        cookie::set(response.headers_mut(), self.house.keep_session(&login.session));
        drop(signed_in);
        Ok(response)
    }

    /// Where somebody must go first who is not signed in.
    fn to_sign_in(&self, back: bool) -> Response {
        let sign_in = self.path("/account/sign-in");
        if back && self.address != self.path("/account") {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("return_to", &self.address)
                .finish();
            return page::redirect(&format!("{sign_in}?{query}"));
        }
        page::redirect(&sign_in)
    }
}

impl FromRequestParts<Tokenhouse> for Visit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, house: &Tokenhouse) -> Result<Self, Error> {
        let Ok(mut origin) = Origin::from_request_parts(parts, house).await;
        let signed_in = house.browser_session(&parts.headers).await?;
        let chosen = chosen(house, &parts.headers).map(str::to_owned);
        if chosen.is_some() {
            // So that a mail which is asked for here is in the same language.
            origin.languages.clone_from(&chosen);
        }
        let user = signed_in.as_ref().map(|(user, _)| user);
        let is_chosen = chosen.is_some();
        let language = chosen.unwrap_or_else(|| house.language_for(user, &origin).tag().to_owned());
        let known = house.0.browser.visitor(&parts.headers).map(str::to_owned);
        let is_new = known.is_none();
        let visitor = match known {
            Some(visitor) => visitor,
            None => BASE64URL_NOPAD.encode(&house.0.entropy.bytes::<16>()?),
        };
        let original = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |uri| &uri.0);
        Ok(Self {
            origin,
            signed_in,
            language,
            is_chosen,
            is_repeatable: parts.method.is_safe(),
            mount: mount(house, original, &parts.uri),
            address: address(house, original, &parts.uri),
            visitor,
            is_new,
            done: query(&parts.uri, "done")
                .filter(|what| what.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
            house: house.clone(),
        })
    }
}

impl FromRequestParts<Tokenhouse> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, house: &Tokenhouse) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, house)
            .await
            .map_err(IntoResponse::into_response)?;
        match visit.signed_in.clone() {
            Some((user, session)) => Ok(Self { visit, user, session }),
            None => Err(visit.to_sign_in(parts.method.is_safe())),
        }
    }
}

/// The tag of the language that was chosen on a page, if there is such a language.
fn chosen<'a>(house: &'a Tokenhouse, headers: &http::HeaderMap) -> Option<&'a str> {
    let tag = house.0.browser.language(headers)?;
    house.0.templates.named(tag).map(Language::tag)
}

/// The tag of the language that was chosen, or that the browser wants.
pub(super) fn language(house: &Tokenhouse, headers: &http::HeaderMap) -> String {
    if let Some(chosen) = chosen(house, headers) {
        return chosen.to_owned();
    }
    let accepted = headers
        .get(http::header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    house.0.templates.best(accepted).tag().to_owned()
}

/// What stands before our own paths in the browser: where the application has mounted the routes, and what a proxy
/// takes off before, of which only `public_url` knows.
pub(super) fn mount(house: &Tokenhouse, original: &Uri, inner: &Uri) -> String {
    let nested = original.path().strip_suffix(inner.path()).unwrap_or_default();
    let public = url::Url::parse(&house.0.settings.public_url).ok();
    let public = public.as_ref().map_or("", |url| url.path()).trim_end_matches('/');
    if public.ends_with(nested) { public } else { nested }.to_owned()
}

fn address(house: &Tokenhouse, original: &Uri, inner: &Uri) -> String {
    let path = inner.path_and_query().map_or("/", |path| path.as_str());
    format!("{}{path}", mount(house, original, inner))
}

/// The one value of a parameter in the query.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(uri.query()?.as_bytes()).filter(|(key, _)| key == name);
    let value = values.next()?.1.into_owned();
    values.next().is_none().then_some(value)
}
