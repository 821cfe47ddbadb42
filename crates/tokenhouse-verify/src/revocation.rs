//! What was revoked within one access-token lifetime, in memory.
//!
//! A signed token stays valid until it expires; logging out must work at once. So every node keeps the ids of
//! sessions and tokens that were revoked and whose last token has not died yet. The set stays small, because an id
//! may be forgotten as soon as every token that bears it has expired.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::RwLock;

use crate::feed::RevocationFeed;

/// Enough that readers on different cores seldom meet on one lock's cache line.
const SHARDS: usize = 64;

/// The id of a session (`sid`) or a token (`jti`) in 128 bits.
///
/// The text of a UUID, with or without hyphens and in any letter case, is the UUID. Any other text stands for the
/// first half of its SHA-256: ids of other issuers work too, and to find one that collides with a revoked id is a
/// search through 2¹²⁸.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RevocableId([u8; 16]);

impl RevocableId {
    /// The id with these bytes, as `Uuid::into_bytes` gives them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes: of a UUID, what `Uuid::from_bytes` takes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id that a `sid` or `jti` of this text stands for.
    pub fn of(text: &str) -> Self {
        Self(uuid_bytes(text).unwrap_or_else(|| {
            let mut half = [0; 16];
            half.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
            half
        }))
    }

    fn shard(self) -> usize {
        // The last byte is random in every kind of UUID that is used for ids, and in a digest.
        usize::from(self.0[15]) % SHARDS
    }
}

impl From<[u8; 16]> for RevocableId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl FromStr for RevocableId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(text))
    }
}

impl fmt::Debug for RevocableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RevocableId({:032x})", u128::from_be_bytes(self.0))
    }
}

type Shard = RwLock<HashMap<RevocableId, u64>>;

/// A set of revoked ids. Clones share it, so one set may serve several verifiers.
#[derive(Clone, Default)]
pub struct RevocationSet(Arc<Shards>);

struct Shards {
    /// Never less than what the shards hold, so that zero may be believed without a lock.
    length: AtomicUsize,
    version: AtomicU64,
    shards: [Shard; SHARDS],
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            length: AtomicUsize::new(0),
            version: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Shard::default()),
        }
    }
}

impl RevocationSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on refuse every token whose `sid` or `jti` is this id. `forget_at` (seconds since 1970) is when the
    /// last such token will have expired, leeway included; of two instants for one id the later stays.
    pub fn revoke(&self, id: impl Into<RevocableId>, forget_at: u64) {
        let id = id.into();
        let mut shard = self.0.shards[id.shard()].write();
        if let Some(known) = shard.get_mut(&id) {
            if *known < forget_at {
                *known = forget_at;
                self.0.version.fetch_add(1, Ordering::Release);
            }
            return;
        }
        self.0.length.fetch_add(1, Ordering::Release);
        shard.insert(id, forget_at);
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Revoke many, as a feed or a start brings them.
    pub fn extend(&self, revoked: impl IntoIterator<Item = (RevocableId, u64)>) {
        for (id, forget_at) in revoked {
            self.revoke(id, forget_at);
        }
    }

    /// Do as the issuer's feed says: revoke what it names, and forget what has expired by then. Nothing that was
    /// known is dropped because the feed does not name it, so a feed that was cut short revives no token.
    pub fn follow(&self, feed: &RevocationFeed) {
        let named = feed.revoked.iter();
        self.extend(named.map(|revoked| (RevocableId::of(&revoked.id), revoked.until)));
        self.forget_before(feed.as_of);
    }

    /// Whether the id is revoked. With nothing revoked this is one atomic load.
    pub fn is_revoked(&self, id: RevocableId) -> bool {
        self.0.length.load(Ordering::Acquire) != 0 && self.0.shards[id.shard()].read().contains_key(&id)
    }

    /// Drop every id whose instant has come.
    pub fn forget_before(&self, now: u64) {
        for shard in &self.0.shards {
            self.shrink(shard, |shard| shard.retain(|_, forget_at| *forget_at > now));
        }
    }

    /// Hold exactly these. An id in both the old and the new set is never out of it in between; one that is
    /// revoked while the new set is being read elsewhere is lost, so a follower of a feed wants
    /// [`extend`](Self::extend) instead.
    pub fn replace_all(&self, revoked: impl IntoIterator<Item = (RevocableId, u64)>) {
        let mut fresh: Vec<HashMap<RevocableId, u64>> = vec![HashMap::new(); SHARDS];
        for (id, forget_at) in revoked {
            let known = fresh[id.shard()].entry(id).or_insert(forget_at);
            *known = forget_at.max(*known);
        }
        for (shard, fresh) in self.0.shards.iter().zip(fresh) {
            self.0.length.fetch_add(fresh.len(), Ordering::Release);
            let mut shard = shard.write();
            let old = std::mem::replace(&mut *shard, fresh);
            self.0.length.fetch_sub(old.len(), Ordering::Release);
        }
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Everything that is revoked, and when it may be forgotten; in no order.
    pub fn snapshot(&self) -> Vec<(RevocableId, u64)> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.0.shards {
            all.extend(shard.read().iter().map(|(id, forget_at)| (*id, *forget_at)));
        }
        all
    }

    /// Another number after every change. Taken before a [`snapshot`](Self::snapshot), it tells whether that is still
    /// all there is.
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// How many ids are revoked.
    pub fn len(&self) -> usize {
        self.0.length.load(Ordering::Acquire)
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shrink(&self, shard: &Shard, shorten: impl FnOnce(&mut HashMap<RevocableId, u64>)) {
        let mut shard = shard.write();
        let before = shard.len();
        shorten(&mut shard);
        let gone = before.saturating_sub(shard.len());
        self.0.length.fetch_sub(gone, Ordering::Release);
        if gone > 0 {
            self.0.version.fetch_add(1, Ordering::Release);
        }
    }
}

impl fmt::Debug for RevocationSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RevocationSet")
            .field("len", &self.len())
            .finish()
    }
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    let groups: &[(usize, usize)] = match text.len() {
        32 => &[(0, 32)],
        36 if [8, 13, 18, 23].iter().all(|hyphen| text[*hyphen] == b'-') => {
            &[(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)]
        }
        _ => return None,
    };
    let mut bytes = [0; 16];
    let pairs = groups
        .iter()
        .flat_map(|(from, to)| text[*from..*to].chunks_exact(2));
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = (hex(pair[0])? << 4) | hex(pair[1])?;
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
