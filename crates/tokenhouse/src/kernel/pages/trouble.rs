//! Errors as pages, for a browser that navigates; programs get their problem documents.

use axum::extract::OriginalUri;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use minijinja::context;
use serde::Serialize;

use super::frame::Frame;
use super::visit;
use crate::base::http::{Problem, page};
use crate::base::template;
use crate::kernel::house::Tokenhouse;

/// What has to be known of a request to answer its error with a page.
pub(crate) struct Navigation {
    language: String,
    mount: String,
}

#[derive(Serialize)]
pub(super) struct Trouble<'a> {
    pub(super) status: u16,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) request_id: Option<&'a str>,
    /// Whether signing in would help.
    pub(super) sign_in: bool,
}

impl Navigation {
    /// Of a request that a person's browser navigates with.
    pub(crate) fn of(house: &Tokenhouse, headers: &HeaderMap, original: &Uri, inner: &Uri) -> Option<Self> {
        page::is_navigation(headers).then(|| Self {
            language: visit::language(house, headers),
            mount: visit::mount(house, original, inner),
        })
    }

    /// The page in the place of a problem document; nothing where it cannot be rendered.
    pub(crate) fn page(&self, house: &Tokenhouse, problem: &Problem) -> Option<Response> {
        let language = house.0.templates.language(&self.language);
        let words = |kind: &str, key: &str| language.text(&format!("problem.{key}.{kind}"), &[]);
        let general = match problem.status {
            401 => "sign_in",
            403 => "forbidden",
            404 | 405 => "not_found",
            429 => "too_many",
            503 => "unavailable",
            500.. => "internal",
            _ => "other",
        };
        let of = |kind: &str| words(kind, problem.code).or_else(|| words(kind, general));
        let trouble = Trouble {
            status: problem.status,
            title: of("title")?,
            text: of("text")?,
            request_id: problem.request_id.as_deref(),
            sign_in: problem.status == 401,
        };
        let look = &house.0.look;
        let frame = Frame::new(look, language, &self.mount);
        let context = context! { page => template::context(&frame), ..template::context(&trouble) };
        let html = match language.render("pages/problem.html", context) {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(cause = ?error, "the page of an error cannot be rendered");
                return None;
            }
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some(page::respond(status, html, &look.policy))
    }
}

impl Tokenhouse {
    /// Whether an error of this request is to be a page.
    pub(crate) fn navigation(&self, parts: &Parts) -> Option<Navigation> {
        let original = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |uri| &uri.0);
        Navigation::of(self, &parts.headers, original, &parts.uri)
    }
}
