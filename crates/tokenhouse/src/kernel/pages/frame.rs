//! What every page has, as `page` in its template.

use serde::Serialize;

use super::look::Look;
use crate::base::template::{Language, Templates};

#[derive(Serialize)]
pub(super) struct Frame<'a> {
    /// What the service is called.
    brand: &'a str,
    /// The addresses of what the page loads.
    logo: Option<String>,
    icon: String,
    style: String,
    script: String,
    language: &'a str,
    direction: &'a str,
    /// What stands before `/account` in every address.
    mount: &'a str,
    /// What every form has in the field `csrf`.
    csrf: String,
    signed_in: bool,
    /// What has just been done, in words.
    done: Option<String>,
    /// Those that can be chosen; none where there is one only, or where the page cannot be shown again.
    languages: Vec<Choice<'a>>,
    /// The address of this page.
    here: String,
}

/// A language, as it is called in itself.
#[derive(Serialize)]
struct Choice<'a> {
    tag: &'a str,
    name: &'a str,
    current: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn new(look: &'a Look, language: &'a Language, mount: &'a str) -> Self {
        let asset = |name: &str| format!("{mount}/account/assets/{name}");
        Self {
            brand: &look.name,
            logo: look.logo.as_ref().map(|logo| asset(&logo.name)),
            icon: asset(&look.icon.name),
            style: asset(&look.style.name),
            script: asset(&look.script.name),
            language: language.tag(),
            direction: language.direction(),
            mount,
            csrf: String::new(),
            signed_in: false,
            done: None,
            languages: Vec::new(),
            here: String::new(),
        }
    }

    /// For a page that can be shown again, at `here`, in another language.
    pub(super) fn in_other_languages(self, templates: &'a Templates, here: String) -> Self {
        let languages: Vec<_> = templates.languages().collect();
        if languages.len() < 2 {
            return self;
        }
        let choice = |language: &'a Language| Choice {
            tag: language.tag(),
            name: language.name(),
            current: language.tag() == self.language,
        };
        Self {
            languages: languages.into_iter().map(choice).collect(),
            here,
            ..self
        }
    }

    /// For somebody who may send forms.
    pub(super) fn of_visit(self, csrf: String, signed_in: bool, done: Option<String>) -> Self {
        Self {
            csrf,
            signed_in,
            done,
            ..self
        }
    }
}
