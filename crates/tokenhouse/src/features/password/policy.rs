//! Which passwords may be chosen.
//!
//! After NIST SP 800-63B: length counts, and whether others use the same; capitals, digits and signs do not, and
//! nothing expires. The length is counted in code points of the [normalised](crate::base::hashing::spelling) text. Every character
//! is allowed, spaces and control characters too, but NUL: programs written in C end a text there, and a house that
//! moves elsewhere one day should not shorten anybody's password.

use std::fmt;
use std::sync::Arc;

use crate::base::hashing::spelling::{fits, normalised};
use crate::base::secret::Secret;
use crate::base::settings::PasswordSettings;

use super::common::is_common;
use super::resemblance::resembles;

/// An embedder's own rule; what it says is shown to the person who chose the password.
pub type CustomRule = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The rules for a new password.
#[derive(Clone)]
pub struct PasswordPolicy {
    /// The fewest characters. NIST asks for 15 where the password is the only factor, and 8 with a second one.
    pub min_length: usize,
    /// The most characters, between 64 and 256.
    pub max_length: usize,
    /// Refuse the passwords everybody tries first.
    pub check_common: bool,
    /// Refuse the account's own e-mail, name and the like.
    pub check_resemblance: bool,
    /// Refuse these and what is little more: the service's name, words of the operator's.
    pub forbidden_words: Vec<String>,
    /// The embedder's own rule; it sees the normalised password.
    pub custom: Option<CustomRule>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 8,
            max_length: 128,
            check_common: true,
            check_resemblance: true,
            forbidden_words: Vec::new(),
            custom: None,
        }
    }
}

/// A policy that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    /// The bounds leave no room, or not the room they should.
    #[error("a password's length must be bounded by 1 ≤ min_length ≤ max_length and 64 ≤ max_length ≤ 256")]
    Bounds,
}

/// What is wrong with a password somebody chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordFault {
    /// Fewer characters than `min`.
    TooShort {
        /// The fewest allowed.
        min: usize,
    },
    /// More characters than `max`, or more bytes than any password has.
    TooLong {
        /// The most allowed.
        max: usize,
    },
    /// It holds a NUL character.
    HasNul,
    /// It is among the most common ones.
    Common,
    /// It is the account's own name with little or nothing added.
    ResemblesAccount,
    /// It is a word that everybody thinks of here, with little or nothing added.
    ForbiddenWord,
    /// The embedder's rule refuses it, in its words.
    Custom(String),
}

impl PasswordFault {
    /// The stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong { .. } => "password_too_long",
            Self::HasNul => "password_has_nul",
            Self::Common => "password_breached",
            Self::ResemblesAccount => "password_resembles_account",
            Self::ForbiddenWord => "password_forbidden_word",
            Self::Custom(_) => "password_refused",
        }
    }
}

impl fmt::Display for PasswordFault {
    /// A sentence for the person who chose the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min } => write!(f, "The password must have at least {min} characters."),
            Self::TooLong { max } => write!(f, "The password must have at most {max} characters."),
            Self::HasNul => f.write_str("The password must not contain a NUL character."),
            Self::Common => f.write_str(
                "This password is in lists of leaked passwords, which attackers try first. Choose another.",
            ),
            Self::ResemblesAccount => {
                f.write_str("The password is too much like your e-mail address or name. Choose another.")
            }
            Self::ForbiddenWord => f.write_str(
                "The password is too much like the name of this service, or another word that is tried first here. Choose another.",
            ),
            Self::Custom(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for PasswordFault {}

impl PasswordPolicy {
    /// The policy of the settings.
    #[must_use]
    pub fn of(settings: &PasswordSettings) -> Self {
        Self {
            min_length: settings.min_length,
            max_length: settings.max_length,
            check_common: settings.check_common,
            forbidden_words: settings.forbidden_words.clone(),
            ..Self::default()
        }
    }

    /// Says whether the bounds make sense: NIST wants 64 characters allowed, and 256 is what always fits.
    ///
    /// # Errors
    /// When they do not.
    pub fn validate(&self) -> Result<(), PasswordPolicyError> {
        let sensible =
            (1..=self.max_length).contains(&self.min_length) && (64..=256).contains(&self.max_length);
        if sensible {
            Ok(())
        } else {
            Err(PasswordPolicyError::Bounds)
        }
    }

    /// Checks a password somebody wants to have. `about` is what is known of the account: e-mail, username. The answer is the password as it will be hashed.
    ///
    /// # Errors
    /// Everything that is wrong with it, so that nobody has to find out one by one.
    pub fn check(&self, password: &Secret, about: &[&str]) -> Result<Secret, Vec<PasswordFault>> {
        if !fits(password) {
            return Err(vec![PasswordFault::TooLong { max: self.max_length }]);
        }
        let normal = normalised(password.expose());
        let text = normal.expose();
        let length = text.chars().count();
        let mut faults = Vec::new();
        if length < self.min_length {
            faults.push(PasswordFault::TooShort { min: self.min_length });
        }
        if length > self.max_length {
            faults.push(PasswordFault::TooLong { max: self.max_length });
        }
        if text.contains('\0') {
            faults.push(PasswordFault::HasNul);
        }
        if self.check_common && is_common(text) {
            faults.push(PasswordFault::Common);
        }
        if self.check_resemblance && about.iter().any(|word| resembles(text, word)) {
            faults.push(PasswordFault::ResemblesAccount);
        }
        if self.forbidden_words.iter().any(|word| resembles(text, word)) {
            faults.push(PasswordFault::ForbiddenWord);
        }
        if let Some(Err(reason)) = self.custom.as_ref().map(|rule| rule(text)) {
            faults.push(PasswordFault::Custom(reason));
        }
        if faults.is_empty() {
            Ok(normal)
        } else {
            Err(faults)
        }
    }
}

impl fmt::Debug for PasswordPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPolicy")
            .field("min_length", &self.min_length)
            .field("max_length", &self.max_length)
            .field("check_common", &self.check_common)
            .field("check_resemblance", &self.check_resemblance)
            .field("forbidden_words", &self.forbidden_words)
            .field("custom", &self.custom.is_some())
            .finish()
    }
}
