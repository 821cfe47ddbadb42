//! One signing key: made, read from PKCS#8 or PEM, and used. The primitives are aws-lc's.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use data_encoding::BASE64URL_NOPAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokenhouse_verify::{Algorithm, Jwk, VerifyingKey};
use zeroize::Zeroizing;

/// An RSA key shorter than this is refused (RFC 7518 §3.3).
const RSA_LEAST_BYTES: usize = 2048 / 8;
/// An HMAC secret shorter than this is refused (RFC 7518 §3.2).
const HMAC_LEAST_BYTES: usize = 32;

/// Why a text is no key to sign with; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or not a private key.
    #[error("the file holds no private key in PEM (PKCS#8: `-----BEGIN PRIVATE KEY-----`)")]
    NotPem,
    /// A kind of key we do not sign with.
    #[error("only P-256, Ed25519 and RSA keys of at least 2048 bits are taken")]
    Unsupported,
    /// RSA keys can sign both ways, EC keys only one.
    #[error("a key of this kind cannot sign {0}")]
    OtherAlgorithm(Algorithm),
    /// Shorter than its hash.
    #[error("the HS256 secret must have at least 32 bytes; `openssl rand -hex 32` makes one")]
    SecretTooShort,
    /// The primitive failed.
    #[error("the cryptographic library could not make or use the key")]
    Failed,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Hs256(Box<hmac::Key>),
}

/// A key that signs tokens with exactly one algorithm.
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
    /// What is sealed into the database: PKCS#8, or the secret itself for HS256.
    private: Zeroizing<Vec<u8>>,
    public: Option<Jwk>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm, self.kid)
    }
}

