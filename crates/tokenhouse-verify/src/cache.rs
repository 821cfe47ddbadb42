//! Tokens that were verified already.
//!
//! The same token comes hundreds of times in its life, and an asymmetric signature costs tens of microseconds. The
//! key is the SHA-256 of the whole token: a cache keyed by part of it, or by a weak hash, hands one user's claims
//! to another (fast-jwt, GHSA-rp9m-7r4c-75qg). Only what passed every check gets in.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use crate::VerifiedToken;

pub(crate) type TokenDigest = [u8; 32];

/// Bounded; what is used least goes first.
pub(crate) struct TokenCache(Cache<TokenDigest, Entry>);

#[derive(Clone)]
struct Entry {
    /// Of the key set that verified it. A verification that began under old keys may end after they were replaced
    /// and the cache was cleared; what it leaves here must not count.
    generation: u64,
    token: Arc<VerifiedToken>,
}

impl TokenCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub(crate) fn digest_of(token: &str) -> TokenDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        bytes
    }

    pub(crate) fn get(&self, digest: &TokenDigest, generation: u64) -> Option<Arc<VerifiedToken>> {
        self.0
            .get(digest)
            .filter(|entry| entry.generation == generation)
            .map(|entry| entry.token)
    }

    pub(crate) fn insert(&self, digest: TokenDigest, generation: u64, token: Arc<VerifiedToken>) {
        self.0.insert(digest, Entry { generation, token });
    }

    pub(crate) fn remove(&self, digest: &TokenDigest) {
        self.0.remove(digest);
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
