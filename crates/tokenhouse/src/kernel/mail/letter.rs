//! A mail put into words. What it says is the texts of its kind in the reader's language; two templates,
//! `mails/letter.txt` and `mails/letter.html`, lay every mail out.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Content, Facts};
use crate::base::error::Error;
use crate::base::mail::Message;
use crate::base::template::{Language, context};
use crate::kernel::device::Device;
use crate::kernel::house::Tokenhouse;

/// Every kind of mail there is.
#[cfg(all(test, feature = "testing"))]
pub(super) const KINDS: &[&str] = &[
    "verify",
    "change",
    "changed",
    "moved",
    "change_attempt",
    "reset",
    "magic",
    "claim",
    "claimed",
    "second_step",
    "invitation",
    "signup_attempt",
    "username_taken",
    "new_device",
    "password_changed",
    "first_factor",
    "factor_added",
    "factor_removed",
    "recovery_codes",
    "recovery_code_used",
    "deleted",
    "test",
];

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
        house: &Tokenhouse,
        id: Uuid,
        to: &str,
        at: Timestamp,
    ) -> Result<Message, Error> {
        let settings = &house.0.settings;
        let service = settings.branding.name.as_str();
        let own = |name: &str| self.optional(&format!("mail.{}.{name}", self.kind), service);
        let subject = own("subject").ok_or_else(|| self.missing("subject"))?;
        let content = self.content;
        let link = content.link.as_deref().map(|link| house.address_of(link));
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
            code_label: content
                .code
                .as_ref()
                .and_then(|_| self.optional("mail.code", service)),
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
            text: self.language.render("mails/letter.txt", context.clone())?,
            html: self.language.render("mails/letter.html", context)?,
            subject,
            at,
        })
    }

    fn missing(&self, name: &str) -> Error {
        Error::internal(format!("no language has the text `mail.{}.{name}`", self.kind))
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
            _ => return None,
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "that is how a test fails")]

    use super::*;
    use crate::testing::TestHouse;

    fn sample(with_code: bool) -> Content {
        let at: Timestamp = "2026-05-03T14:05:00Z".parse().unwrap();
        let place = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Content {
            link: Some("/verify?token=a-b_c".to_owned()),
            code: with_code.then(|| "1234 5678".to_owned()),
            expires_at: Some(at),
            places: vec![
                place("address", "new@example.org"),
                place("factor", "totp"),
                place("left", "9"),
                place("username", "<ada>"),
            ],
            facts: Some(Facts {
                at,
                address: Some("192.0.2.1".to_owned()),
                user_agent: Some("<script>alert(1)</script>".to_owned()),
            }),
        }
    }

    #[tokio::test]
    async fn every_mail_can_be_written_in_every_language() {
        let test = TestHouse::new().await;
        let house = &test.house;
        let mut written = 0;
        for language in house.0.templates.languages() {
            for kind in KINDS {
                let content = sample(*kind != "changed");
                let letter = Letter {
                    kind,
                    language,
                    content: &content,
                };
                let at = test.house.clock().now();
                let mail = letter.write(house, Uuid::nil(), "ada@example.org", at).unwrap();
                let what = format!(
                    "{kind} in {}: {mail:?}\n{}\n{}",
                    language.tag(),
                    mail.text,
                    mail.html
                );
                for place in ["{service}", "{factor}", "{address}", "{username}", "{moment}"] {
                    assert!(
                        !mail.subject.contains(place) && !mail.text.contains(place),
                        "{what}"
                    );
                }
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
            }
        }
        assert_eq!(written, 3 * KINDS.len());
    }

    #[tokio::test]
    async fn a_mail_carries_the_link_and_the_code_in_both_parts() {
        let test = TestHouse::new().await;
        let content = sample(true);
        let letter = Letter {
            kind: "reset",
            language: test.house.0.templates.language("de"),
            content: &content,
        };
        let at = test.house.clock().now();
        let mail = letter
            .write(&test.house, Uuid::nil(), "ada@example.org", at)
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
