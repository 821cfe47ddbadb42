//! The two pages around a mail: one asks for it, the other takes what was in it. Opening a link shows the second with its
//! button and changes nothing, since programs that look for malware open every link.

use axum::response::Response;
use http::Uri;
use serde::Serialize;

use super::{FormState, Samples, Visit, query};
use crate::base::error::Error;
use crate::base::http::Fields;
use crate::base::secret::Secret;
use crate::kernel::mailbox::FromMail;
use crate::kernel::ticket::{Key, Purpose};

/// Asks for a mail; its texts are `ask.<kind>`.
#[derive(Serialize)]
pub(crate) struct AskPage {
    pub(crate) kind: &'static str,
    /// Where the form goes, below `/account`.
    pub(crate) action: &'static str,
    pub(crate) form: FormState,
}

impl AskPage {
    /// # Errors
    /// When the template cannot be rendered.
    pub(crate) fn show(&self, visit: &Visit) -> Result<Response, Error> {
        let response = visit.page(self.form.status(), "pages/ask.html", self)?;
        Ok(self.form.complete(response))
    }
}

/// Takes what was in a mail; its texts are `from_mail.<kind>`.
#[derive(Clone, Default, Serialize)]
pub(crate) struct FromMailPage {
    pub(crate) kind: &'static str,
    /// Where the form goes, below `/account`.
    pub(crate) action: &'static str,
    /// What the link holds; without it the code is typed.
    pub(crate) token: Option<String>,
    /// Whether a mail was just asked for.
    pub(crate) asked: bool,
    /// Whether the link is not good any more.
    pub(crate) over: bool,
    /// Where another mail is asked for, below `/account`.
    pub(crate) again: Option<&'static str>,
    /// Where a new password is chosen, how long it must be.
    pub(crate) password_min: Option<usize>,
    pub(crate) form: FormState,
}

impl FromMailPage {
    /// # Errors
    /// When the template cannot be rendered.
    pub(crate) fn show(&self, visit: &Visit) -> Result<Response, Error> {
        let response = visit.page(self.form.status(), "pages/from_mail.html", self)?;
        Ok(self.form.complete(response))
    }

    /// In all its states.
    pub(crate) fn samples(mut samples: Samples, form: &FormState, page: &Self) -> Samples {
        for (over, asked, token) in [
            (true, false, None),
            (false, true, None),
            (false, false, Some("<token>".to_owned())),
        ] {
            let page = Self {
                form: form.clone(),
                over,
                asked,
                token,
                ..page.clone()
            };
            samples = samples.page("pages/from_mail.html", &page);
        }
        samples
    }

    /// The same again, with what is wrong.
    pub(crate) fn failed(mut self, visit: &Visit, error: Error) -> Result<Response, Error> {
        self.form = self.form.failed(visit, error)?;
        self.show(visit)
    }
}

/// The page of a link, which only looks whether it is still good.
pub(crate) async fn opened(
    visit: &Visit,
    uri: &Uri,
    purpose: Purpose,
    page: FromMailPage,
) -> Result<Response, Error> {
    let token = query(uri, "token");
    let over = match &token {
        Some(token) => {
            let key = Key::of(&Secret::from(token.as_str()));
            visit.house.peek_ticket(purpose, &key).await?.is_none()
        }
        None => page.over,
    };
    FromMailPage { token, over, ..page }.show(visit)
}

/// What a form of the second page sends, and its page again, for when it is not right.
pub(crate) fn given(fields: &mut Fields, page: FromMailPage) -> (FromMail, FromMailPage) {
    let token = fields.take_optional("token");
    let email = fields.take_optional("email");
    let code = fields.take_optional("code").unwrap_or_default();
    let page = FromMailPage {
        form: FormState::with([("email", email.clone())]),
        token: token.clone(),
        ..page
    };
    let presented = match token {
        Some(token) => FromMail::Token(Secret::from(token)),
        None => FromMail::Code {
            email: email.unwrap_or_default(),
            code: Secret::from(code),
        },
    };
    (presented, page)
}
