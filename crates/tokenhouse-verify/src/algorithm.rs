//! The signature algorithms a key may be pinned to.
//!
//! The list is short on purpose: every entry is one more thing an attacker may try to be confused with. There is
//! no `none`, and no way to name an algorithm that is not listed (RFC 8725 §3.1).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A JWS algorithm (RFC 7518 §3.1, RFC 8037), written as its JOSE name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519. RFC 9864's newer name `Ed25519` is another value of `alg`, and is not taken for this one.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256 and a salt of the digest's length.
    #[serde(rename = "PS256")]
    Ps256,
    /// HMAC with SHA-256: whoever can verify can also sign.
    #[serde(rename = "HS256")]
    Hs256,
}

impl Algorithm {
    /// Every algorithm, for tests and configuration pages.
    pub const ALL: [Self; 5] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Ps256, Self::Hs256];

    /// The JOSE name, as it stands in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Hs256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name is not one of [`Algorithm::ALL`]; names are case-sensitive (RFC 7515 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an algorithm that is supported here")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(UnknownAlgorithm)
    }
}
