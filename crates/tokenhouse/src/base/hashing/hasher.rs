//! What a hashing thread is asked to do: make a hash, or judge a password.

use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

use crate::base::entropy::{Entropy, EntropyError};
use crate::base::secret::Secret;

use super::arena::{Arena, Argon2Recipe};
use super::costs::{Argon2Costs, HashingOptions, ImportLimits};
use super::foreign::{Kind, StoredHash};
use super::pool::{HashingError, Verdict};
use super::spelling::{fits, normalised};

/// Bytes of salt and of tag: RFC 9106's recommendation.
const SALT: usize = 16;
const TAG: usize = 32;

/// Today's rules, and the decoy; shared by all threads.
pub(super) struct Hasher {
    costs: Argon2Costs,
    limits: ImportLimits,
    entropy: Entropy,
    /// Verified when there is nothing to verify. Its tag is chance and so the hash of nothing anybody could type,
    /// which makes it as good as a real one and saves hashing at every start.
    decoy: StoredHash,
}

impl Hasher {
    pub(super) fn new(options: &HashingOptions, entropy: Entropy) -> Result<Self, EntropyError> {
        let decoy = StoredHash(Kind::Argon2 {
            recipe: Argon2Recipe::todays(options.costs),
            salt: entropy.bytes::<SALT>()?.to_vec(),
            tag: entropy.bytes::<TAG>()?.to_vec(),
        });
        let limits = options.max_imported_cost.admitting(options.costs);
        Ok(Self {
            costs: options.costs,
            limits,
            entropy,
            decoy,
        })
    }

    /// A PHC string of the normalised password with today's costs.
    pub(super) fn hash(&self, arena: &mut Arena, password: &Secret) -> Result<String, HashingError> {
        if !fits(password) {
            return Err(HashingError::TooLong);
        }
        let Argon2Costs {
            memory_kib,
            iterations,
            parallelism,
        } = self.costs;
        let salt = self.entropy.bytes::<SALT>()?;
        let mut tag = Zeroizing::new([0; TAG]);
        arena
            .argon2(
                &Argon2Recipe::todays(self.costs),
                normalised(password.expose()).expose().as_bytes(),
                &salt,
                tag.as_mut_slice(),
            )
            .map_err(HashingError::Argon2)?;
        let [salt, tag] = [salt.as_slice(), tag.as_slice()].map(|bytes| BASE64_NOPAD.encode(bytes));
        Ok(format!(
            "$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${tag}"
        ))
    }

    /// Judges `password`, with the same work whether or not there is something to compare it with.
    pub(super) fn verify(&self, arena: &mut Arena, password: &Secret, stored: Option<&str>) -> Verdict {
        let stored = stored.and_then(|text| self.understood(text));
        // A route may forget the cap; nothing longer than it was ever hashed, so it is answered like any wrong
        // password, without reading it.
        if !fits(password) {
            return Self::nothing_to_find(self.decoy.is_of("", arena));
        }
        let Some(stored) = stored else {
            return Self::nothing_to_find(is_right(&self.decoy, password, arena).is_some());
        };
        match is_right(&stored, password, arena) {
            None => Verdict::Wrong,
            Some(Spelling::Normalised) if stored.is_todays(self.costs) => Verdict::Right,
            Some(_) => Verdict::RightButOutdated,
        }
    }

    /// [`verify`](Hasher::verify), and a new hash where one is due.
    pub(super) fn verify_and_upgrade(
        &self,
        arena: &mut Arena,
        password: &Secret,
        stored: Option<&str>,
    ) -> (Verdict, Option<String>) {
        let verdict = self.verify(arena, password, stored);
        let covered = stored
            .and_then(|text| self.understood(text))
            .is_some_and(|stored| stored.covers(password.expose()));
        if verdict != Verdict::RightButOutdated || !covered {
            return (verdict, None);
        }
        // A password that was proved logs in, even if the better hash has to wait for the next time.
        let upgraded = self
            .hash(arena, password)
            .inspect_err(|error| tracing::error!(%error, "an outdated password hash could not be replaced"))
            .ok();
        (verdict, upgraded)
    }

    /// A stored text nobody understands is a fault in the database: the operator is told, the caller sees a wrong
    /// password, and the work is done all the same.
    fn understood(&self, text: &str) -> Option<StoredHash> {
        StoredHash::parse_within(text, &self.limits)
            .inspect_err(|error| tracing::error!(%error, "a stored password hash cannot be used"))
            .ok()
    }

    /// The answer to work that was done for its own sake; `black_box` keeps the work from being optimised away.
    fn nothing_to_find(found: bool) -> Verdict {
        std::hint::black_box(found);
        Verdict::Wrong
    }
}

/// The spelling in which a password was right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Normalised,
    Raw,
}

/// Whether, and in which spelling, `password` is what was hashed.
///
/// Other systems hashed what was typed. We hash the normal form, but an Argon2id hash does not say who made it:
/// there the normal form is tried first, and what was typed after it, if that is something else. How much work
/// that makes depends on the password alone, so that it tells nothing about the account.
fn is_right(stored: &StoredHash, password: &Secret, arena: &mut Arena) -> Option<Spelling> {
    let normal = normalised(password.expose());
    if stored.may_be_ours() && stored.is_of(normal.expose(), arena) {
        return Some(Spelling::Normalised);
    }
    let raw_is_left = !stored.may_be_ours() || normal.expose() != password.expose();
    (raw_is_left && stored.is_of(password.expose(), arena)).then_some(Spelling::Raw)
}
