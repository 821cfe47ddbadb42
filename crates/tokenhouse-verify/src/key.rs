//! A key that can verify, with the one algorithm it verifies.
//!
//! Algorithm confusion (a public RSA key used as an HMAC secret, a token choosing its own check) is only possible
//! where a key does not know what it is for. Here it does: the algorithm is fixed when the key is read, and a
//! token that names another is refused before any cryptography (RFC 8725 §3.1).

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    },
};
use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;

use crate::{Algorithm, Jwk};

/// The longest `kid` that is read, in bytes: it is looked up before anything is authenticated.
pub const MAX_KID_LENGTH: usize = 128;

/// The shortest secret for HS256: as long as the digest (RFC 7518 §3.2).
pub const MIN_SECRET_LENGTH: usize = 32;

/// The shortest secret that [`VerifyingKey::hs256_legacy`] takes.
pub const MIN_LEGACY_SECRET_LENGTH: usize = 16;

/// Why a key cannot verify tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Without a name a token cannot point at it.
    #[error("the key has no kid")]
    KidMissing,
    /// Empty, or longer than [`MAX_KID_LENGTH`].
    #[error("the kid is empty or too long")]
    KidLength,
    /// An RSA key must say whether it is for RS256 or PS256.
    #[error("the key does not say which algorithm it is for")]
    AlgorithmMissing,
    /// The algorithm is unknown, or is not one for this type of key.
    #[error("the key's algorithm is unsupported or does not fit its type")]
    AlgorithmUnfit,
    /// Neither P-256, nor Ed25519, nor RSA. Symmetric keys never come from a JWKS.
    #[error("the key's type or curve is unsupported")]
    TypeUnsupported,
    /// `use` is not `sig`.
    #[error("the key is not for signatures")]
    UsageUnfit,
    /// A member is missing, not base64url, or has the wrong length.
    #[error("the key's members are missing or malformed")]
    Malformed,
    /// Too short, too long, off the curve, of small order, or with a bad exponent.
    #[error("the key is too weak or not valid")]
    Weak,
    /// Shorter than the constructor allows.
    #[error("the secret is too short")]
    SecretTooShort,
    /// Two keys of one set share a name.
    #[error("two keys have the same kid")]
    DuplicateKid,
}

/// A parsed key, its name, and the one algorithm it verifies. Cloning is cheap.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    signature_length: usize,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Public(Arc<ParsedPublicKey>),
    Secret(Arc<hmac::Key>),
}

impl VerifyingKey {
    /// Read a published key. `kid` is required. The algorithm is the key's `alg`; where that is absent a P-256 key
    /// is for ES256 and an Ed25519 key for EdDSA, and an RSA key is refused, because it could be for two.
    ///
    /// RSA keys have 2048 to 8192 bits and an odd exponent from 3 to below 2³³ (a huge one would make every
    /// verification slow). Ed25519 keys of small order are refused: they verify signatures nobody made.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let kid = jwk.kid.as_deref().ok_or(KeyError::KidMissing)?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(KeyError::UsageUnfit);
        }
        let pinned: Option<Algorithm> = match jwk.alg.as_deref() {
            Some(name) => Some(name.parse().map_err(|_| KeyError::AlgorithmUnfit)?),
            None => None,
        };
        let (algorithm, signature_length, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => (
                expect(pinned, Algorithm::Es256)?,
                64,
                p256(jwk.x.as_deref(), jwk.y.as_deref())?,
            ),
            ("OKP", Some("Ed25519")) => (expect(pinned, Algorithm::EdDsa)?, 64, ed25519(jwk.x.as_deref())?),
            ("RSA", _) => {
                let algorithm = pinned.ok_or(KeyError::AlgorithmMissing)?;
                let (length, key) = rsa(algorithm, jwk.n.as_deref(), jwk.e.as_deref())?;
                (algorithm, length, key)
            }
            _ => return Err(KeyError::TypeUnsupported),
        };
        Self::new(kid, algorithm, signature_length, Material::Public(Arc::new(key)))
    }

    /// A shared secret of at least 32 bytes. It must be random: an HMAC can be searched offline by whoever holds
    /// one token (RFC 8725 §3.5).
    pub fn hs256(kid: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::secret(kid, secret, MIN_SECRET_LENGTH)
    }

    /// Like [`hs256`](Self::hs256) for secrets of 16 bytes and more.
    ///
    /// Applications bring a `SECRET_KEY` that has already signed tokens and is shorter than RFC 7518 asks. Below
    /// 32 bytes the secret, and not the digest, is what limits the strength; use this only until it is replaced.
    pub fn hs256_legacy(kid: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::secret(kid, secret, MIN_LEGACY_SECRET_LENGTH)
    }

    fn secret(kid: &str, secret: &[u8], minimum: usize) -> Result<Self, KeyError> {
        if secret.len() < minimum {
            return Err(KeyError::SecretTooShort);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self::new(kid, Algorithm::Hs256, 32, Material::Secret(Arc::new(key)))
    }

    fn new(
        kid: &str,
        algorithm: Algorithm,
        signature_length: usize,
        material: Material,
    ) -> Result<Self, KeyError> {
        if kid.is_empty() || kid.len() > MAX_KID_LENGTH {
            return Err(KeyError::KidLength);
        }
        Ok(Self {
            kid: kid.into(),
            algorithm,
            signature_length,
            material,
        })
    }

    /// The name that tokens use for this key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn shared_kid(&self) -> Arc<str> {
        Arc::clone(&self.kid)
    }

    /// The exact length of a signature by this key; anything else is refused unread.
    pub(crate) fn signature_length(&self) -> usize {
        self.signature_length
    }

    pub(crate) fn accepts(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify_sig(signed, signature).is_ok(),
            Material::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    // By hand, so that no secret can be printed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn expect(pinned: Option<Algorithm>, only: Algorithm) -> Result<Algorithm, KeyError> {
    match pinned {
        Some(algorithm) if algorithm != only => Err(KeyError::AlgorithmUnfit),
        _ => Ok(only),
    }
}

