//! What every page has, as `page` in its template.

use serde::Serialize;

use crate::base::template::Language;
use crate::kernel::house::Tokenhouse;

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
}

impl<'a> Frame<'a> {
    pub(super) fn new(house: &'a Tokenhouse, language: &'a Language, mount: &'a str) -> Self {
        let look = &house.0.look;
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