impl SigningKey {
    /// Makes a new key. RSA takes a second or so; the others microseconds.
    ///
    /// # Errors
    /// [`KeyError::Failed`] when the system has no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Failed;
        let private = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                    .map_err(failed)?
                    .as_ref()
                    .to_vec()
            }
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 | Algorithm::Ps256 => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|pair| AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair))
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Hs256 => {
                let mut secret = vec![0; HMAC_LEAST_BYTES];
                aws_lc_rs::rand::fill(&mut secret).map_err(failed)?;
                secret
            }
        };
        Self::from_private(algorithm, Zeroizing::new(private))
    }

    /// Reads what [`private`](Self::private) gave.
    ///
    /// # Errors
    /// When the bytes are no key for this algorithm.
    pub fn from_private(algorithm: Algorithm, private: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let (pair, public) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private)
                    .map_err(|_| KeyError::OtherAlgorithm(algorithm))?;
                // An uncompressed point: 0x04, x, y.
                let (x, y) = match pair.public_key().as_ref() {
                    [4, point @ ..] if point.len() == 64 => point.split_at(32),
                    _ => return Err(KeyError::Unsupported),
                };
                let jwk = Jwk {
                    crv: Some("P-256".to_owned()),
                    x: Some(encode(x)),
                    y: Some(encode(y)),
                    ..jwk("EC")
                };
                (Pair::Es256(pair), Some(jwk))
            }
            Algorithm::EdDsa => {
                // OpenSSL writes no public key into an Ed25519 PKCS#8.
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private)
                    .map_err(|_| KeyError::OtherAlgorithm(algorithm))?;
                let x = encode(pair.public_key().as_ref());
                let jwk = Jwk {
                    crv: Some("Ed25519".to_owned()),
                    x: Some(x),
                    ..jwk("OKP")
                };
                (Pair::EdDsa(pair), Some(jwk))
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let pair =
                    RsaKeyPair::from_pkcs8(&private).map_err(|_| KeyError::OtherAlgorithm(algorithm))?;
                if pair.public_modulus_len() < RSA_LEAST_BYTES {
                    return Err(KeyError::Unsupported);
                }
                let public = pair.public_key();
                let n = encode(public.modulus().big_endian_without_leading_zero());
                let e = encode(public.exponent().big_endian_without_leading_zero());
                let jwk = Jwk {
                    n: Some(n),
                    e: Some(e),
                    ..jwk("RSA")
                };
                (Pair::Rsa(Box::new(pair)), Some(jwk))
            }
            Algorithm::Hs256 if private.len() < HMAC_LEAST_BYTES => return Err(KeyError::SecretTooShort),
            Algorithm::Hs256 => (
                Pair::Hs256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &private))),
                None,
            ),
        };
        let kid = match &public {
            Some(jwk) => thumbprint(jwk, algorithm),
            // A digest of a digest: the name of a shared secret must not be a hash that others may publish.
            None => short(
                digest::digest(
                    &digest::SHA256,
                    digest::digest(&digest::SHA256, &private).as_ref(),
                )
                .as_ref(),
            ),
        };
        let public = public.map(|jwk| Jwk {
            kid: Some(kid.clone()),
            alg: Some(algorithm.to_string()),
            ..jwk
        });
        Ok(Self {
            kid,
            algorithm,
            pair,
            private,
            public,
        })
    }

    /// Reads a key made elsewhere: PEM holding PKCS#8, and PKCS#1 or SEC1 as `openssl` writes them too. An RSA
    /// key signs RS256 unless `preferred` is PS256.
    ///
    /// # Errors
    /// When it is no key that we sign with.
    pub fn from_pem(pem: &str, preferred: Algorithm) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NotPem)?;
        let failed = |_| KeyError::Failed;
        let rsa = if preferred == Algorithm::Ps256 {
            Algorithm::Ps256
        } else {
            Algorithm::Rs256
        };
        match &der {
            PrivateKeyDer::Pkcs8(pkcs8) => [Algorithm::Es256, Algorithm::EdDsa, rsa]
                .into_iter()
                .find_map(|algorithm| {
                    Self::from_private(algorithm, Zeroizing::new(pkcs8.secret_pkcs8_der().to_vec())).ok()
                })
                .ok_or(KeyError::Unsupported),
            PrivateKeyDer::Pkcs1(pkcs1) => {
                let pair =
                    RsaKeyPair::from_der(pkcs1.secret_pkcs1_der()).map_err(|_| KeyError::Unsupported)?;
                let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
                Self::from_private(rsa, Zeroizing::new(pkcs8.as_ref().to_vec()))
            }
            PrivateKeyDer::Sec1(sec1) => {
                let pair = EcdsaKeyPair::from_private_key_der(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    sec1.secret_sec1_der(),
                )
                .map_err(|_| KeyError::Unsupported)?;
                let pkcs8 = pair.to_pkcs8v1().map_err(failed)?;
                Self::from_private(Algorithm::Es256, Zeroizing::new(pkcs8.as_ref().to_vec()))
            }
            _ => Err(KeyError::Unsupported),
        }
    }

    /// Its name in the `kid` header: the JWK thumbprint (RFC 7638), shortened.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What to seal.
    #[must_use]
    pub fn private(&self) -> &[u8] {
        &self.private
    }

    /// What to publish; nothing for HS256.
    #[must_use]
    pub fn public(&self) -> Option<&Jwk> {
        self.public.as_ref()
    }

    /// What checks its signatures.
    ///
    /// # Errors
    /// [`KeyError::Failed`] when the public half cannot be used, which a key that was read cannot be.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        match &self.public {
            Some(jwk) => VerifyingKey::from_jwk(jwk),
            None => VerifyingKey::hs256(&self.kid, &self.private),
        }
        .map_err(|_| KeyError::Failed)
    }

    /// The JWS signature over `input` (RFC 7515 §5.1).
    ///
    /// # Errors
    /// [`KeyError::Failed`] when the primitive fails.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Failed;
        Ok(match &self.pair {
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), input)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Pair::EdDsa(pair) => pair.sign(input).as_ref().to_vec(),
            Pair::Hs256(key) => hmac::sign(key, input).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 {
                        &RSA_PSS_SHA256
                    } else {
                        &RSA_PKCS1_SHA256
                    };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), input, &mut signature)
                    .map_err(failed)?;
                signature
            }
        })
    }
}

fn jwk(kty: &str) -> Jwk {
    Jwk {
        kty: kty.to_owned(),
        usage: Some("sig".to_owned()),
        ..Jwk::default()
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// 96 bits name a key; the full 256 would only make each token longer.
fn short(digest: &[u8]) -> String {
    encode(&digest[..12])
}

/// RFC 7638 §3: the digest of the required members in lexicographic order. An RSA key that signs PS256 is
/// another one than the same that signs RS256, since a key has one algorithm; so it has another name.
fn thumbprint(jwk: &Jwk, algorithm: Algorithm) -> String {
    let members = [
        ("crv", &jwk.crv),
        ("e", &jwk.e),
        ("n", &jwk.n),
        ("x", &jwk.x),
        ("y", &jwk.y),
    ];
    let mut members: Vec<_> = members
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (*name, value.as_str())))
        .collect();
    members.push(("kty", &jwk.kty));
    members.sort_unstable();
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    let suffix = if algorithm == Algorithm::Ps256 {
        "PS256"
    } else {
        ""
    };
    let text = format!("{{{}}}{suffix}", members.join(","));
    short(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
