//! Revocations as they are published: what the issuer serves at its `revocation_feed_uri`.
//!
//! These types only carry the document, and fetching it is the program's: it knows its HTTP client.
//! [`RevocationSet::follow`](crate::RevocationSet::follow) takes it in.

use serde::{Deserialize, Serialize};

/// What was revoked and may not have expired yet. Members that are not listed are dropped on reading.
///
/// ```
/// # use tokenhouse_verify::{RevocationFeed, RevocationSet};
/// # let verifier_revocations = RevocationSet::new();
/// let feed: RevocationFeed = serde_json::from_str(
///     r#"{"as_of": 1767225600, "revoked": [{"id": "01a201b7-7a40-7367-998a-0d9bcb9169b6", "until": 1767226565}]}"#,
/// )?;
/// verifier_revocations.follow(&feed); // `verifier.revocations()`
/// assert_eq!(verifier_revocations.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationFeed {
    /// When it was true by the issuer's clock, in seconds since 1970.
    pub as_of: u64,
    /// What is refused.
    pub revoked: Vec<Revoked>,
}

/// One session or token that is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The `sid` or `jti`.
    pub id: String,
    /// When the last such token has expired, leeway included; in seconds since 1970.
    pub until: u64,
}
