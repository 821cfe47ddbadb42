//! A mail put into words. What it says is the texts of its kind in the reader's language; two templates,
//! `mails/letter.txt` and `mails/letter.html`, lay every mail out.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::asked::address_of;
use super::{Content, Facts};
use crate::base::mail::Message;
use crate::base::settings::Settings;
use crate::base::template::{Language, TemplateError, Templates, context};
use crate::kernel::device::Device;

/// Every kind of mail there is, and what it is filled with beside the name of the service.
const KINDS: &[(&str, Carries, &[&str])] = &[
    ("verify", Carries::Both, &[]),
    ("change", Carries::Both, &[]),
    ("changed", Carries::Link, &["address"]),
    ("moved", Carries::Nothing, &[]),
    ("change_attempt", Carries::Nothing, &[]),
    ("reset", Carries::Both, &[]),
    ("magic", Carries::Both, &[]),
    ("claim", Carries::Link, &[]),
    ("claimed", Carries::Nothing, &[]),
    ("second_step", Carries::Code, &[]),
    ("prove", Carries::Code, &[]),
    ("invitation", Carries::Link, &[]),
    ("signup_attempt", Carries::Nothing, &[]),
    ("username_taken", Carries::Nothing, &["username"]),
    ("new_device", Carries::Nothing, &[]),
    ("password_changed", Carries::Nothing, &[]),
    ("first_factor", Carries::Link, &["factor"]),
    ("factor_added", Carries::Nothing, &["factor"]),
    ("factor_removed", Carries::Nothing, &["factor"]),
    ("recovery_codes", Carries::Nothing, &[]),
    ("recovery_code_used", Carries::Nothing, &["left"]),
    ("account_deleted", Carries::Nothing, &[]),
    ("after_wrong_passwords", Carries::Nothing, &[]),
    ("username_changed", Carries::Nothing, &[]),
    ("wrong_codes", Carries::Nothing, &[]),
    ("codes_stopped", Carries::Nothing, &[]),
    ("test", Carries::Nothing, &[]),
];

#[derive(Clone, Copy, PartialEq)]
enum Carries {
    Nothing,
    Link,
    Code,
    Both,
}

/// What is to be put into words.
pub(super) struct Letter<'a> {
    pub(super) kind: &'a str,
    pub(super) language: &'a Language,
    pub(super) content: &'a Content,
}

/// What the templates are filled with.
#[derive(Serialize)]
struct Page<'a> {
    kind: &'a str,
    language: &'a str,
    direction: &'a str,
    service: &'a str,
    home: &'a str,
    colour: &'a str,
    subject: &'a str,
    title: String,
    text: String,
    link: Option<&'a str>,
    action: Option<String>,
    code: Option<&'a str>,
    code_label: Option<String>,
    expiry: Option<String>,
    facts: Vec<Fact>,
    advice: Option<String>,
    footer: String,
}

#[derive(Serialize)]
struct Fact {
    label: String,
    value: String,
}

