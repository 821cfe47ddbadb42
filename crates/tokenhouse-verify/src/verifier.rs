//! The one way from a text to claims that can be relied on.
//!
//! Issuer and resource servers use this same function: a second one would sooner or later forget a check that the
//! first has. The order is the cheap before the dear, and nothing of the payload is read before its signature is
//! known to be good.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use serde_json::error::Category;

use crate::{
    Claims, KeySet, Rejection, RevocableId, RevocationSet, VerifiedToken, VerifierBuilder, VerifyingKey,
    cache::TokenCache,
    claims::Payload,
    header::{Header, header_segment},
    rules::Rules,
    token::{MAX_TOKEN_LENGTH, Segments},
};

/// The longest signature there is: RSA with 8192 bits.
const MAX_SIGNATURE_LENGTH: usize = 1024;

/// Verifies tokens of one issuer. Clones share keys, cache and revocations, and cost one reference count.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    rules: Rules,
    keys: ArcSwap<KeyRing>,
    next_generation: AtomicU64,
    cache: Option<TokenCache>,
    revocations: RevocationSet,
}

/// What the header of a token decided.
struct Choice<'a> {
    key: &'a VerifyingKey,
    token_type: Option<Arc<str>>,
    session: Option<String>,
}

/// The keys of one generation, with the header segments that are known to be acceptable under them.
struct KeyRing {
    generation: u64,
    keys: KeySet,
    known_headers: Vec<KnownHeader>,
}

struct KnownHeader {
    segment: String,
    key: VerifyingKey,
    token_type: Option<Arc<str>>,
}

impl KeyRing {
    fn new(generation: u64, keys: KeySet, rules: &Rules) -> Self {
        let token_types: &[Arc<str>] = rules.token_types.as_ref().map_or(&[], |types| &types.named);
        let known = |key: &VerifyingKey, token_type: &Arc<str>| KnownHeader {
            segment: header_segment(key.algorithm(), key.kid(), Some(token_type)),
            key: key.clone(),
            token_type: Some(Arc::clone(token_type)),
        };
        let known_headers = keys
            .iter()
            .flat_map(|key| token_types.iter().map(move |name| known(key, name)))
            .collect();
        Self {
            generation,
            keys,
            known_headers,
        }
    }

    /// The key that must have signed, and the kind of token it is.
    fn choose(&self, segment: &str, rules: &Rules) -> Result<Choice<'_>, Rejection> {
        // All tokens of one key have the same header; byte equality with one we would accept needs no parsing.
        if let Some(known) = self.known_headers.iter().find(|known| known.segment == segment) {
            return Ok(Choice {
                key: &known.key,
                token_type: known.token_type.clone(),
                session: None,
            });
        }
        let header = Header::read(segment)?;
        let Some(key) = self.keys.find(header.kid.as_deref()) else {
            return Err(Rejection::UnknownKey { kid: header.kid });
        };
        if header.alg != key.algorithm().name() {
            return Err(Rejection::AlgorithmMismatch);
        }
        let token_type = rules.check_type(header.typ.as_deref())?;
        Ok(Choice {
            key,
            token_type,
            session: header.sid,
        })
    }
}

