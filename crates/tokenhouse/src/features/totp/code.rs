//! The codes themselves: HOTP (RFC 4226) over the number of half minutes since 1970 (RFC 6238), with SHA-1 and six
//! digits, which is what every authenticator app understands whatever else the URI says.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Bytes of a secret: the length of the hash, as RFC 4226 §4 recommends.
pub(super) const SECRET_BYTES: usize = 20;
const PERIOD: i64 = 30;
const DIGITS: u32 = 6;
/// Steps a phone's clock may be ahead or behind (RFC 6238 §5.2).
const DRIFT: i64 = 1;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The step that `now` is in.
fn step_at(now: Timestamp) -> i64 {
    now.as_second().div_euclid(PERIOD)
}

/// The code of a step (RFC 4226 §5.3).
fn code_at(secret: &[u8], step: i64, digits: u32) -> String {
    let mac = sign(
        &Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
        &step.to_be_bytes(),
    );
    let mac = mac.as_ref();
    let offset = usize::from(mac[19] & 0x0f);
    let number = u32::from_be_bytes([
        mac[offset] & 0x7f,
        mac[offset + 1],
        mac[offset + 2],
        mac[offset + 3],
    ]);
    format!("{:0width$}", number % 10_u32.pow(digits), width = digits as usize)
}

/// The step whose code was typed, if it is one that may be used now, and is later than the last that was used. All are
/// compared, so that time does not tell which it was.
pub(super) fn matching_step(secret: &[u8], typed: &str, last_used: i64, now: Timestamp) -> Option<i64> {
    let typed: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect();
    let now = step_at(now);
    let mut found = None;
    for step in now - DRIFT..=now + DRIFT {
        let code = code_at(secret, step, DIGITS);
        if verify_slices_are_equal(code.as_bytes(), typed.as_bytes()).is_ok() && step > last_used {
            found = Some(step);
        }
    }
    found
}

/// The code that an app would show.
#[cfg(any(test, feature = "testing"))]
pub(super) fn code_now(secret: &[u8], now: Timestamp) -> String {
    code_at(secret, step_at(now), DIGITS)
}

/// The secret as people type it.
pub(super) fn spelled(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// What the QR code says: the Key URI Format that Google Authenticator began and all others read.
pub(super) fn uri(issuer: &str, account: &str, secret: &[u8]) -> String {
    let escape = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    // A colon divides the label.
    let issuer = escape(&issuer.replace(':', " "));
    format!(
        "otpauth://totp/{issuer}:{}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD}",
        escape(account),
        spelled(secret),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of both RFCs.
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// RFC 6238, appendix B.
    #[test]
    fn the_vectors_of_rfc_6238() {
        for (second, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code_at(SECRET, step_at(at(second)), 8), code);
            // Six digits are the last six.
            assert_eq!(code_now(SECRET, at(second)), code[2..]);
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn the_vectors_of_rfc_4226() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, code) in codes.into_iter().enumerate() {
            assert_eq!(code_at(SECRET, i64::try_from(step).unwrap(), 6), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_or_late_and_never_twice() {
        let now = at(3000);
        for (step, good) in [(98, false), (99, true), (100, true), (101, true), (102, false)] {
            let code = code_at(SECRET, step, 6);
            assert_eq!(
                matching_step(SECRET, &code, 0, now),
                good.then_some(step),
                "{step}"
            );
            assert_eq!(matching_step(SECRET, &code, step, now), None);
        }
        let code = code_now(SECRET, now);
        let spaced = format!(" {}-{} ", &code[..3], &code[3..]);
        assert_eq!(matching_step(SECRET, &spaced, 0, now), Some(100));
        for bad in ["", "1", &code[1..], &format!("{code}0"), "１２３４５６"] {
            assert_eq!(matching_step(SECRET, bad, 0, now), None);
        }
    }

    #[test]
    fn the_uri_holds_whatever_a_name_is_made_of() {
        assert_eq!(
            uri("Ada: & Co", "ada+a@example.org", SECRET),
            "otpauth://totp/Ada%20%20%26%20Co:ada%2Ba%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Ada%20%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }
}
