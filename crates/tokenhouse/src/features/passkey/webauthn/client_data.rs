//! What the browser says: the collected client data (§5.8.1).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{Expected, Refusal};

/// The members that matter; browsers may add others. None may be there twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
}

impl ClientData {
    pub(super) fn read(json: &[u8]) -> Result<Self, Refusal> {
        // Some authenticators of old put a byte order mark before it, which §5.8.1.1 says to strip.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        serde_json::from_slice(json).map_err(|_| Refusal::Malformed("the client data is no such JSON"))
    }

    pub(super) fn challenge(&self) -> Result<Vec<u8>, Refusal> {
        BASE64URL_NOPAD
            .decode(self.challenge.as_bytes())
            .map_err(|_| Refusal::Malformed("the challenge is not base64url"))
    }

    pub(super) fn check(&self, kind: &str, expected: &Expected<'_>) -> Result<(), Refusal> {
        if self.kind != kind {
            return Err(Refusal::Type);
        }
        if self.challenge()? != expected.challenge {
            return Err(Refusal::Challenge);
        }
        // Equal as a whole: a suffix would let https://badexample.com speak for example.com.
        if !expected.party.origins.contains(&self.origin) {
            return Err(Refusal::Origin);
        }
        if self.cross_origin == Some(true) {
            return Err(Refusal::CrossOrigin);
        }
        Ok(())
    }
}
