//! The only source of randomness: the operating system's generator through aws-lc, or, in tests, a seeded
//! stream that makes every id and salt repeatable.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use uuid::Uuid;

/// Where the house takes chance from.
#[derive(Clone)]
pub struct Entropy {
    source: Source,
    /// What tells apart ids of one instant, in the order in which they were made.
    order: Arc<AtomicU32>,
}

#[derive(Clone)]
enum Source {
    System(SystemRandom),
    Seeded { seed: u64, counter: Arc<AtomicU64> },
}

/// The operating system could not give random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct EntropyError;

impl Entropy {
    /// The operating system's generator.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System(SystemRandom::new()))
    }

    /// A repeatable stream for tests; never for a house that guards anything.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::of(Source::Seeded {
            seed,
            counter: Arc::new(AtomicU64::new(0)),
        })
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            order: Arc::new(AtomicU32::new(0)),
        }
    }

    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// When the system's generator fails, which no program can go on from sensibly.
    pub fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        match &self.source {
            Source::System(random) => random.fill(out).map_err(|_| EntropyError),
            Source::Seeded { seed, counter } => {
                for chunk in out.chunks_mut(32) {
                    let mut block = [0_u8; 16];
                    block[..8].copy_from_slice(&seed.to_le_bytes());
                    block[8..].copy_from_slice(&counter.fetch_add(1, Ordering::SeqCst).to_le_bytes());
                    chunk.copy_from_slice(&digest(&SHA256, &block).as_ref()[..chunk.len()]);
                }
                Ok(())
            }
        }
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// As [`fill`](Entropy::fill).
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// A UUIDv7 (RFC 9562 §5.7): ordered by `now`, random beyond the millisecond.
    ///
    /// # Errors
    /// As [`fill`](Entropy::fill).
    pub fn uuid_v7(&self, now: Timestamp) -> Result<Uuid, EntropyError> {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes::<10>()?).into_uuid())
    }

    /// The same, ordered within the millisecond too: by the microsecond, and within that by a counter, so that ids made
    /// one after the other in this process sort so (RFC 9562 §6.2, methods 3 and 1). Easier to guess than
    /// [`uuid_v7`](Self::uuid_v7): for what is no secret.
    ///
    /// # Errors
    /// As [`fill`](Entropy::fill).
    pub fn ordered_uuid_v7(&self, now: Timestamp) -> Result<Uuid, EntropyError> {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let micros = u16::try_from(now.as_microsecond().rem_euclid(1000)).unwrap_or(0);
        // Twelve bits after the version, of which thousandths need ten; then two bits go to the variant.
        let [m1, m2] = micros.to_be_bytes();
        let [_, c1, c2, c3] = self.order.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [r1, r2, r3, r4] = self.bytes::<4>()?;
        let tail = [m1, m2, 0, c1, c2, c3, r1, r2, r3, r4];
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::System(_) => "Entropy::system",
            Source::Seeded { .. } => "Entropy::seeded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_instant_sort_as_they_were_made() {
        let entropy = Entropy::seeded(1);
        let at: Timestamp = "2026-05-03T14:05:00.123456Z".parse().unwrap();
        let mut ids: Vec<Uuid> = (0..1000).map(|_| entropy.ordered_uuid_v7(at).unwrap()).collect();
        for later in ["2026-05-03T14:05:00.123457Z", "2026-05-03T14:05:00.124Z"] {
            ids.push(entropy.ordered_uuid_v7(later.parse().unwrap()).unwrap());
        }
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        // Those of another process are others.
        assert_ne!(Entropy::seeded(2).ordered_uuid_v7(at).unwrap(), ids[0]);
    }
}
