//! The fields of a stored hash: numbers, parameters and base64, each read strictly.

use data_encoding::{BASE64, BASE64_NOPAD};

use super::foreign::HashFormatError::{self, Malformed, TooExpensive};

/// A shorter tag could be met by chance.
const SHORTEST_TAG: usize = 16;
/// The longest any known kind writes.
const LONGEST_TAG: usize = 64;

/// `a=1,b=2` with exactly the names wanted, each once, in any order.
pub(super) fn named<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], HashFormatError> {
    let mut values = [None; N];
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or(Malformed("parameters"))?;
        let place = names
            .iter()
            .position(|known| *known == name)
            .ok_or(Malformed("an unknown parameter"))?;
        if values[place].replace(number(value)?).is_some() {
            return Err(Malformed("a parameter twice"));
        }
    }
    let mut found = [0; N];
    for (place, value) in found.iter_mut().zip(values) {
        *place = value.ok_or(Malformed("a parameter is missing"))?;
    }
    Ok(found)
}

/// Digits only: `str::parse` would take a sign as well.
pub(super) fn number(text: &str) -> Result<u32, HashFormatError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed("not a number"));
    }
    text.parse().map_err(|_| TooExpensive("a number beyond 32 bits"))
}

/// scrypt's `N`, which must be a power of two.
pub(super) fn log_n(text: &str) -> Result<u32, HashFormatError> {
    let n = number(text)?;
    if n.is_power_of_two() {
        Ok(n.trailing_zeros())
    } else {
        Err(Malformed("N is no power of two"))
    }
}

pub(super) fn unpadded(text: &str) -> Result<Vec<u8>, HashFormatError> {
    BASE64_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| Malformed("base64"))
}

pub(super) fn padded(text: &str) -> Result<Vec<u8>, HashFormatError> {
    BASE64.decode(text.as_bytes()).map_err(|_| Malformed("base64"))
}

pub(super) fn long_enough(tag: Vec<u8>) -> Result<Vec<u8>, HashFormatError> {
    if (SHORTEST_TAG..=LONGEST_TAG).contains(&tag.len()) {
        Ok(tag)
    } else {
        Err(Malformed("the hash's length"))
    }
}