impl Letter<'_> {
    /// # Errors
    /// When a text or a template is not right, which an operator's own can be.
    pub(super) fn write(
        &self,
        settings: &Settings,
        id: Uuid,
        to: &str,
        at: Timestamp,
    ) -> Result<Message, TemplateError> {
        let service = settings.branding.name.as_str();
        let own = |name: &str| self.optional(&format!("mail.{}.{name}", self.kind), service);
        let subject = own("subject").ok_or_else(|| self.missing("subject"))?;
        let content = self.content;
        let link = content.link.as_deref().map(|link| address_of(settings, link));
        let page = Page {
            kind: self.kind,
            language: self.language.tag(),
            direction: self.language.direction(),
            service,
            home: &settings.public_url,
            colour: &settings.branding.colour,
            subject: &subject,
            title: own("title").ok_or_else(|| self.missing("title"))?,
            text: own("text").ok_or_else(|| self.missing("text"))?,
            link: link.as_deref(),
            action: content.link.as_ref().and_then(|_| own("action")),
            code: content.code.as_deref(),
            code_label: content.code.as_ref().and_then(|_| {
                let beside_a_link = if link.is_some() {
                    "mail.code"
                } else {
                    "mail.code_alone"
                };
                self.optional(beside_a_link, service)
            }),
            expiry: self.expiry(),
            facts: self.facts(),
            advice: own("advice"),
            footer: self.optional("mail.footer", service).unwrap_or_default(),
        };
        let context = context(&page);
        Ok(Message {
            id,
            kind: self.kind.to_owned(),
            to: to.to_owned(),
            text: self.language.try_render("mails/letter.txt", context.clone())?,
            html: self.language.try_render("mails/letter.html", context)?,
            subject,
            at,
        })
    }

    fn missing(&self, name: &str) -> TemplateError {
        TemplateError::Faulty(
            format!("languages/{}.toml", self.language.tag()),
            format!("no language has the text `mail.{}.{name}`", self.kind),
        )
    }

    fn optional(&self, key: &str, service: &str) -> Option<String> {
        let factor_key = |name: &str| format!("mail.factor.{name}");
        let mut places: Vec<(&str, String)> = vec![("service", service.to_owned())];
        for (name, value) in &self.content.places {
            let value = match name.as_str() {
                // What factors are called depends on the language.
                "factor" => self
                    .language
                    .text(&factor_key(value), &[])
                    .unwrap_or_else(|| value.clone()),
                _ => value.clone(),
            };
            places.push((name, value));
        }
        let places: Vec<(&str, &str)> = places
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.language.text(key, &places)
    }

    fn expiry(&self) -> Option<String> {
        let moment = self.language.moment(self.content.expires_at?);
        let key = match (&self.content.link, &self.content.code) {
            (Some(_), Some(_)) => "mail.both_expire",
            (Some(_), None) => "mail.link_expires",
            (None, Some(_)) => "mail.code_expires",
            (None, None) => return None,
        };
        self.language.text(key, &[("moment", &moment)])
    }

    /// In the house's own words: the header holds whatever somebody wants a stranger to read.
    fn device(&self, facts: &Facts) -> Option<String> {
        let device = Device::of(facts.user_agent.as_deref());
        match (device.program, device.system) {
            (Some(program), Some(system)) => self.language.text(
                "device.program_on_system",
                &[("program", &program), ("system", system)],
            ),
            (program, system) => program.or(system.map(str::to_owned)),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let Some(facts) = &self.content.facts else {
            return Vec::new();
        };
        let unknown = || self.language.text("mail.unknown", &[]).unwrap_or_default();
        let fact = |label: &str, value: String| Fact {
            label: self.language.text(label, &[]).unwrap_or_default(),
            value,
        };
        vec![
            fact("mail.when", self.language.moment(facts.at)),
            fact("mail.where", facts.address.clone().unwrap_or_else(unknown)),
            fact("mail.device", self.device(facts).unwrap_or_else(unknown)),
        ]
    }
}

/// Writes every mail in every language with made-up values of the right types, and gives each to `seen` with its kind.
///
/// # Errors
/// What the first template asks for and is not there.
pub(crate) fn every_mail(
    templates: &Templates,
    settings: &Settings,
    mut seen: impl FnMut(&Language, Message),
) -> Result<(), TemplateError> {
    for language in templates.languages() {
        for (kind, carries, places) in KINDS {
            let letter = Letter {
                kind,
                language,
                content: &sample(*carries, places),
            };
            let at = Timestamp::UNIX_EPOCH;
            seen(
                language,
                letter.write(settings, Uuid::nil(), "ada@example.org", at)?,
            );
        }
    }
    Ok(())
}

