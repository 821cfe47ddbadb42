//! Mail as it goes out: what a message is, and the ways it can leave, which are SMTP ([`smtp`]) and a function of
//! the application's own.

mod compose;
pub mod smtp;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

pub use self::compose::{Sender, SenderError};

/// One mail to one person, ready to be sent.
///
/// What it says lets its reader in (a link, a code): `Debug` shows nothing of it, and it belongs in no log.
#[derive(Clone)]
pub struct Message {
    /// The same however often it is sent; its `Message-ID` is made of it.
    pub id: Uuid,
    /// What it is about, as a stable word: `verify`, `reset`, `new_device`, …
    pub kind: String,
    /// The address it goes to.
    pub to: String,
    /// Its subject, in one line.
    pub subject: String,
    /// What it says, as plain text.
    pub text: String,
    /// The same as HTML, whole and without anything that would have to be fetched.
    pub html: String,
    /// When it was written.
    pub at: Timestamp,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} {})", self.kind, self.id)
    }
}

/// Why a mail could not be handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Undelivered {
    for_good: bool,
    reason: String,
}

impl Undelivered {
    /// It may work later, and will be tried again: the server is away, or asks to wait.
    #[must_use]
    pub fn for_now(reason: impl Into<String>) -> Self {
        Self {
            for_good: false,
            reason: one_line(&reason.into()),
        }
    }

    /// It will never work: there is no such mailbox.
    #[must_use]
    pub fn for_good(reason: impl Into<String>) -> Self {
        Self {
            for_good: true,
            ..Self::for_now(reason)
        }
    }

    /// Whether trying again is in vain.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        self.for_good
    }
}

/// What a server says comes from outside, and is kept and shown to the operator.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// What an application's own function is given, and says.
pub type Sending = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>;
/// An application's own way of sending mail.
pub type MailerHook = Arc<dyn Fn(Message) -> Sending + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_bounded_line() {
        let reason = Undelivered::for_now(format!("550 no\r\n such\tmailbox {}", "é".repeat(400)));
        let text = reason.to_string();
        assert!(text.starts_with("550 no such mailbox é") && text.ends_with('…'));
        assert_eq!(text.chars().count(), 301);
        assert!(!reason.is_for_good() && Undelivered::for_good("no").is_for_good());
    }
}
