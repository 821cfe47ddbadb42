//! What users are called: checked when made, and compared by a key that ignores case and Unicode spelling.

use std::ops::RangeInclusive;

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

/// RFC 5321 §4.5.3.1.3, less the angle brackets.
const EMAIL_BYTES: usize = 254;
/// No rule of an application may let more through than this.
const USERNAME_BYTES: usize = 256;

/// What keeps a text from being a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

/// The form in which two spellings of one name are the same.
pub(crate) fn key(text: &str) -> String {
    text.trim().nfkc().flat_map(char::to_lowercase).nfc().collect()
}

/// Whether an account can have it. No name holds a control character, and PostgreSQL cannot even be asked
/// about one with NUL.
pub(crate) fn may_be_a_key(key: &str) -> bool {
    !key.contains(char::is_control)
}

/// Whether a character is drawn as nothing, or turns the direction of those beside it: two names that differ
/// only in such look the same.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// An e-mail address that could receive mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    text: String,
    key: String,
}

impl Email {
    /// Reads one address, as RFC 5321 writes it: no display name, no comment, no address literal.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    ///
    /// ```
    /// use tokenhouse::Email;
    /// assert_eq!(Email::parse(" Ada@Example.org ").unwrap().as_str(), "Ada@Example.org");
    /// assert!(Email::parse("ada@example.org\r\nBcc: all@example.org").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let error = |detail: &str| Err(NameError(detail.to_owned()));
        if text.len() > EMAIL_BYTES {
            return error("must have at most 254 bytes");
        }
        if text.chars().any(|c| {
            c.is_control() || c.is_whitespace() || is_invisible(c) || matches!(c, '"' | '<' | '>' | ',' | ';')
        }) {
            return error("must be one address without spaces or quotes, such as ada@example.org");
        }
        let options = Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        let good_domain = |address: &EmailAddress| {
            address
                .domain()
                .split('.')
                .all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        };
        // Composed, since the parser takes a letter for one character.
        let composed: String = text.nfc().collect();
        match EmailAddress::parse_with_options(&composed, options) {
            Ok(address) if good_domain(&address) => Ok(Self {
                text: text.to_owned(),
                key: key(text),
            }),
            _ => error("must be an e-mail address, such as ada@example.org"),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form it is compared by.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind the `@`, as it is compared.
    #[must_use]
    pub fn domain_key(&self) -> &str {
        self.key.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// What stands before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.rsplit_once('@').map_or(&self.text, |(local, _)| local)
    }
}

/// A name that keeps to the rule of its house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    text: String,
    key: String,
}

impl Username {
    /// Reads a name under the default rule: ASCII letters, digits, `_`, `-` and `.`, the first of them a
    /// letter or digit. ASCII, so that no two names look the same.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, length: RangeInclusive<usize>) -> Result<Self, NameError> {
        let error = |detail: String| Err(NameError(detail));
        if !length.contains(&text.chars().count()) {
            return error(format!(
                "must have {} to {} characters",
                length.start(),
                length.end()
            ));
        }
        if !text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            return error("may have letters, digits, `_`, `-` and `.`".to_owned());
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return error("must begin with a letter or a digit".to_owned());
        }
        Self::unruled(text)
    }

    /// Reads a name that an application's own rule has let through; what would be taken for an e-mail address
    /// or could break a line is still refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn unruled(text: &str) -> Result<Self, NameError> {
        let key = key(text);
        if key.is_empty()
            // The key can be eleven times as long, and an index takes only so much.
            || text.len().max(key.len()) > USERNAME_BYTES
            || key.contains('@')
            || text.chars().any(char::is_control)
        {
            return Err(NameError(
                "must have 1 to 256 characters, none of them `@` or a control character".to_owned(),
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form it is compared by.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_could_receive_mail_are_taken() {
        for text in [
            "a@b.co",
            "ada.lovelace+x@sub.example.org",
            "o'brien@example.org",
            "δοκιμή@παράδειγμα.ελ",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(250));
        for text in [
            "",
            "ada",
            "ada@",
            "@example.org",
            "ada@localhost",
            "ada@@example.org",
            "Ada <ada@example.org>",
            "ada@[127.0.0.1]",
            "a b@example.org",
            "ada@example.org\nBcc: x@y.zz",
            "ada@-example.org",
            "ada@example..org",
            "\"a\"@example.org",
            "a@b.co,c@d.co",
            "ada@example.org.",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spellings_of_one_name_share_a_key() {
        let key = |text| Email::parse(text).unwrap().key().to_owned();
        assert_eq!(key("Ada@Example.ORG"), key("ada@example.org"));
        assert_eq!(key("caf\u{e9}@example.org"), key("cafe\u{301}@example.org"));
    }

    #[test]
    fn usernames_keep_to_the_rule() {
        for text in ["ada", "Ada_L-1.x", "007"] {
            assert!(Username::parse(text, 3..=32).is_ok(), "{text}");
        }
        for text in [
            "",
            "ab",
            "ada@example.org",
            "ada lovelace",
            "_ada",
            "аda",
            &"a".repeat(33),
            "a\u{0}b",
        ] {
            assert!(Username::parse(text, 3..=32).is_err(), "{text}");
        }
    }
}
