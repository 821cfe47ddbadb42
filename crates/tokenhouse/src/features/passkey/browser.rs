//! What goes to and comes from a browser, as `PublicKeyCredential.parseCreationOptionsFromJSON()`,
//! `parseRequestOptionsFromJSON()` and `toJSON()` have it (W3C Web Authentication, Level 3, §5.1).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::webauthn::{ALGORITHMS, Refusal, RelyingParty};
use crate::base::error::{Error, FieldError};
use crate::base::secret::Secret;

/// Ways to reach an authenticator that browsers know; others are forgotten.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// Bytes as base64url, which some clients pad.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64URL_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .map(Self)
            .map_err(|_| serde::de::Error::custom("no base64url"))
    }
}

/// What `navigator.credentials.create()` gave.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    pub(super) raw_id: Bytes,
    #[serde(rename = "type")]
    kind: String,
    pub(super) response: CreatedResponse,
    #[serde(default)]
    client_extension_results: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedResponse {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: Bytes,
    pub(super) attestation_object: Bytes,
    #[serde(default)]
    transports: Option<Vec<String>>,
}

impl Created {
    /// Whether the authenticator finds it again without being told which (§10.1.3).
    pub(super) fn is_discoverable(&self) -> bool {
        self.client_extension_results
            .get("credProps")
            .and_then(|properties| properties.get("rk"))
            == Some(&Value::Bool(true))
    }

    pub(super) fn transports(&self) -> Vec<&'static str> {
        TRANSPORTS
            .into_iter()
            .filter(|known| self.response.transports.iter().flatten().any(|one| one == known))
            .collect()
    }
}

/// What `navigator.credentials.get()` gave.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asserted {
    pub(super) raw_id: Bytes,
    #[serde(rename = "type")]
    kind: String,
    pub(super) response: AssertedResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AssertedResponse {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: Bytes,
    pub(super) authenticator_data: Bytes,
    pub(super) signature: Bytes,
    #[serde(default)]
    pub(super) user_handle: Option<Bytes>,
}

fn is_public_key(kind: &str) -> Result<(), Refusal> {
    if kind == "public-key" {
        Ok(())
    } else {
        Err(Refusal::Malformed("it is no public key credential"))
    }
}

/// A body's `credential`, which a browser made.
fn read<T: serde::de::DeserializeOwned>(credential: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(credential)).map_err(|_| {
        Error::invalid_fields(vec![FieldError::new(
            "credential",
            "credential_invalid",
            "must be what toJSON() of the browser's credential gives",
        )])
    })
}

pub(super) fn created(credential: Map<String, Value>) -> Result<Created, Error> {
    let created: Created = read(credential)?;
    is_public_key(&created.kind).map_err(super::refused)?;
    Ok(created)
}

pub(super) fn asserted(credential: Map<String, Value>) -> Result<Asserted, Error> {
    let asserted: Asserted = read(credential)?;
    is_public_key(&asserted.kind).map_err(super::refused)?;
    Ok(asserted)
}

/// A credential that exists.
pub(super) struct Known {
    pub(super) credential_id: Vec<u8>,
    pub(super) transports: Vec<String>,
}

fn descriptors(known: &[Known]) -> Value {
    let one = |known: &Known| {
        json!({
            "type": "public-key",
            "id": BASE64URL_NOPAD.encode(&known.credential_id),
            "transports": known.transports,
        })
    };
    known.iter().map(one).collect()
}

/// Options that a browser is given.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PasskeyOptions {
    /// For `PublicKeyCredential.parseCreationOptionsFromJSON()` or `parseRequestOptionsFromJSON()`.
    #[serde(rename = "publicKey")]
    #[schema(value_type = Object)]
    pub public_key: Value,
}

/// Whose passkey is to be made.
pub(super) struct Owner<'a> {
    pub(super) handle: &'a [u8],
    pub(super) name: &'a str,
}

pub(super) fn creation(
    party: &RelyingParty,
    party_name: &str,
    owner: &Owner<'_>,
    challenge: &Secret,
    timeout: u64,
    existing: &[Known],
) -> PasskeyOptions {
    let algorithms: Vec<Value> = ALGORITHMS
        .iter()
        .map(|algorithm| json!({ "type": "public-key", "alg": algorithm }))
        .collect();
    PasskeyOptions {
        public_key: json!({
            "rp": { "id": party.id, "name": party_name },
            "user": { "id": BASE64URL_NOPAD.encode(owner.handle), "name": owner.name, "displayName": owner.name },
            "challenge": BASE64URL_NOPAD.encode(challenge.expose().as_bytes()),
            "pubKeyCredParams": algorithms,
            "timeout": timeout,
            "excludeCredentials": descriptors(existing),
            // A key without room or without a PIN still does as a second factor.
            "authenticatorSelection": { "residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred" },
            "attestation": "none",
            "extensions": { "credProps": true },
        }),
    }
}

pub(super) fn request(
    party: &RelyingParty,
    challenge: &Secret,
    timeout: u64,
    allowed: &[Known],
    verified: bool,
) -> PasskeyOptions {
    PasskeyOptions {
        public_key: json!({
            "rpId": party.id,
            "challenge": BASE64URL_NOPAD.encode(challenge.expose().as_bytes()),
            "timeout": timeout,
            "allowCredentials": descriptors(allowed),
            "userVerification": if verified { "required" } else { "preferred" },
        }),
    }
}
