//! A token before and after verification: three segments of text, then claims that can be relied on.

use std::sync::Arc;

use crate::{Algorithm, Claims, Rejection, RevocableId, RevocationSet};

/// The longest token that is read, in bytes. Headers of requests are not much longer.
pub const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The compact form (RFC 7515 §7.1), taken apart and not looked into.
pub(crate) struct Segments<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// Header and payload with the dot between: what the signature covers.
    pub(crate) signed: &'a [u8],
}

impl<'a> Segments<'a> {
    pub(crate) fn of(token: &'a str) -> Result<Self, Rejection> {
        let mut segments = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(Rejection::Malformed("there are not three segments"));
        };
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// The claims of a token that passed every check, and what it was checked with.
#[derive(Debug)]
pub struct VerifiedToken {
    pub(crate) claims: Claims,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Arc<str>,
    pub(crate) token_type: Option<Arc<str>>,
    pub(crate) session_id: Option<RevocableId>,
    pub(crate) token_id: Option<RevocableId>,
    pub(crate) valid_from: u64,
    pub(crate) valid_until: u64,
}

impl VerifiedToken {
    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The algorithm of the key that verified it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The name of the key that verified it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its `typ` in lower case and without `application/`.
    pub fn token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// Its `sid`, as it can be revoked.
    pub fn session_id(&self) -> Option<RevocableId> {
        self.session_id
    }

    /// Its `jti`, as it can be revoked.
    pub fn token_id(&self) -> Option<RevocableId> {
        self.token_id
    }

    /// The first instant at which it is no longer accepted: `exp` and the leeway.
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }

    pub(crate) fn check_time(&self, now: u64) -> Result<(), Rejection> {
        if now >= self.valid_until {
            return Err(Rejection::Expired);
        }
        if now < self.valid_from {
            return Err(Rejection::NotYetValid);
        }
        Ok(())
    }

    pub(crate) fn check_revocation(&self, revoked: &RevocationSet) -> Result<(), Rejection> {
        let ids = [self.session_id, self.token_id];
        if ids.into_iter().flatten().any(|id| revoked.is_revoked(id)) {
            return Err(Rejection::Revoked);
        }
        Ok(())
    }
}
