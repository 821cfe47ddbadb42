//! A signer for every algorithm, and a verifier that trusts it. The crate itself cannot sign.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_SHA256, RsaKeyPair, VerificationAlgorithm,
    },
};
use data_encoding::{BASE64_MIME, BASE64URL_NOPAD};
use serde_json::{Value, json};
use tokenhouse_verify::{
    Algorithm, Jwk, Jwks, KeySet, Rejection, VerifiedToken, Verifier, VerifierBuilder, VerifyingKey,
};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";
pub(crate) const SESSION: &str = "01930000-0000-7000-8000-000000000001";
pub(crate) const TOKEN: &str = "01930000-0000-7000-8000-000000000002";
pub(crate) const SECRET: &[u8] = b"a secret of more than thirty-two bytes!!";

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Hmac(Box<hmac::Key>),
}

/// Whether a message has this signature.
pub(crate) type Primitive<'a> = Box<dyn Fn(&[u8], &[u8]) -> bool + 'a>;

/// One key of one algorithm, both halves.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    pair: Pair,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm, kid: &str) -> Self {
        let pair = match algorithm {
            Algorithm::Es256 => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rs256 | Algorithm::Ps256 => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Algorithm::Hs256 => Pair::Hmac(hmac::Key::new(hmac::HMAC_SHA256, SECRET).into()),
        };
        Self {
            algorithm,
            kid: kid.to_owned(),
            pair,
        }
    }

    pub(crate) fn rsa_of(algorithm: Algorithm, kid: &str, size: KeySize) -> Self {
        Self {
            algorithm,
            kid: kid.to_owned(),
            pair: Pair::Rsa(RsaKeyPair::generate(size).unwrap()),
        }
    }

    pub(crate) fn hmac(kid: &str, secret: &[u8]) -> Self {
        let pair = Pair::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret).into());
        Self {
            algorithm: Algorithm::Hs256,
            kid: kid.to_owned(),
            pair,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                if self.algorithm == Algorithm::Rs256 {
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                        .unwrap();
                } else {
                    pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                        .unwrap();
                }
                signature
            }
        }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        let mut jwk = Jwk {
            kid: Some(self.kid.clone()),
            alg: Some(self.algorithm.to_string()),
            usage: Some("sig".into()),
            ..Jwk::default()
        };
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                jwk.kty = "EC".into();
                jwk.crv = Some("P-256".into());
                jwk.x = Some(encode(&point[1..33]));
                jwk.y = Some(encode(&point[33..65]));
            }
            Pair::Ed25519(pair) => {
                jwk.kty = "OKP".into();
                jwk.crv = Some("Ed25519".into());
                jwk.x = Some(encode(pair.public_key().as_ref()));
            }
            Pair::Rsa(pair) => {
                let [n, e] = rsa_integers(pair.public_key().as_ref());
                jwk.kty = "RSA".into();
                jwk.n = Some(encode(&n));
                jwk.e = Some(encode(&e));
            }
            Pair::Hmac(_) => panic!("a shared secret has no public half"),
        }
        jwk
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        match self.algorithm {
            Algorithm::Hs256 => VerifyingKey::hs256(&self.kid, SECRET).unwrap(),
            _ => VerifyingKey::from_jwk(&self.jwk()).unwrap(),
        }
    }

    /// The private half as other libraries read it.
    pub(crate) fn private_pem(&self) -> String {
        let der = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der>::as_der(pair).unwrap().as_ref().to_vec(),
            Pair::Hmac(_) => panic!("a shared secret is not PEM"),
        };
        let body = BASE64_MIME.encode(&der).replace("\r\n", "\n");
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            body.trim_end()
        )
    }

    /// The public half of an RSA key as PKCS#1, the classical wrong HMAC secret.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Hmac(_) => panic!("a shared secret has no public half"),
        }
    }

    /// The bare check of a signature, for the benchmark to compare with.
    #[allow(dead_code, reason = "only the benchmark asks")]
    pub(crate) fn primitive(&self) -> Primitive<'_> {
        let parsed = |algorithm: &'static dyn VerificationAlgorithm| {
            let key = ParsedPublicKey::new(algorithm, self.public_der()).unwrap();
            Box::new(move |message: &[u8], signature: &[u8]| key.verify_sig(message, signature).is_ok())
        };
        match (&self.pair, self.algorithm) {
            (Pair::Hmac(key), _) => {
                Box::new(|message, signature| hmac::verify(key, message, signature).is_ok())
            }
            (_, Algorithm::Es256) => parsed(&ECDSA_P256_SHA256_FIXED),
            (_, Algorithm::EdDsa) => parsed(&ED25519),
            (_, Algorithm::Rs256) => parsed(&RSA_PKCS1_2048_8192_SHA256),
            _ => parsed(&RSA_PSS_2048_8192_SHA256),
        }
    }

    /// The header that this signer's tokens normally have.
    pub(crate) fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": self.algorithm, "kid": self.kid})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of_text(&header.to_string(), &claims.to_string())
    }

    /// A token of any two texts, JSON or not, with a good signature.
    pub(crate) fn token_of_text(&self, header: &str, payload: &str) -> String {
        self.token_of_segments(&encode(header.as_bytes()), &encode(payload.as_bytes()))
    }

    pub(crate) fn token_of_segments(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        format!("{signed}.{}", encode(&self.sign(signed.as_bytes())))
    }
}

