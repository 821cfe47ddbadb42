//! Public keys as they are published (RFC 7517): what the issuer serves at `/.well-known/jwks.json`.
//!
//! These types only carry the document. Whether a key may verify anything is decided by
//! [`VerifyingKey::from_jwk`](crate::VerifyingKey::from_jwk). There is no field for a private member, so no private
//! half can be published by mistake.

use serde::{Deserialize, Serialize};

/// One public key. Members that are not listed (`key_ops`, `x5c`, … and private ones) are dropped on reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: `EC`, `OKP` or `RSA`. Empty when the document lacks it, so that one broken key does not spoil
    /// the set (RFC 7517 §5).
    #[serde(default)]
    pub kty: String,
    /// The name that tokens use for this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `sig`, where given.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// The one algorithm this key verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The curve of an `EC` or `OKP` key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The x coordinate (`EC`) or the public key (`OKP`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The y coordinate (`EC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus (`RSA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent (`RSA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// A set of public keys, the document at a `jwks_uri`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys, in the order of the document.
    pub keys: Vec<Jwk>,
}
