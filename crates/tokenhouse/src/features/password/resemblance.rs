//! Passwords that are the account's own name.
//!
//! Whoever attacks one account tries its name first: as it is, with a number behind it, with a mark at the end. The
//! rule refuses just that, and nothing more. With case folded and signs at both ends ignored, a password resembles a
//! word if what is left is
//!
//! - the word, or the word twice, each with up to four digits (a year) before or behind it, where
//! - a word is a text given (e-mail, username, product), or of an e-mail address also the part before the `@`, and
//!   both without a `+tag`; words of fewer than three characters are not looked at.
//!
//! A passphrase that merely contains the name stays allowed: "ana paints violet kettles" is a fine password for Ana.

use crate::base::hashing::spelling::folded;

/// The most digits that do not make another password of a name.
const MOST_DIGITS: usize = 4;
/// Shorter words occur everywhere.
const SHORTEST_WORD: usize = 3;

/// Whether `password` is little more than `about`.
pub(super) fn resembles(password: &str, about: &str) -> bool {
    let (password, about) = (folded(password), folded(about));
    let (password, about) = (password.expose(), about.expose());
    let (local, domain) = about.rsplit_once('@').unwrap_or((about, ""));
    let plain = local.split_once('+').map_or(local, |(plain, _tag)| plain);
    let address = format!("{plain}@{domain}");
    [about, local, plain, &address].into_iter().map(core).any(|word| {
        word.chars().count() >= SHORTEST_WORD
            && (is_word_with_digits(password, word) || is_twice(password, word))
    })
}

/// The text without signs at its ends.
fn core(text: &str) -> &str {
    text.trim_matches(|character: char| !character.is_alphanumeric())
}

fn is_word_with_digits(password: &str, word: &str) -> bool {
    let password = core(password);
    // The word may itself begin or end with digits, so it is looked for first, at each place it occurs.
    password.match_indices(word).any(|(start, _)| {
        let (before, behind) = (&password[..start], &password[start + word.len()..]);
        few_digits(before) && few_digits(behind)
    })
}

fn is_twice(password: &str, word: &str) -> bool {
    let Some(rest) = core(password).strip_prefix(word) else {
        return false;
    };
    is_word_with_digits(rest, word)
}

/// Nothing but a few digits, and signs between them and the name.
fn few_digits(text: &str) -> bool {
    let digits = core(text);
    digits.len() <= MOST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::resembles;

    #[test]
    fn the_name_itself_and_with_little_added_is_refused() {
        for password in [
            "alexander",
            "Alexander",
            "ALEXANDER1987",
            "123alexander",
            "1alexander1",
            "alexander!",
            "!!alexander_77!!",
            "alexanderAlexander",
            "alexander-alexander-2",
            "ａｌｅｘａｎｄｅｒ",
            "alexander@example.com",
            "Alexander@Example.com1",
            "alexander+shop",
        ] {
            assert!(resembles(password, "Alexander+shop@example.com"), "{password}");
        }
        assert!(resembles("r2d2-2024", "r2d2"));
    }

    #[test]
    fn a_passphrase_that_holds_the_name_is_allowed() {
        for password in [
            "ana paints violet kettles",
            "banana bread",
            "ana12345",
            "anamaria77",
            "x",
            "",
            "!!!",
            "ana ana ana ana",
        ] {
            assert!(!resembles(password, "ana@example.com"), "{password}");
        }
    }

    #[test]
    fn words_too_short_to_mean_anything_are_ignored() {
        for about in ["", "@", "al", "!!", "+@x", "a@example.com"] {
            assert!(
                !resembles("al1234", about) && !resembles("", about) && !resembles("!!", about),
                "{about}"
            );
        }
    }
}