/// One signer for each algorithm, made once: RSA keys are slow to find.
pub(crate) fn signers() -> &'static [Signer] {
    static SIGNERS: OnceLock<Vec<Signer>> = OnceLock::new();
    SIGNERS.get_or_init(|| {
        Algorithm::ALL
            .into_iter()
            .map(|a| Signer::new(a, &format!("key-{a}")))
            .collect()
    })
}

pub(crate) fn signer(algorithm: Algorithm) -> &'static Signer {
    signers()
        .iter()
        .find(|signer| signer.algorithm == algorithm)
        .unwrap()
}

/// A signer that is cheap, for rules that do not depend on the algorithm.
pub(crate) fn any_signer() -> &'static Signer {
    signer(Algorithm::EdDsa)
}

pub(crate) fn key_set() -> KeySet {
    KeySet::new(signers().iter().map(Signer::verifying_key)).unwrap()
}

pub(crate) fn jwks() -> Jwks {
    let public = signers()
        .iter()
        .filter(|signer| signer.algorithm != Algorithm::Hs256);
    Jwks {
        keys: public.map(Signer::jwk).collect(),
    }
}

/// A builder with everything that a verifier of access tokens needs, and without leeway, so that edges are sharp.
pub(crate) fn builder() -> VerifierBuilder {
    Verifier::builder()
        .keys(key_set())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .token_type("at+jwt")
        .leeway(Duration::ZERO)
}

pub(crate) fn verifier() -> Verifier {
    builder().build().unwrap()
}

pub(crate) fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "jti": TOKEN, "sid": SESSION,
        "client_id": "web", "scope": "profile email", "role": "admin",
    })
}

/// The good claims with these members put in, or taken out where the value is null.
pub(crate) fn claims_with(changes: Value) -> Value {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// What the usual verifier says to a token with these changes to its claims.
pub(crate) fn judge(changes: Value) -> Result<Arc<VerifiedToken>, Rejection> {
    verifier().verify_at(&any_signer().token(&claims_with(changes)), NOW)
}

/// Every algorithm's verdict on a token with this header (`alg` and `kid` are put in where they are absent).
pub(crate) fn refusals_of_header(changes: &Value) -> Vec<Rejection> {
    let judge = |signer: &Signer| {
        let mut header = signer.header();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        verifier()
            .verify_at(&signer.token_with(&header, &good_claims()), NOW)
            .unwrap_err()
    };
    signers().iter().map(judge).collect()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

pub(crate) fn split(token: &str) -> [String; 3] {
    let segments: Vec<String> = token.split('.').map(str::to_owned).collect();
    segments.try_into().unwrap()
}

/// n and e out of `SEQUENCE { INTEGER, INTEGER }`.
fn rsa_integers(der: &[u8]) -> [Vec<u8>; 2] {
    fn value(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match der[1] {
            short @ 0..=0x7f => (usize::from(short), 2),
            long => {
                let width = usize::from(long & 0x7f);
                let length = der[2..2 + width]
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, 2 + width)
            }
        };
        der[start..].split_at(length)
    }
    let (sequence, _) = value(der);
    let (n, rest) = value(sequence);
    let (e, _) = value(rest);
    let plain = |integer: &[u8]| integer.iter().copied().skip_while(|byte| *byte == 0).collect();
    [plain(n), plain(e)]
}
