//! The passwords everybody tries first.
//!
//! NIST SP 800-63B asks that a new password be compared with a list of commonly used ones. The list here works
//! without a network: the most common 100 000 of a public collection, six characters and longer (origin and
//! licence in `common-passwords.NOTICE`). It is one sorted text inside the binary, searched where it lies, so
//! it costs no start-up time and no memory beyond its own pages.

use crate::base::hashing::spelling::folded;

/// One entry a line, lower-cased, NFKC, sorted by bytes.
const LIST: &str = include_str!("common-passwords.txt");

/// Whether `password` is one of the common ones, whatever its case.
///
/// ```
/// use tokenhouse::features::password::common::is_common;
/// assert!(is_common("Password1"));
/// assert!(!is_common("violet kettle underneath"));
/// ```
#[must_use]
pub fn is_common(password: &str) -> bool {
    contains(LIST, folded(password).expose())
}

/// Binary search over byte offsets: each step goes back to the start of the line it fell into.
fn contains(list: &str, wanted: &str) -> bool {
    let bytes = list.as_bytes();
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(low, |at| low + at + 1);
        let end = bytes[middle..high]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(high, |at| middle + at);
        match bytes[start..end].cmp(wanted.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = (end + 1).min(high),
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{LIST, contains, is_common};

    #[test]
    fn the_list_is_sorted_unique_small_and_long_enough() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(lines.len() > 80_000 && LIST.len() < 800_000);
        assert!(
            lines
                .windows(2)
                .all(|pair| pair[0].as_bytes() < pair[1].as_bytes())
        );
        assert!(lines.iter().all(|line| line.chars().count() >= 6));
        assert!(LIST.ends_with('\n') && !LIST.contains('\r'));
    }

    #[test]
    fn every_entry_is_found_in_its_own_folding() {
        for line in LIST.lines() {
            assert!(is_common(line), "{line}");
        }
    }

    #[test]
    fn well_known_ones_are_found_whatever_their_case_and_width() {
        for known in [
            "password",
            "Password1",
            "12345678",
            "QWERTYUIOP",
            "iloveyou",
            "letmein",
            "ｐａｓｓｗｏｒｄ",
        ] {
            assert!(is_common(known), "{known}");
        }
    }

    #[test]
    fn unlikely_ones_and_fragments_are_not() {
        for unlikely in [
            "",
            "\n",
            "passwor\nd",
            "violet kettle underneath",
            "Xq7#v9!Lw2",
            "zzzzzzzzzzzzzzzzzzz",
            "!",
        ] {
            assert!(!is_common(unlikely), "{unlikely}");
        }
    }

    #[test]
    fn the_search_reaches_both_ends_and_survives_no_list() {
        let list = "aaaaaa\nbbbbbb\nccccccc\n";
        for entry in ["aaaaaa", "bbbbbb", "ccccccc"] {
            assert!(contains(list, entry));
        }
        for absent in ["", "a", "aaaaaab", "bbbbb", "cccccccc", "\n"] {
            assert!(!contains(list, absent), "{absent:?}");
        }
        assert!(!contains("", "anything"));
    }
}
