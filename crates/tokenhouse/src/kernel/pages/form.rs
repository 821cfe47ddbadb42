//! Forms: taken only from our own pages, and shown again with what was typed when something is wrong.

use std::collections::BTreeMap;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::visit::Visit;
use crate::base::error::{Code, Error};
use crate::base::http::Fields;
use crate::base::http::body::{self, BodyLimits};
use crate::base::http::page::{self, Sender};
use crate::base::template::Language;
use crate::kernel::house::Tokenhouse;
use crate::kernel::session::browser;

/// A form that a page of ours showed to this browser, and who sends it: a [`Visit`], or a [`Member`](super::Member).
pub(crate) struct Posted<V>(pub(crate) V, pub(crate) Fields);

impl<V> FromRequest<Tokenhouse> for Posted<V>
where
    V: FromRequestParts<Tokenhouse> + AsRef<Visit> + Send,
    V::Rejection: IntoResponse,
{
    type Rejection = Response;

    async fn from_request(request: Request, house: &Tokenhouse) -> Result<Self, Response> {
        let refused = IntoResponse::into_response;
        let (mut parts, body) = request.into_parts();
        let visit = V::from_request_parts(&mut parts, house)
            .await
            .map_err(IntoResponse::into_response)?;
        if page::sender(&parts.headers, &house.0.settings.public_url) == Sender::Foreign {
            return Err(refused(browser::foreign()));
        }
        let request = Request::from_parts(parts, body);
        let mut fields = body::read_form(request, BodyLimits::from_ref(house))
            .await
            .map_err(refused)?;
        let token = fields.take_optional("csrf").unwrap_or_default();
        if !visit.as_ref().was_shown(&token) {
            return Err(refused(browser::foreign()));
        }
        Ok(Self(visit, fields))
    }
}

/// A form as it is shown: what was typed, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FormState {
    /// What was typed, by field; never a password.
    pub(crate) values: BTreeMap<String, String>,
    /// What is wrong, by field.
    pub(crate) errors: BTreeMap<String, String>,
    /// What is wrong with the whole.
    pub(crate) message: Option<String>,
    #[serde(skip)]
    status: Option<StatusCode>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl FormState {
    /// With what is already known.
    pub(crate) fn with(values: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        Self {
            values: values
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            ..Self::default()
        }
    }

    /// What is wrong, in the page's language; an error that no change of the form helps against stays an error.
    pub(crate) fn failed(mut self, visit: &Visit, error: Error) -> Result<Self, Error> {
        let (house, language) = (&visit.house, visit.language());
        match error.code() {
            Code::InvalidFields => {
                for fault in error.fields() {
                    let field = fault.pointer.trim_start_matches('/').to_owned();
                    let words = fault_words(house, language, &fault.code)
                        .unwrap_or_else(|| fault.detail.clone().into_owned());
                    self.errors.entry(field).or_insert(words);
                }
            }
            Code::EmailTaken => drop(self.errors.insert("email".to_owned(), words(language, &error)?)),
            Code::UsernameTaken => drop(
                self.errors
                    .insert("username".to_owned(), words(language, &error)?),
            ),
            Code::Internal | Code::Unavailable | Code::CrossSiteRequest | Code::MalformedBody => {
                return Err(error);
            }
            _ => self.message = Some(words(language, &error)?),
        }
        self.status = Some(match error.code() {
            Code::RateLimited | Code::AccountLocked | Code::Overloaded => error.code().status(),
            // 401 would have to challenge the browser.
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        });
        self.retry_after = error.wait().map(|wait| wait.as_secs().max(1));
        Ok(self)
    }

    /// The same of a form with a password: a wrong one is the fault of its field.
    pub(crate) fn of_password(mut self, field: &str, visit: &Visit, error: Error) -> Result<Self, Error> {
        if error.code() != Code::InvalidCredentials {
            return self.failed(visit, error);
        }
        let words = visit.language().text("fault.password_wrong", &[]);
        self.fault(field, words.unwrap_or_default());
        Ok(self)
    }

    /// Says what is wrong with a field.
    pub(crate) fn fault(&mut self, field: &str, words: String) {
        self.errors.insert(field.to_owned(), words);
        self.status = Some(StatusCode::UNPROCESSABLE_ENTITY);
    }

    /// The status of the page that shows it.
    pub(crate) fn status(&self) -> StatusCode {
        self.status.unwrap_or(StatusCode::OK)
    }

    /// Adds what the answer must say beside the page.
    pub(crate) fn complete(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn words(language: &Language, error: &Error) -> Result<String, Error> {
    let seconds = error.wait().map_or(0, |wait| wait.as_secs().max(1));
    let key = format!("trouble.{}", error.code().as_str());
    let arguments = [("seconds", seconds.to_string())];
    let arguments: Vec<_> = arguments
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Ok(language
        .text(&key, &arguments)
        .unwrap_or_else(|| error.detail().to_owned()))
}

/// What is wrong with a field, for a person; the bounds are those of the settings.
fn fault_words(house: &Tokenhouse, language: &Language, code: &str) -> Option<String> {
    let settings = &house.0.settings;
    let bounds = [
        ("password_min", settings.passwords.min_length),
        ("password_max", settings.passwords.max_length),
        ("username_min", settings.accounts.username_min_length),
        ("username_max", settings.accounts.username_max_length),
    ];
    let bounds: Vec<_> = bounds
        .iter()
        .map(|(name, value)| (*name, value.to_string()))
        .collect();
    let bounds: Vec<_> = bounds
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    language.text(&format!("fault.{code}"), &bounds)
}