fn bytes(member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    BASE64URL_NOPAD
        .decode(member.ok_or(KeyError::Malformed)?.as_bytes())
        .map_err(|_| KeyError::Malformed)
}

fn coordinate(member: Option<&str>) -> Result<[u8; 32], KeyError> {
    bytes(member)?.try_into().map_err(|_| KeyError::Malformed)
}

fn p256(x: Option<&str>, y: Option<&str>) -> Result<ParsedPublicKey, KeyError> {
    const UNCOMPRESSED: u8 = 4;
    let point = [
        &[UNCOMPRESSED],
        coordinate(x)?.as_slice(),
        coordinate(y)?.as_slice(),
    ]
    .concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyError::Weak)
}

fn ed25519(x: Option<&str>) -> Result<ParsedPublicKey, KeyError> {
    let point = coordinate(x)?;
    if has_small_order(&point) {
        return Err(KeyError::Weak);
    }
    ParsedPublicKey::new(&ED25519, point).map_err(|_| KeyError::Weak)
}

/// The eight points whose order divides 8, with their non-canonical spellings; the sign of x does not matter. An
/// all-zero key, the likeliest accident, is one of them.
fn has_small_order(point: &[u8; 32]) -> bool {
    const ORDER_EIGHT: [[u8; 31]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03,
        ],
    ];
    let [low @ .., high] = point;
    let [first, middle @ ..] = low;
    match high & 0x7f {
        0x00 => matches!(first, 0 | 1) && middle.iter().all(|byte| *byte == 0),
        0x7f => matches!(first, 0xec..=0xee) && middle.iter().all(|byte| *byte == 0xff),
        0x05 => *low == ORDER_EIGHT[0],
        0x7a => *low == ORDER_EIGHT[1],
        _ => false,
    }
}

fn rsa(algorithm: Algorithm, n: Option<&str>, e: Option<&str>) -> Result<(usize, ParsedPublicKey), KeyError> {
    let parameters = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Es256 | Algorithm::EdDsa | Algorithm::Hs256 => return Err(KeyError::AlgorithmUnfit),
    };
    let (n, e) = (bytes(n)?, bytes(e)?);
    // aws-lc-rs checks the size only at the first verification; a key that can never verify should not be listed.
    let (Some(first), Some(last)) = (n.first(), n.last()) else {
        return Err(KeyError::Malformed);
    };
    let bits = n
        .len()
        .saturating_mul(8)
        .saturating_sub(first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) || *first == 0 || last & 1 == 0 || !exponent_is_sound(&e) {
        return Err(KeyError::Weak);
    }
    let key = RsaPublicKeyComponents { n: &n, e: &e }
        .to_parsed_public_key(parameters)
        .map_err(|_| KeyError::Weak)?;
    Ok((n.len(), key))
}

fn exponent_is_sound(e: &[u8]) -> bool {
    if e.is_empty() || e.len() > 5 || e[0] == 0 {
        return false;
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    exponent >= 3 && exponent & 1 == 1 && exponent < 1 << 33
}