impl Verifier {
    /// Begin to describe what is expected.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    pub(crate) fn assemble(
        rules: Rules,
        keys: KeySet,
        cache_capacity: usize,
        revocations: RevocationSet,
    ) -> Self {
        let keys = ArcSwap::from_pointee(KeyRing::new(0, keys, &rules));
        let cache = (cache_capacity > 0).then(|| TokenCache::new(cache_capacity));
        Self(Arc::new(Inner {
            rules,
            keys,
            next_generation: AtomicU64::new(1),
            cache,
            revocations,
        }))
    }

    /// Verify against the system's clock.
    pub fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, Rejection> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one door here; verify_at is for who has a clock"
        )]
        let now = SystemTime::now();
        // A clock before 1970 is broken. To it nothing is valid, rather than nothing expired.
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(u64::MAX, |elapsed| elapsed.as_secs());
        self.verify_at(token, now)
    }

    /// Verify at an instant, in seconds since 1970.
    pub fn verify_at(&self, token: &str, now_unix_seconds: u64) -> Result<Arc<VerifiedToken>, Rejection> {
        let inner = self.0.as_ref();
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Rejection::TooLarge);
        }
        // Once, so that look-up, verification and insertion speak of the same keys.
        let ring = inner.keys.load();
        let Some(cache) = &inner.cache else {
            let fresh = inner.authenticate(&ring, token)?;
            inner.admit(&fresh, now_unix_seconds)?;
            return Ok(fresh);
        };
        let digest = TokenCache::digest_of(token);
        if let Some(known) = cache.get(&digest, ring.generation) {
            return match inner.admit(&known, now_unix_seconds) {
                Ok(()) => Ok(known),
                Err(rejection) => {
                    if rejection.is_expired() {
                        cache.remove(&digest);
                    }
                    Err(rejection)
                }
            };
        }
        let fresh = inner.authenticate(&ring, token)?;
        inner.admit(&fresh, now_unix_seconds)?;
        cache.insert(digest, ring.generation, Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Use these keys from now on. Everything verified under the old ones is verified again.
    pub fn set_keys(&self, keys: KeySet) {
        let inner = self.0.as_ref();
        let generation = inner.next_generation.fetch_add(1, Ordering::Relaxed);
        inner
            .keys
            .store(Arc::new(KeyRing::new(generation, keys, &inner.rules)));
        if let Some(cache) = &inner.cache {
            cache.clear();
        }
    }

    /// The ids of revoked sessions and tokens; asked at every verification, cached or not.
    pub fn revocations(&self) -> &RevocationSet {
        &self.0.revocations
    }

    /// How many verified tokens are remembered at the moment.
    pub fn cached_tokens(&self) -> usize {
        self.0.cache.as_ref().map_or(0, TokenCache::len)
    }
}

impl Inner {
    /// Everything that is true of a token forever: its signature, its kind, whose and for whom it is.
    fn authenticate(&self, ring: &KeyRing, token: &str) -> Result<Arc<VerifiedToken>, Rejection> {
        let segments = Segments::of(token)?;
        let Choice {
            key,
            token_type,
            session,
        } = ring.choose(segments.header, &self.rules)?;
        check_signature(key, &segments)?;
        let mut claims = read_claims(segments.payload)?;
        // RFC 7519 §5.3: a claim that also stands in the header says the same there.
        match (&claims.sid, session) {
            (None, session) => claims.sid = session,
            (Some(claimed), Some(session)) if *claimed != session => {
                return Err(Rejection::Claims("header and payload name different sessions"));
            }
            _ => {}
        }
        self.rules.check_claims(&claims)?;
        let (valid_from, valid_until) = self.rules.window(&claims);
        Ok(Arc::new(VerifiedToken {
            session_id: claims.sid.as_deref().map(RevocableId::of),
            token_id: claims.jti.as_deref().map(RevocableId::of),
            claims,
            algorithm: key.algorithm(),
            kid: key.shared_kid(),
            token_type,
            valid_from,
            valid_until,
        }))
    }

    /// What may change while a token lives: the time, and whether it was revoked.
    fn admit(&self, token: &VerifiedToken, now: u64) -> Result<(), Rejection> {
        token.check_time(now)?;
        token.check_revocation(&self.revocations)
    }
}

fn check_signature(key: &VerifyingKey, segments: &Segments<'_>) -> Result<(), Rejection> {
    const NOT_BASE64: Rejection = Rejection::Malformed("the signature is not base64url");
    let encoded = segments.signature.as_bytes();
    let length = BASE64URL_NOPAD
        .decode_len(encoded.len())
        .map_err(|_| NOT_BASE64)?;
    let mut buffer = [0; MAX_SIGNATURE_LENGTH];
    let Some(signature) = buffer
        .get_mut(..length)
        .filter(|_| length == key.signature_length())
    else {
        return Err(Rejection::Signature);
    };
    BASE64URL_NOPAD
        .decode_mut(encoded, signature)
        .map_err(|_| NOT_BASE64)?;
    if key.accepts(segments.signed, signature) {
        Ok(())
    } else {
        Err(Rejection::Signature)
    }
}

fn read_claims(segment: &str) -> Result<Claims, Rejection> {
    let json = BASE64URL_NOPAD
        .decode(segment.as_bytes())
        .map_err(|_| Rejection::Malformed("the payload is not base64url"))?;
    let payload: Payload = serde_json::from_slice(&json).map_err(|error| match error.classify() {
        Category::Data => {
            Rejection::Claims("a claim has the wrong type, an impossible value, or is repeated")
        }
        Category::Syntax | Category::Eof | Category::Io => Rejection::Malformed("the payload is not JSON"),
    })?;
    if payload.has_expiry {
        Ok(payload.claims)
    } else {
        Err(Rejection::Missing("exp"))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("keys", &self.0.keys.load().keys)
            .finish_non_exhaustive()
    }
}
