//! Hashes of passwords, whoever made them.
//!
//! People move in with the hashes their old system wrote. Each of these is recognised by its text, verified with
//! that system's own rules, and replaced by our Argon2id at the first login that proves the password:
//!
//! | text | made by |
//! |---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, also `argon2i`, `argon2d`; `argon2$argon2id$…` | this house and many others; Django |
//! | `$2a$…`, `$2b$…`, `$2y$…`; `bcrypt$$2b$…` | bcrypt everywhere; Django |
//! | `$bcrypt-salted$<salt>$2b$…` | bcrypt of `password + salt`, see below |
//! | `bcrypt_sha256$$2b$…`; `$bcrypt-sha256$v=2,t=2b,r=12$salt$hash`, `$bcrypt-sha256$2b,12$salt$hash` | Django; passlib |
//! | `pbkdf2_sha256$iterations$salt$hash`, `pbkdf2_sha1$…` | Django |
//! | `$pbkdf2-sha256$iterations$salt$hash`, `$pbkdf2-sha512$…`, `$pbkdf2$…` | passlib |
//! | `pbkdf2:sha256:iterations$salt$hex` (sha1, sha256, sha512) | werkzeug, Flask |
//! | `$scrypt$ln=…,r=…,p=…$salt$hash` | PHC strings, passlib |
//! | `scrypt$N$salt$r$p$hash` | Django |
//! | `scrypt:N:r:p$salt$hex` | werkzeug, Flask |
//!
//! **bcrypt of `password + salt`.** Some tutorials keep a salt in a column of its own and hash
//! `password + salt`. Both columns become one text: `$bcrypt-salted$`, the salt column's text in base64 (standard
//! alphabet, no padding; such salts contain `$` themselves), and the bcrypt hash as it was:
//! `$bcrypt-salted$c2FsdA$2b$12$…`. [`salted_bcrypt`] writes it.
//!
//! bcrypt reads 72 bytes and ignores the rest, salt included; since the old hash was made so, it is verified so.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use zeroize::Zeroizing;

use super::arena::{Arena, Argon2Recipe};
use super::costs::{Argon2Costs, ImportLimits};
use super::formats;

/// A stored hash that has been understood and costs no more than allowed.
#[derive(Clone)]
pub struct StoredHash(pub(super) Kind);

/// What is needed to verify a password.
#[derive(Clone)]
pub(super) enum Kind {
    Argon2 {
        recipe: Argon2Recipe,
        salt: Vec<u8>,
        tag: Vec<u8>,
    },
    Bcrypt {
        hash: String,
        input: BcryptInput,
    },
    Pbkdf2 {
        algorithm: pbkdf2::Algorithm,
        iterations: NonZeroU32,
        salt: Vec<u8>,
        tag: Vec<u8>,
    },
    Scrypt {
        params: scrypt::Params,
        salt: Vec<u8>,
        tag: Vec<u8>,
    },
}

/// What bcrypt was given for a password.
#[derive(Clone)]
pub(super) enum BcryptInput {
    /// The password.
    Plain,
    /// The password followed by this text.
    WithSalt(String),
    /// The SHA-256 of the password in hexadecimal (Django).
    Sha256Hex,
    /// The SHA-256 of the password in base64 (passlib's first version).
    Sha256Base64,
    /// The HMAC-SHA-256 of the password, under this text, in base64 (passlib's second version).
    HmacBase64(String),
}

