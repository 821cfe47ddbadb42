//! An authenticator and its browser, made of nothing but the specification, so that a test can make it lie.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

pub const ORIGIN: &str = "http://localhost:8080";

/// A credential, and how its authenticator behaves.
pub struct Authenticator {
    pub origin: String,
    pub rp_id: String,
    pub present: bool,
    pub verifies: bool,
    pub backup_eligible: bool,
    pub backed_up: bool,
    pub counter: u32,
    pub cross_origin: bool,
    /// Whether the browser says that the key is found again without being named (`credProps`); some do not.
    pub tells: bool,
    pub credential_id: Vec<u8>,
    pub user_handle: Option<String>,
    key: Key,
}

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// A byte string or a text in CBOR.
fn cbor(major: u8, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len();
    let mut out = match length {
        0..=23 => vec![major | u8::try_from(length).unwrap()],
        24..=255 => vec![major | 24, u8::try_from(length).unwrap()],
        _ => {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            vec![major | 25, high, low]
        }
    };
    out.extend_from_slice(bytes);
    out
}

const BYTES: u8 = 0x40;
const TEXT: u8 = 0x60;

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

impl Authenticator {
    pub fn es256() -> Self {
        Self::with(Key::Es256(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
        ))
    }

    pub fn eddsa() -> Self {
        Self::with(Key::EdDsa(Ed25519KeyPair::generate().unwrap()))
    }

    pub fn rs256() -> Self {
        Self::with(Key::Rs256(Box::new(
            RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        )))
    }

    fn with(key: Key) -> Self {
        let id = tokenhouse::Entropy::system().bytes::<32>().unwrap();
        Self {
            origin: ORIGIN.to_owned(),
            rp_id: "localhost".to_owned(),
            present: true,
            verifies: true,
            backup_eligible: true,
            backed_up: true,
            counter: 0,
            cross_origin: false,
            tells: true,
            credential_id: id.to_vec(),
            user_handle: None,
            key,
        }
    }

    fn cose_key(&self) -> Vec<u8> {
        match &self.key {
            Key::Es256(key) => {
                let point = key.public_key().as_ref();
                let head = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21];
                [
                    &head[..],
                    &cbor(BYTES, &point[1..33]),
                    &[0x22],
                    &cbor(BYTES, &point[33..]),
                ]
                .concat()
            }
            Key::EdDsa(key) => {
                let head = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21];
                [&head[..], &cbor(BYTES, key.public_key().as_ref())].concat()
            }
            Key::Rs256(key) => {
                let modulus = key
                    .public_key()
                    .modulus()
                    .big_endian_without_leading_zero()
                    .to_vec();
                let exponent = key
                    .public_key()
                    .exponent()
                    .big_endian_without_leading_zero()
                    .to_vec();
                let head = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20];
                [
                    &head[..],
                    &cbor(BYTES, &modulus),
                    &[0x21],
                    &cbor(BYTES, &exponent),
                ]
                .concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Key::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn authenticator_data(&self, attested: bool) -> Vec<u8> {
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        data.push(
            flag(self.present, 0x01)
                | flag(self.verifies, 0x04)
                | flag(self.backup_eligible, 0x08)
                | flag(self.backed_up, 0x10)
                | flag(attested, 0x40),
        );
        data.extend_from_slice(&self.counter.to_be_bytes());
        if attested {
            data.extend_from_slice(&[0; 16]);
            data.extend_from_slice(&u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
            data.extend_from_slice(&self.credential_id);
            data.extend_from_slice(&self.cose_key());
        }
        data
    }

    fn client_data(&self, kind: &str, challenge: &str) -> String {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin }).to_string()
    }

    /// What `navigator.credentials.create()` gives for these options.
    pub fn create(&mut self, options: &Value) -> Value {
        self.create_as("webauthn.create", options)
    }

    pub fn create_as(&mut self, kind: &str, options: &Value) -> Value {
        let options = &options["publicKey"];
        self.user_handle = Some(options["user"]["id"].as_str().unwrap().to_owned());
        let data = self.authenticator_data(true);
        let object = [
            &[0xa3][..],
            &cbor(TEXT, b"fmt"),
            &cbor(TEXT, b"none"),
            &cbor(TEXT, b"attStmt"),
            &[0xa0],
            &cbor(TEXT, b"authData"),
            &cbor(BYTES, &data),
        ]
        .concat();
        json!({
            "id": encode(&self.credential_id),
            "rawId": encode(&self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": encode(self.client_data(kind, options["challenge"].as_str().unwrap())),
                "attestationObject": encode(object),
                "transports": ["internal", "hybrid", "carrier-pigeon"],
            },
            "clientExtensionResults": if self.tells { json!({ "credProps": { "rk": true } }) } else { json!({}) },
        })
    }

    /// What `navigator.credentials.get()` gives for these options; it counts, if it does.
    pub fn get(&mut self, options: &Value) -> Value {
        self.get_as("webauthn.get", options)
    }

    pub fn get_as(&mut self, kind: &str, options: &Value) -> Value {
        if self.counter > 0 {
            self.counter += 1;
        }
        let challenge = options["publicKey"]["challenge"].as_str().unwrap();
        let client_data = self.client_data(kind, challenge);
        let data = self.authenticator_data(false);
        let signed = [&data[..], digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        json!({
            "id": encode(&self.credential_id),
            "rawId": encode(&self.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(self.sign(&signed)),
                "userHandle": self.user_handle,
            },
            "clientExtensionResults": {},
        })
    }
}
