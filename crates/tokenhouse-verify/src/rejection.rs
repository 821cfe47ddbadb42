//! Why a token was refused.

use thiserror::Error;

/// Why a token was refused, one meaning each.
///
/// The text is static: it may be shown and logged, since it repeats nothing of what the token holds. Answer every
/// one of them with 401; telling [`Expired`](Self::Expired) and [`Revoked`](Self::Revoked) apart from the rest is
/// useful to clients and safe, because both are only said of tokens whose signature was good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Not three segments of strict base64url around a JSON header and payload.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The token, its header or its `kid` is longer than anything that is read.
    #[error("the token is too large")]
    TooLarge,
    /// No key of that name. Fetching the JWKS again may help, at most once in a while.
    #[error("the token's key is unknown")]
    UnknownKey {
        /// The name the token gave: unauthenticated, at most 128 bytes, not part of the error's text.
        kid: Option<String>,
    },
    /// The header names another algorithm than the key's own; `none` is always another.
    #[error("the token's algorithm is not the one of its key")]
    AlgorithmMismatch,
    /// The header has a `crit` (RFC 7515 §4.1.11): no extension is understood here.
    #[error("the token's header demands an extension that is not understood")]
    CriticalHeader,
    /// The header has a member that would bring its own key or another encoding.
    #[error("the token's header has a member that is not allowed: {0}")]
    ForbiddenHeader(&'static str),
    /// The token is of another kind, or does not say of which.
    #[error("the token is not of the kind expected here")]
    TokenType,
    /// The signature is not the key's over this content.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that must be there is absent.
    #[error("the token lacks the claim {0}")]
    Missing(&'static str),
    /// Issued by somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// The subject is empty.
    #[error("the token names no subject")]
    Subject,
    /// A claim is there, but not what the standard says it is.
    #[error("the token's claims are not valid: {0}")]
    Claims(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come: `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its session, or the token itself, was revoked.
    #[error("the token has been revoked")]
    Revoked,
}

impl Rejection {
    /// Whether a fresh token of the same session would pass.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired)
    }
}
