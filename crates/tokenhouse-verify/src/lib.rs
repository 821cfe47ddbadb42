#![doc = include_str!("../README.md")]
//!
//! # The crate from top to bottom
//!
//! - [`Verifier`]: the one function that turns a text into a [`VerifiedToken`], or a [`Rejection`]; what it expects
//!   is said to a [`VerifierBuilder`].
//! - [`KeySet`] of [`VerifyingKey`]s, each pinned to one [`Algorithm`]; read from published [`Jwks`], or made of a
//!   shared secret.
//! - [`Claims`]: what a token says; the issuer writes the same type.
//! - [`RevocationSet`]: what was revoked and has not yet expired by itself; it follows a [`RevocationFeed`].
//!
//! # Decisions worth knowing
//!
//! - **Time is passed in.** [`Verifier::verify`] reads the system's clock and calls [`Verifier::verify_at`].
//! - **The cache is part of the check.** A token seen before costs a SHA-256 and a look-up; its time and its
//!   revocation are checked at every hit, and new keys forget everything.
//! - **An ECDSA signature has a twin** ((r, n−s) is as good as (r, s)), which anybody can compute and which is
//!   accepted: half of the honest signers produce either form. So a token's text is not its identity. Nothing here
//!   treats it so: revocation looks at `sid` and `jti`, and the twin is only a second entry in the cache.
//! - **No key is ever fetched or taken from a token.** `jku`, `jwk` and `x5u` are refused; certificates in `x5c` are
//!   not looked at.

mod algorithm;
mod builder;
mod cache;
mod claims;
mod feed;
mod header;
mod jwks;
mod key;
mod key_set;
mod rejection;
mod revocation;
mod rules;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use builder::{BuildError, MAX_LEEWAY, VerifierBuilder};
pub use claims::{Audience, Claims};
pub use feed::{RevocationFeed, Revoked};
pub use header::{MAX_HEADER_LENGTH, header_segment, header_segment_with_session};
pub use jwks::{Jwk, Jwks};
pub use key::{KeyError, MAX_KID_LENGTH, MIN_LEGACY_SECRET_LENGTH, MIN_SECRET_LENGTH, VerifyingKey};
pub use key_set::{KeySet, SkippedKey};
pub use rejection::Rejection;
pub use revocation::{RevocableId, RevocationSet};
pub use token::{MAX_TOKEN_LENGTH, VerifiedToken};
pub use verifier::Verifier;
