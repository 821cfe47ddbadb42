//! The keys a verifier may use, each found by its name.

use std::collections::HashMap;

use crate::{Jwks, KeyError, VerifyingKey};

/// Keys by `kid`. No two share a name: which of them is meant must never depend on the order of a document.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    by_kid: HashMap<String, usize>,
    allow_missing_kid: bool,
}

/// A key of a JWKS that is of no use here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its name, where it has one.
    pub kid: Option<String>,
    /// What is wrong with it.
    pub reason: KeyError,
}

impl KeySet {
    /// A set of keys, refused if two share a name. An empty set is allowed, and verifies nothing.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, KeyError> {
        let mut set = Self::default();
        for key in keys {
            if set.by_kid.insert(key.kid().to_owned(), set.keys.len()).is_some() {
                return Err(KeyError::DuplicateKid);
            }
            set.keys.push(key);
        }
        Ok(set)
    }

    /// The usable keys of a JWKS, and those that were skipped (RFC 7517 §5 asks to ignore what is not understood).
    /// Log the second part: a key that its issuer signs with may be among them.
    pub fn from_jwks(jwks: &Jwks) -> Result<(Self, Vec<SkippedKey>), KeyError> {
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for jwk in &jwks.keys {
            match VerifyingKey::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push(SkippedKey {
                    kid: jwk.kid.clone(),
                    reason,
                }),
            }
        }
        Ok((Self::new(keys)?, skipped))
    }

    /// Take a token without `kid` to mean the only key, as applications with one shared secret do. It has no effect
    /// while the set holds more than one key: trying keys in turn would let a token choose among them.
    #[must_use]
    pub fn allow_missing_kid(mut self) -> Self {
        self.allow_missing_kid = true;
        self
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key, so that every token is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// The key of that name.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.by_kid.get(kid).and_then(|position| self.keys.get(*position))
    }

    pub(crate) fn find(&self, kid: Option<&str>) -> Option<&VerifyingKey> {
        match (kid, self.keys.as_slice()) {
            (Some(kid), _) => self.get(kid),
            (None, [only]) if self.allow_missing_kid => Some(only),
            (None, _) => None,
        }
    }
}
