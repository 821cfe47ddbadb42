//! A message in the form that travels (RFC 5322, MIME): text and HTML, with the headers that keep machines from
//! answering it. Every header value is made here, of parts that were checked, so that no line can be smuggled in.

use std::time::SystemTime;

use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Message as Composed, message::MessageBuilder};

use super::{Message, Undelivered};

/// Who mails are from.
#[derive(Clone, Debug)]
pub struct Sender {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    /// What stands behind the `@` of a `Message-ID`.
    host: String,
}

/// Why somebody cannot be a sender.
#[derive(Debug, thiserror::Error)]
#[error("must be an address such as `Example <no-reply@example.com>`")]
pub struct SenderError;

impl Sender {
    /// Reads `Example <no-reply@example.com>`, or the bare address.
    ///
    /// # Errors
    /// [`SenderError`].
    pub fn parse(from: &str) -> Result<Self, SenderError> {
        let from = mailbox(from)?;
        let host = from.email.domain().to_owned();
        Ok(Self {
            from,
            reply_to: None,
            host,
        })
    }

    /// Where answers go.
    ///
    /// # Errors
    /// [`SenderError`].
    pub fn answered_at(self, reply_to: &str) -> Result<Self, SenderError> {
        Ok(Self {
            reply_to: Some(mailbox(reply_to)?),
            ..self
        })
    }
}

fn mailbox(text: &str) -> Result<Mailbox, SenderError> {
    if text.chars().any(char::is_control) {
        return Err(SenderError);
    }
    let parsed: Mailbox = text.parse().map_err(|_| SenderError)?;
    let address = ascii_domain(parsed.email.as_ref()).ok_or(SenderError)?;
    Ok(Mailbox::new(parsed.name, address))
}

/// The address with its domain as DNS has it (`xn--…`); what stands before the `@` is left alone, since only its own
/// server may interpret it.
fn ascii_domain(address: &str) -> Option<Address> {
    let (local, domain) = address.rsplit_once('@')?;
    let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else {
        return None;
    };
    Address::new(local, domain).ok()
}

/// The bytes to send, and whom they go to.
pub(super) struct Composition {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

impl Composition {
    /// Whether every server understands the addresses.
    pub(super) fn is_ascii(&self) -> bool {
        let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        self.envelope.from().is_none_or(is_ascii) && self.envelope.to().iter().all(is_ascii)
    }
}

impl Sender {
    pub(super) fn compose(&self, message: &Message) -> Result<Composition, Undelivered> {
        let cannot = |what: &str| Undelivered::for_good(format!("the mail cannot be written: {what}"));
        let to = ascii_domain(&message.to).ok_or_else(|| cannot("the address is none"))?;
        let header = |name: &'static str, value: &str| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
        };
        let builder: MessageBuilder = Composed::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(super::one_line(&message.subject))
            .date(SystemTime::from(message.at))
            .message_id(Some(format!("<{}@{}>", message.id, self.host)))
            // RFC 3834 §5, and what Exchange reads in its place: no answer from a holiday.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"));
        let builder = match &self.reply_to {
            Some(reply_to) => builder.reply_to(reply_to.clone()),
            None => builder,
        };
        let body = MultiPart::alternative_plain_html(message.text.clone(), message.html.clone());
        let composed = builder
            .multipart(body)
            .map_err(|error| cannot(&error.to_string()))?;
        Ok(Composition {
            envelope: composed.envelope().clone(),
            bytes: composed.formatted(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: &str, subject: &str) -> Message {
        Message {
            id: uuid::Uuid::nil(),
            kind: "test".to_owned(),
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: "Grüße\n.\nhttps://id.example.org/verify#token=abc\n".to_owned(),
            html: "<p>Grüße</p>".to_owned(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn composed(to: &str, subject: &str) -> String {
        let sender = Sender::parse("Bücher & Co <no-reply@bücher.example>").unwrap();
        String::from_utf8(sender.compose(&message(to, subject)).unwrap().bytes).unwrap()
    }

    #[test]
    fn the_headers_say_what_it_is() {
        let text = composed("ada@example.org", "Bestätige deine Adresse");
        for line in [
            "To: ada@example.org\r\n",
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000000@xn--bcher-kva.example>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
        ] {
            assert!(text.contains(line), "{line}\nnot in\n{text}");
        }
        assert!(text.is_ascii(), "{text}");
        assert!(!text.contains("List-Unsubscribe"));
    }

    #[test]
    fn no_header_can_be_smuggled_in() {
        let text = composed("ada@example.org", "Hello\r\nBcc: all@example.org\n\nbody");
        let heads: Vec<_> = text
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("bcc"))
            .collect();
        assert!(heads.is_empty(), "{text}");
        let sender = Sender::parse("no-reply@example.org").unwrap();
        for to in [
            "ada@example.org\r\nBcc: eve@example.org",
            "ada@example.org, eve@example.org",
            "ada@example.org>\r\nRCPT TO:<eve@example.org",
            "ada\r\n@example.org",
            "Ada <ada@example.org>",
            "@example.org",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
        ] {
            let error = sender.compose(&message(to, "Hello")).map(drop).unwrap_err();
            assert!(error.is_for_good(), "{to}");
        }
        for from in ["Eve\r\nBcc: x@example.org <e@example.org>", "no address", ""] {
            assert!(Sender::parse(from).is_err(), "{from}");
        }
    }

    #[test]
    fn a_domain_travels_as_dns_has_it_and_a_local_part_as_it_is() {
        let sender = Sender::parse("no-reply@example.org").unwrap();
        let composed = |to: &str| sender.compose(&message(to, "Hello")).unwrap();
        let to = |to: &str| composed(to).envelope.to()[0].to_string();
        assert_eq!(to("ada@bücher.example"), "ada@xn--bcher-kva.example");
        assert_eq!(to("δοκιμή@παράδειγμα.ελ"), "δοκιμή@xn--hxajbheg2az3al.xn--qxam");
        assert!(!composed("δοκιμή@example.org").is_ascii());
        assert!(composed("ada@bücher.example").is_ascii());
    }
}
