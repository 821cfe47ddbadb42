//! The profile: what a user is called, and what the settings let them write of themselves.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::{FormState, Member, Part, Posted, done};
use crate::base::error::{Code, Error};
use crate::base::settings::Identifier;
use crate::base::template;
use crate::kernel::account::{User, UserChange};

/// Characters that one field may have.
const FIELD_CHARACTERS: usize = 200;

#[derive(Serialize)]
pub(super) struct Summary<'a> {
    pub(super) email: Option<&'a str>,
    pub(super) username: Option<&'a str>,
    pub(super) fields: Vec<Field>,
    pub(super) created_at: jiff::Timestamp,
}

/// A text of the profile.
#[derive(Clone, Serialize)]
pub(super) struct Field {
    /// The member of the profile.
    pub(super) name: String,
    /// The name of its input.
    pub(super) input: String,
    /// What is there.
    pub(super) value: String,
    /// For the browser's own filling in.
    pub(super) autocomplete: &'static str,
}

#[derive(Serialize)]
pub(super) struct ProfilePage {
    pub(super) form: FormState,
    pub(super) fields: Vec<Field>,
    /// Whether the user has a username or may choose one.
    pub(super) has_username: bool,
    pub(super) email: Option<String>,
}

pub(super) fn part(member: &Member) -> Part {
    let user = &member.user;
    let summary = Summary {
        // Where mail is sent, the address has a section of its own.
        email: user
            .email
            .as_deref()
            .filter(|_| !member.house.verifies_addresses()),
        username: user.username.as_deref(),
        fields: fields(member),
        created_at: user.created_at,
    };
    Part {
        order: 10,
        template: "pages/part_profile.html",
        data: template::context(&summary),
    }
}

fn fields(member: &Member) -> Vec<Field> {
    let names = &member.house.0.settings.pages.profile_fields;
    names.iter().map(|name| field(&member.user, name)).collect()
}

fn field(user: &User, name: &str) -> Field {
    let value = user.profile.get(name).and_then(Value::as_str).unwrap_or_default();
    Field {
        name: name.to_owned(),
        input: format!("profile.{name}"),
        value: value.to_owned(),
        autocomplete: match name {
            "name" => "name",
            "given_name" => "given-name",
            "family_name" => "family-name",
            "nickname" => "nickname",
            "organization" => "organization",
            "phone" => "tel",
            "website" => "url",
            _ => "off",
        },
    }
}

/// `GET /account/profile`
pub(super) async fn show(member: Member) -> Result<Response, Error> {
    let mut form = FormState::with([("username", member.user.username.clone())]);
    for field in fields(&member) {
        form.values.insert(field.input, field.value);
    }
    page(&member, form)
}

fn page(member: &Member, form: FormState) -> Result<Response, Error> {
    let identifier = member.house.0.settings.accounts.identifier;
    let page = ProfilePage {
        fields: fields(member),
        has_username: member.user.username.is_some() || identifier != Identifier::Email,
        email: member.user.email.clone(),
        form,
    };
    member.page(page.form.status(), "pages/profile.html", &page)
}

/// `POST /account/profile`
pub(super) async fn change(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let mut form = FormState::default();
    let mut change = UserChange::default();
    if let Some(text) = fields.take_optional("username") {
        form.values.insert("username".to_owned(), text.clone());
        if member.user.username.as_ref() != Some(&text) {
            match member.house.check_username(&text) {
                Ok(username) => change.username = Some(username),
                Err(fault) => form = form.failed(&member, Error::invalid_fields(vec![fault]))?,
            }
        }
    }
    let mut written = BTreeMap::new();
    for field in self::fields(&member) {
        let text = fields
            .take_optional(&field.input)
            .unwrap_or_default()
            .trim()
            .to_owned();
        form.values.insert(field.input.clone(), text.clone());
        if text.chars().count() > FIELD_CHARACTERS {
            let words = member.language().text("fault.too_long", &[]).unwrap_or_default();
            form.fault(&field.input, words);
        }
        written.insert(field.name, text);
    }
    if !form.errors.is_empty() {
        return page(&member, form);
    }
    let mut profile = member.user.profile.clone();
    for (name, text) in written {
        if text.is_empty() {
            profile.remove(&name);
        } else {
            profile.insert(name, Value::String(text));
        }
    }
    change.profile = Some(profile).filter(|profile| *profile != member.user.profile);
    let changed = member
        .house
        .update_own(&member.user, member.session.id, change, &member.origin)
        .await;
    match changed {
        Ok(_) => Ok(done(&member, "/account", "profile_changed")),
        Err(error) if error.code() == Code::FreshProofRequired => {
            member.prove_first(error, "/account/profile")
        }
        Err(error) => {
            let form = form.failed(&member, error)?;
            page(&member, form)
        }
    }
}
