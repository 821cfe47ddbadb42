//! One password, one sequence of bytes.
//!
//! The same "é" leaves one keyboard as one code point and another as two. Before a password is counted,
//! compared or hashed it is therefore put into Unicode's NFKC, one of the two forms NIST SP 800-63B names.
//! NFKC rather than NFC, because an input method that writes full-width letters must not lock a person out.
//! What is lost is the difference between such variants (² and 2), which nobody should build a password on.
//!
//! Every text made here is measured first and written into memory of exactly its size: a string that grew
//! would leave unwiped copies of a password behind.

use unicode_normalization::UnicodeNormalization;

use crate::base::secret::Secret;

/// `password` in NFKC: what our own hashes are made of.
#[must_use]
pub fn normalised(password: &str) -> Secret {
    if password.is_ascii() {
        return Secret::from(password);
    }
    gather(password.nfkc())
}

/// The form in which a password is compared with words: NFKC without case.
///
/// Lower-casing can leave the normal form, so the form is taken before and after it.
pub(crate) fn folded(text: &str) -> Secret {
    if text.is_ascii() {
        return Secret::from(text.to_ascii_lowercase());
    }
    let lower = gather(text.nfkc().flat_map(char::to_lowercase));
    gather(lower.expose().nfkc())
}

/// Collects `characters` without ever reallocating.
fn gather(characters: impl Iterator<Item = char> + Clone) -> Secret {
    let mut text = String::with_capacity(characters.clone().map(char::len_utf8).sum());
    text.extend(characters);
    Secret::from(text)
}

/// No password of more bytes is normalised, compared or hashed. Room for the longest limit a policy may set,
/// in characters of four bytes.
pub const LONGEST_IN_BYTES: usize = 1024;

/// Whether `password` is short enough to be looked at. To be asked at login as well as at sign-up: what does not fit
/// is nobody's password, and reading megabytes of it is work for an attacker's sake.
#[must_use]
pub fn fits(password: &Secret) -> bool {
    password.expose().len() <= LONGEST_IN_BYTES
}

#[cfg(test)]
mod tests {
    use super::{folded, normalised};

    #[test]
    fn composed_decomposed_and_full_width_spellings_become_one() {
        assert_eq!(normalised("cafe\u{301}").expose(), "caf\u{e9}");
        assert_eq!(normalised("ｃａｆé").expose(), "café");
        assert_eq!(normalised("plain ascii").expose(), "plain ascii");
    }

    #[test]
    fn folding_is_stable_when_done_twice() {
        for text in ["İstanbul", "ΑΣ", "ẞ", "ﬁＮ", "Å", "\u{1F88}", "ǅ", "ABC"] {
            let once = folded(text);
            assert_eq!(folded(once.expose()).expose(), once.expose(), "{text}");
        }
    }
}
