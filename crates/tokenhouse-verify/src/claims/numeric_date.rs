//! A NumericDate (RFC 7519 §2): seconds since 1970 as a JSON number, and nothing else.
//!
//! A widely used library treated an `exp` in quotes as absent (CVE-2026-25537). Here a wrong type is an error.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// The end of the year 9999, the last that RFC 3339 can write. What lies beyond is a mistake (milliseconds, most
/// often) or an attempt at a token without an end.
const LAST: u64 = 253_402_300_799;

/// Fractions are allowed by the standard; the clock here counts whole seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumericDate {
    whole: u64,
    has_fraction: bool,
}

impl NumericDate {
    /// The last whole second not after it: an end that is rounded never comes late.
    pub(super) fn rounded_down(self) -> u64 {
        self.whole
    }

    /// The first whole second not before it: a beginning that is rounded never comes early.
    pub(super) fn rounded_up(self) -> u64 {
        self.whole.saturating_add(u64::from(self.has_fraction))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumericDateVisitor;

        impl Visitor<'_> for NumericDateVisitor {
            type Value = NumericDate;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("seconds since 1970, before the year 10000")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<NumericDate, E> {
                if seconds > LAST {
                    return Err(E::invalid_value(Unexpected::Unsigned(seconds), &self));
                }
                Ok(NumericDate {
                    whole: seconds,
                    has_fraction: false,
                })
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                if !(0.0..=LAST as f64).contains(&seconds) {
                    return Err(E::invalid_value(Unexpected::Float(seconds), &self));
                }
                Ok(NumericDate {
                    whole: seconds as u64,
                    has_fraction: seconds.fract() > 0.0,
                })
            }
        }

        // The hint is a number and not "any": that keeps its meaning when another crate of the build turns on
        // serde_json's `arbitrary_precision`.
        deserializer.deserialize_f64(NumericDateVisitor)
    }
}
