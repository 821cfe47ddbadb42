//! The three kinds of key that are asked for: ES256, which all have, EdDSA, and RS256 for Windows Hello.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    VerificationAlgorithm,
};

use super::{Refusal, cbor};

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// The algorithms asked for (IANA COSE), those we like best first.
pub(in super::super) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];

/// A credential's public key, which is kept as the authenticator wrote it.
#[derive(Clone, Debug)]
pub(in super::super) struct PublicKey {
    cose: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Plain(ParsedPublicKey),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.cose == other.cose
    }
}

impl PublicKey {
    /// Reads a `COSE_Key` and refuses what is no key: a point beside the curve, a modulus that is too short.
    pub(in super::super) fn read(cose: &[u8]) -> Result<Self, Refusal> {
        let key = cbor::cose_key(cose)?;
        let kind = match (key.algorithm, key.key_type, key.curve) {
            (Some(ES256), Some(2), Some(1)) => {
                let (x, y) = (coordinate(key.x)?, coordinate(key.y)?);
                plain(&ECDSA_P256_SHA256_ASN1, &[&[4], x, y].concat())?
            }
            (Some(EDDSA), Some(1), Some(6)) => plain(&ED25519, coordinate(key.x)?)?,
            (Some(RS256), Some(3), None) => match (key.modulus, key.x) {
                (Some(n), Some(e))
                    if (256..=1024).contains(&n.len()) && n[0] != 0 && (1..=8).contains(&e.len()) =>
                {
                    Kind::Rsa {
                        n: n.to_vec(),
                        e: e.to_vec(),
                    }
                }
                _ => return Err(Refusal::PublicKey),
            },
            (Some(algorithm), ..) if ALGORITHMS.contains(&algorithm) => return Err(Refusal::PublicKey),
            _ => return Err(Refusal::Algorithm),
        };
        Ok(Self {
            cose: cose.to_vec(),
            kind,
        })
    }

    /// As the authenticator wrote it.
    pub(in super::super) fn cose(&self) -> &[u8] {
        &self.cose
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::Plain(key) => key.verify_sig(message, signature).is_ok(),
            Kind::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

fn plain(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Result<Kind, Refusal> {
    ParsedPublicKey::new(algorithm, bytes)
        .map(Kind::Plain)
        .map_err(|_| Refusal::PublicKey)
}

fn coordinate(bytes: Option<&[u8]>) -> Result<&[u8], Refusal> {
    bytes.filter(|bytes| bytes.len() == 32).ok_or(Refusal::PublicKey)
}
