//! Durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A length of time that is written `"15m"`, `"1h 30m"`, `"30d"` or, after ISO 8601, `"PT15M"`.
///
/// ```
/// use std::time::Duration;
/// use tokenhouse::settings::Period;
/// assert_eq!("15m".parse(), Ok(Period::minutes(15)));
/// assert_eq!(*"7d".parse::<Period>().unwrap(), Duration::from_secs(7 * 86_400));
/// assert!("15".parse::<Period>().unwrap_err().to_string().contains("15m"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time; write it with its unit, such as \"30s\", \"15m\", \"12h\" or \"30d\"")]
pub struct PeriodError(String);

impl Period {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// So many seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// So many minutes.
    #[must_use]
    pub const fn minutes(count: u64) -> Self {
        Self::seconds(count.saturating_mul(60))
    }

    /// So many days of 24 hours.
    #[must_use]
    pub const fn days(count: u64) -> Self {
        Self::seconds(count.saturating_mul(86_400))
    }

    /// The same as jiff counts it, for arithmetic on instants.
    #[must_use]
    pub fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl std::ops::Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        text.parse::<Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            // Further than this, instants near it could no longer be represented.
            .filter(|duration| duration.as_secs() <= 100 * 365 * 86_400)
            .map(Self)
            .ok_or_else(|| PeriodError(text.to_owned()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() > 0 {
            write!(f, "{}ms", self.0.as_millis())
        } else if seconds > 0 && seconds.is_multiple_of(86_400) {
            write!(f, "{}d", seconds / 86_400)
        } else if seconds > 0 && seconds.is_multiple_of(3600) {
            write!(f, "{}h", seconds / 3600)
        } else if seconds > 0 && seconds.is_multiple_of(60) {
            write!(f, "{}m", seconds / 60)
        } else {
            write!(f, "{seconds}s")
        }
    }
}

impl<'de> serde::Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for period in [
            Period::millis(500),
            Period::seconds(0),
            Period::seconds(90),
            Period::minutes(15),
            Period::days(30),
        ] {
            assert_eq!(period.to_string().parse(), Ok(period));
        }
    }

    #[test]
    fn nonsense_negative_and_endless_periods_are_refused() {
        for text in ["", "15", "-5m", "soon", "1000y", "5 parsecs"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
