//! Every page filled with values that are made up, but of the types that it is made of: what the templates of the house
//! are tried with by a test, and those of an operator whenever a house starts with them. A template that asks for what is
//! not there is so found before a person finds it.

use jiff::Timestamp;
use minijinja::{Value, context};
use serde::Serialize;
use uuid::Uuid;

use super::account::Account;
use super::activity::{Activity, Line};
use super::delete::DeletePage;
use super::devices::{Devices, LoggedIn};
use super::frame::Frame;
use super::look::Look;
use super::profile::{Field, ProfilePage, Summary};
use super::prove::ProvePage;
use super::recovery::{self, CodesPage};
use super::second_step::{SecondStepPage, SetUpPage};
use super::sign_in::SignIn;
use super::sign_out::SignOut;
use super::trouble::Trouble;
use super::{FormState, Part};
use crate::base::id::SessionId;
use crate::base::template::{self, Language, TemplateError, Templates};
use crate::kernel::Feature;
use crate::kernel::device::Device;

/// What pages are tried with.
#[derive(Default)]
pub(crate) struct Samples {
    pages: Vec<(&'static str, Value)>,
    /// Sections of the account page.
    account: Vec<Part>,
    /// Parts of the sign-in page.
    sign_in: Vec<Part>,
    /// Parts of the page where one proves again who one is.
    prove: Vec<Part>,
}

impl Samples {
    /// With a page.
    pub(crate) fn page(mut self, template: &'static str, own: &impl Serialize) -> Self {
        self.pages.push((template, template::context(own)));
        self
    }

    /// With a section of the account page.
    pub(crate) fn account(mut self, template: &'static str, data: &impl Serialize) -> Self {
        self.account.push(part(template, data));
        self
    }

    /// With a part of the sign-in page.
    pub(crate) fn sign_in(mut self, template: &'static str, data: &impl Serialize) -> Self {
        self.sign_in.push(part(template, data));
        self
    }