/// A stored hash that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFormatError {
    /// The text is of none of the known kinds.
    #[error("the hash is of no known kind")]
    Unknown,
    /// The kind is known, the rest is not as that kind is written.
    #[error("the hash is malformed: {0}")]
    Malformed(&'static str),
    /// Verifying it would cost more than an imported hash may.
    #[error("the hash asks for more than an imported hash may cost: {0}")]
    TooExpensive(&'static str),
}

/// The text under which bcrypt of `password + salt` is stored; see the module's own page.
///
/// # Errors
/// When `hash` is no bcrypt hash, or is too expensive.
pub fn salted_bcrypt(hash: &str, salt: &str) -> Result<String, HashFormatError> {
    if !hash.starts_with("$2") {
        return Err(HashFormatError::Unknown);
    }
    let text = format!(
        "{}{}{hash}",
        formats::BCRYPT_SALTED,
        BASE64_NOPAD.encode(salt.as_bytes())
    );
    StoredHash::parse(&text)?;
    Ok(text)
}

impl StoredHash {
    /// Understands `text`, within the default limits.
    ///
    /// # Errors
    /// When it is of no known kind, malformed, or would cost too much to verify.
    pub fn parse(text: &str) -> Result<Self, HashFormatError> {
        Self::parse_within(text, &ImportLimits::default())
    }

    /// Understands `text`, within `limits`.
    ///
    /// # Errors
    /// As [`parse`](StoredHash::parse).
    pub fn parse_within(text: &str, limits: &ImportLimits) -> Result<Self, HashFormatError> {
        formats::parse(text, limits).map(Self)
    }

    /// The algorithm's name, for statistics of an import.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.0 {
            Kind::Argon2 { recipe, .. } => recipe.algorithm.as_str(),
            Kind::Bcrypt {
                input: BcryptInput::Plain,
                ..
            } => "bcrypt",
            Kind::Bcrypt {
                input: BcryptInput::WithSalt(_),
                ..
            } => "bcrypt-salted",
            Kind::Bcrypt { .. } => "bcrypt-sha256",
            Kind::Pbkdf2 { .. } => "pbkdf2",
            Kind::Scrypt { .. } => "scrypt",
        }
    }

    /// Whether a new hash would be made with the same algorithm and costs.
    #[must_use]
    pub fn is_todays(&self, costs: Argon2Costs) -> bool {
        matches!(&self.0, Kind::Argon2 { recipe, salt, tag }
            if *recipe == Argon2Recipe::todays(costs) && salt.len() >= 16 && tag.len() >= 32)
    }

    /// Whether this hash may be ours, and so made of the normalised password.
    pub(super) fn may_be_ours(&self) -> bool {
        matches!(&self.0, Kind::Argon2 { recipe, .. } if recipe.algorithm == Algorithm::Argon2id)
    }

    /// Whether the hash depends on the whole of `password`: bcrypt reads 72 bytes. What comes after them was never
    /// proved, and must not become part of a better hash.
    pub(super) fn covers(&self, password: &str) -> bool {
        const BCRYPT_READS: usize = 72;
        !matches!(
            &self.0,
            Kind::Bcrypt { input: BcryptInput::Plain | BcryptInput::WithSalt(_), .. } if password.len() > BCRYPT_READS
        )
    }

    /// Whether `password`, byte for byte, is what was hashed. Costs what the hash costs: for hashing threads only.
    pub(super) fn is_of(&self, password: &str, arena: &mut Arena) -> bool {
        match &self.0 {
            Kind::Argon2 { recipe, salt, tag } => {
                let mut made = Zeroizing::new(vec![0; tag.len()]);
                arena.argon2(recipe, password.as_bytes(), salt, &mut made).is_ok()
                    && verify_slices_are_equal(&made, tag).is_ok()
            }
            Kind::Bcrypt { hash, input } => {
                // The crate compares in constant time, and the parser has seen to it that it knows the hash.
                bcrypt::verify(input.of(password).as_slice(), hash).unwrap_or(false)
            }
            Kind::Pbkdf2 {
                algorithm,
                iterations,
                salt,
                tag,
            } => pbkdf2::verify(*algorithm, *iterations, salt, password.as_bytes(), tag).is_ok(),
            Kind::Scrypt { params, salt, tag } => {
                let mut made = Zeroizing::new(vec![0; tag.len()]);
                scrypt::scrypt(password.as_bytes(), salt, params, &mut made).is_ok()
                    && verify_slices_are_equal(&made, tag).is_ok()
            }
        }
    }
}

impl BcryptInput {
    fn of(&self, password: &str) -> Zeroizing<Vec<u8>> {
        let text = match self {
            Self::Plain => password.as_bytes().to_vec(),
            Self::WithSalt(salt) => {
                let mut text = Vec::with_capacity(password.len() + salt.len());
                text.extend_from_slice(password.as_bytes());
                text.extend_from_slice(salt.as_bytes());
                text
            }
            Self::Sha256Hex => HEXLOWER
                .encode(digest::digest(&digest::SHA256, password.as_bytes()).as_ref())
                .into_bytes(),
            Self::Sha256Base64 => BASE64
                .encode(digest::digest(&digest::SHA256, password.as_bytes()).as_ref())
                .into_bytes(),
            Self::HmacBase64(salt) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
                BASE64
                    .encode(hmac::sign(&key, password.as_bytes()).as_ref())
                    .into_bytes()
            }
        };
        Zeroizing::new(text)
    }
}

impl Argon2Recipe {
    /// How this house makes hashes of such costs.
    pub(super) fn todays(costs: Argon2Costs) -> Self {
        Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            memory_kib: costs.memory_kib,
            iterations: costs.iterations,
            parallelism: costs.parallelism,
        }
    }
}

impl fmt::Debug for StoredHash {
    /// Names the algorithm and shows nothing of the hash, which is as good as a password to who can guess.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredHash").field(&self.algorithm()).finish()
    }
}