fn sample(carries: Carries, places: &[&str]) -> Content {
    let at = Timestamp::UNIX_EPOCH;
    let value = |name: &str| match name {
        "factor" => "totp",
        "address" => "new@example.org",
        _ => "<ada>",
    };
    Content {
        link: matches!(carries, Carries::Link | Carries::Both).then(|| "/verify?token=a-b_c".to_owned()),
        code: matches!(carries, Carries::Code | Carries::Both).then(|| "1234 5678".to_owned()),
        expires_at: (carries != Carries::Nothing).then_some(at),
        places: places
            .iter()
            .map(|name| ((*name).to_owned(), value(name).to_owned()))
            .collect(),
        facts: Some(Facts {
            at,
            address: Some("192.0.2.1".to_owned()),
            user_agent: Some("<script>alert(1)</script>".to_owned()),
        }),
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "that is how a test fails")]

    use super::*;
    use crate::testing::TestHouse;

    #[tokio::test]
    async fn every_mail_can_be_written_in_every_language() {
        let test = TestHouse::new().await;
        let house = &test.house;
        let mut written = 0;
        every_mail(&house.0.templates, house.settings(), |language, mail| {
            let what = format!(
                "{} in {}: {mail:?}\n{}\n{}",
                mail.kind,
                language.tag(),
                mail.text,
                mail.html
            );
            // A place that nothing fills would stay.
            assert!(!mail.subject.contains('{') && !mail.text.contains('{'), "{what}");
            assert!(
                mail.subject.contains("Tokenhouse") && mail.subject.chars().count() < 80,
                "{what}"
            );
            assert!(
                !mail.html.contains("<script") && !mail.text.contains("alert("),
                "{what}"
            );
            // Nothing is fetched when it is opened, so that nobody learns that it was.
            for fetched in ["src=", "url(", "<link", "@import", "<img"] {
                assert!(!mail.html.contains(fetched), "{what}");
            }
            assert!(mail.html.len() < 8192 && !mail.text.contains("\n\n\n"), "{what}");
            written += 1;
        })
        .unwrap();
        assert_eq!(written, 3 * KINDS.len());
    }

    /// A kind that is new is tried too.
    #[test]
    fn every_kind_that_is_sent_is_in_the_list() {
        fn sources(folder: &std::path::Path, found: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    sources(&path, found);
                } else {
                    found.push_str(&std::fs::read_to_string(path).unwrap_or_default());
                }
            }
        }
        let mut text = String::new();
        sources(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut text,
        );
        let english: toml::Table = include_str!("../../../templates/languages/en.toml")
            .parse()
            .unwrap();
        let told: Vec<_> = english["mail"]
            .as_table()
            .unwrap()
            .iter()
            .filter(|(_, texts)| texts.get("subject").is_some())
            .map(|(kind, _)| kind.as_str())
            .collect();
        let mut listed: Vec<_> = KINDS.iter().map(|(kind, ..)| *kind).collect();
        listed.sort_unstable();
        assert_eq!(told, listed);
        for kind in listed {
            assert!(
                text.matches(&format!("\"{kind}\"")).count() > 1,
                "{kind} is sent nowhere"
            );
        }
    }

    #[tokio::test]
    async fn a_mail_carries_the_link_and_the_code_in_both_parts() {
        let test = TestHouse::new().await;
        let content = Content {
            expires_at: Some("2026-05-03T14:05:00Z".parse().unwrap()),
            ..sample(Carries::Both, &[])
        };
        let letter = Letter {
            kind: "reset",
            language: test.house.0.templates.language("de"),
            content: &content,
        };
        let at = test.house.clock().now();
        let mail = letter
            .write(test.house.settings(), Uuid::nil(), "ada@example.org", at)
            .unwrap();
        for part in [&mail.text, &mail.html.replace("&#x2f;", "/")] {
            assert!(
                part.contains("http://localhost:8080/account/verify?token=a-b_c"),
                "{part}"
            );
            assert!(
                part.contains("1234 5678") && part.contains("3. Mai 2026, 14:05 UTC"),
                "{part}"
            );
            assert!(part.contains("192.0.2.1"), "{part}");
        }
        assert_eq!(mail.subject, "Wählen Sie ein neues Passwort für Tokenhouse");
        assert!(
            mail.html
                .starts_with("<!doctype html>\n<html lang=\"de\" dir=\"ltr\">")
        );
    }
}