    /// With a part of the page where one proves again who one is.
    pub(crate) fn prove(mut self, template: &'static str, data: &impl Serialize) -> Self {
        self.prove.push(part(template, data));
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.pages.extend(other.pages);
        self.account.extend(other.account);
        self.sign_in.extend(other.sign_in);
        self.prove.extend(other.prove);
        self
    }
}

fn part(template: &'static str, data: &impl Serialize) -> Part {
    Part {
        order: 50,
        template,
        data: template::context(data),
    }
}

impl FormState {
    /// Untouched, and with everything wrong.
    pub(crate) fn samples() -> [Self; 2] {
        let fields = [
            "email",
            "username",
            "identifier",
            "password",
            "current_password",
            "new_password",
            "new_email",
            "code",
            "recovery_code",
            "name",
            "profile.name",
        ];
        let mut wrong = Self::with(fields.map(|field| (field, Some("<typed>".to_owned()))));
        for field in fields {
            wrong.fault(field, "This is <wrong>.".to_owned());
        }
        wrong.message = Some("All of it is <wrong>.".to_owned());
        [Self::default(), wrong]
    }
}

fn own() -> Samples {
    let at = Timestamp::UNIX_EPOCH;
    let text = || "<ada>".to_owned();
    let fields = || {
        ["name", "shoe_size"].map(|name| Field {
            name: name.to_owned(),
            input: format!("profile.{name}"),
            value: text(),
            autocomplete: "off",
        })
    };
    let events = |older| Activity {
        events: vec![
            Line {
                words: text(),
                at,
                address: Some(text()),
            },
            Line {
                words: text(),
                at,
                address: None,
            },
        ],
        older,
    };
    let device = |current, device| LoggedIn {
        id: SessionId(Uuid::nil()),
        current,
        device,
        address: current.then(text),
        created_at: at,
        last_used_at: at,
    };
    let full = Device {
        program: Some(text()),
        system: Some("<system>"),
    };
    let program = Device {
        system: None,
        ..full.clone()
    };
    let system = Device {
        program: None,
        ..full.clone()
    };
    let devices = [
        device(true, full),
        device(false, program),
        device(false, system),
        device(false, Device::default()),
    ];
    let mut samples = Samples::default()
        .page("pages/sign_out.html", &SignOut {})
        .page("pages/activity.html", &events(Some(Uuid::nil())))
        .page("pages/activity.html", &events(None))
        .account(
            "pages/part_profile.html",
            &Summary {
                email: Some("<ada>"),
                username: Some("<ada>"),
                fields: fields().into(),
                created_at: at,
            },
        )
        .account(
            "pages/part_profile.html",
            &Summary {
                email: None,
                username: None,
                fields: Vec::new(),
                created_at: at,
            },
        )
        .account(
            "pages/part_devices.html",
            &Devices {
                devices: devices.into(),
                others: 3,
                more: 2,
            },
        )
        .account(
            "pages/part_devices.html",
            &Devices {
                devices: Vec::new(),
                others: 0,
                more: 0,
            },
        )
        .account("pages/part_activity.html", &events(Some(Uuid::nil())))
        .account("pages/part_activity.html", &events(None))
        .account("pages/part_recovery_codes.html", &recovery::Section { left: 3 })
        .account("pages/part_data.html", &())
        .page(
            "pages/recovery_codes.html",
            &CodesPage {
                codes: vec![text(), text()],
                next: text(),
            },
        )
        .page(
            "pages/set_up.html",
            &SetUpPage {
                return_to: Some(text()),
                mfa_token: text(),
                set_up: vec!["totp", "passkey"],
            },
        );
    for (request_id, sign_in) in [(Some("<id>"), true), (None, false)] {
        let trouble = Trouble {
            status: 404,
            title: text(),
            text: text(),
            request_id,
            sign_in,
        };
        samples = samples.page("pages/problem.html", &trouble);
    }
    for form in FormState::samples() {
        for full in [true, false] {
            let return_to = full.then(text);
            let profile = ProfilePage {
                form: form.clone(),
                fields: fields().into(),
                has_username: full,
                email: full.then(text),
            };
            let delete = DeletePage {
                form: form.clone(),
                called: text(),
                asks_password: full,
            };
            samples = samples
                .page("pages/profile.html", &profile)
                .page("pages/delete.html", &delete);
            for factors in [
                vec!["totp", "passkey", "email_code", "recovery_code"],
                vec!["passkey"],
                vec!["recovery_code"],
            ] {
                let second_step = SecondStepPage {
                    form: form.clone(),
                    return_to: return_to.clone(),
                    mfa_token: text(),
                    factors,
                    sent: full,
                };
                samples = samples.page("pages/second_step.html", &second_step);
            }
        }
    }
    samples
}

/// The pages that are put together of parts.
fn of_parts(samples: &Samples) -> Vec<(&'static str, Value)> {
    let mut pages = Vec::new();
    for (called, parts) in [
        (Some("<ada>".to_owned()), samples.account.clone()),
        (None, Vec::new()),
    ] {
        let account = Account { called, parts };
        pages.push(("pages/account.html", template::context(&account)));
    }
    for form in FormState::samples() {
        for full in [true, false] {
            let return_to = full.then(|| "/<there>".to_owned());
            let sign_in = SignIn {
                return_to: return_to.clone(),
                form: form.clone(),
                parts: if full { samples.sign_in.clone() } else { Vec::new() },
            };
            pages.push(("pages/sign_in.html", template::context(&sign_in)));
            for factors in [vec!["totp", "passkey"], vec!["email_code"], Vec::new()] {
                for sent in [None, Some("/account/prove")] {
                    let prove = ProvePage {
                        form: form.clone(),
                        return_to: return_to.clone(),
                        factors: factors.clone(),
                        has_recovery_codes: full,
                        codes_stopped: !full,
                        has_password: full,
                        parts: if full { samples.prove.clone() } else { Vec::new() },
                        called: "<ada>".to_owned(),
                        sent,
                    };
                    pages.push(("pages/prove.html", template::context(&prove)));
                }
            }
        }
    }
    pages
}

/// Renders every page in every language, and gives each to `seen`.
///
/// # Errors
/// What the first template asks for and is not there.
pub(crate) fn every_page(
    templates: &Templates,
    look: &Look,
    features: &[Feature],
    mut seen: impl FnMut(&'static str, &Language, String),
) -> Result<(), TemplateError> {
    let samples = features
        .iter()
        .fold(own(), |samples, feature| samples.and((feature.pages.samples)()));
    let pages: Vec<_> = of_parts(&samples).into_iter().chain(samples.pages).collect();
    for language in templates.languages() {
        for page in frames(templates, look, language) {
            for (template, own) in &pages {
                let context = context! { page => page.clone(), ..own.clone() };
                let html = language.try_render(template, context)?;
                seen(template, language, html);
            }
        }
    }
    Ok(())
}

/// The parts that pages are put together of.
#[cfg(test)]
pub(crate) fn parts(features: &[Feature]) -> Vec<&'static str> {
    let samples = features
        .iter()
        .fold(own(), |samples, feature| samples.and((feature.pages.samples)()));
    let parts = samples
        .account
        .into_iter()
        .chain(samples.sign_in)
        .chain(samples.prove);
    parts.map(|part| part.template).collect()
}

/// Of a page that was asked for, and of one that only answers.
fn frames(templates: &Templates, look: &Look, language: &Language) -> [Value; 2] {
    let shown = Frame::new(look, language, "/<mount>")
        .in_other_languages(templates, "/<here>".to_owned())
        .of_visit("<csrf>".to_owned(), true, Some("It is <done>.".to_owned()));
    let answer = Frame::new(look, language, "");
    [template::context(&shown), template::context(&answer)]
}
