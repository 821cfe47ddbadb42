//! Refresh tokens are derived, not stored: a prefix by which secret scanners know them, the session's id,
//! its generation, and a MAC over both under a key that is not in the database. A forged one is refused
//! before anything is looked up, and a stolen database holds none.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

use super::super::keys::MasterKey;
use super::Session;
use crate::base::id::SessionId;
use crate::base::secret::Secret;

/// What every refresh token begins with.
pub const PREFIX: &str = "thr_";

const ID: usize = 16;
const GENERATION: usize = 8;
const MAC: usize = 32;
const BODY: usize = ID + GENERATION + MAC;
/// 56 bytes in base64url without padding.
const TEXT: usize = PREFIX.len() + 75;

/// What a genuine refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whose it is.
    pub session: SessionId,
    /// How many refreshes came before it.
    pub generation: i64,
}

/// Makes and checks refresh tokens.
pub struct RefreshTokens(hmac::Key);

impl RefreshTokens {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            &*master.derive("refresh tokens"),
        ))
    }

    /// For fuzzing and tests of the format: a maker under a key of one's own.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn under(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token that `session` may present next.
    pub(crate) fn derive(&self, session: &Session) -> Secret {
        self.make(Presented {
            session: session.id,
            generation: session.generation,
        })
    }

    /// The token that says this.
    #[must_use]
    pub fn make(&self, presented: Presented) -> Secret {
        let mut body = [0; BODY];
        body[..ID].copy_from_slice(presented.session.0.as_bytes());
        body[ID..ID + GENERATION].copy_from_slice(&presented.generation.to_be_bytes());
        let mac = hmac::sign(&self.0, &body[..ID + GENERATION]);
        body[ID + GENERATION..].copy_from_slice(mac.as_ref());
        Secret::from(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&body)))
    }

    /// What `token` says, if this house made it; compared in constant time.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<Presented> {
        if token.len() != TEXT {
            return None;
        }
        let body = BASE64URL_NOPAD
            .decode(token.strip_prefix(PREFIX)?.as_bytes())
            .ok()?;
        let (said, mac) = body.split_at_checked(ID + GENERATION)?;
        hmac::verify(&self.0, said, mac).ok()?;
        let (id, generation) = said.split_at_checked(ID)?;
        Some(Presented {
            session: SessionId(Uuid::from_slice(id).ok()?),
            generation: i64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens() -> RefreshTokens {
        RefreshTokens::under(&[7; 32])
    }

    #[test]
    fn another_house_does_not_read_them() {
        let token = tokens().make(Presented {
            session: SessionId(Uuid::from_u128(1)),
            generation: 0,
        });
        assert_eq!(RefreshTokens::under(&[8; 32]).read(token.expose()), None);
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(id: u128, generation: i64) {
            let presented = Presented { session: SessionId(Uuid::from_u128(id)), generation };
            prop_assert_eq!(tokens().read(tokens().make(presented).expose()), Some(presented));
        }

        #[test]
        fn no_changed_token_is_read(id: u128, generation: i64, position in 0..TEXT, byte in any::<u8>()) {
            let token = tokens().make(Presented { session: SessionId(Uuid::from_u128(id)), generation });
            let mut bytes = token.expose().as_bytes().to_vec();
            prop_assume!(bytes[position] != byte);
            bytes[position] = byte;
            prop_assert_eq!(tokens().read(&String::from_utf8_lossy(&bytes)), None);
        }

        #[test]
        fn no_text_is_read_or_panics(text in ".{0,120}", tail in "[A-Za-z0-9_-]{75}") {
            prop_assert_eq!(tokens().read(&text), None);
            prop_assert_eq!(tokens().read(&format!("{PREFIX}{tail}")), None);
        }
    }
}
