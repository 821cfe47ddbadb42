//! The brake per address: a generic cell rate algorithm (a bucket that leaks) in bounded memory.
//!
//! Each address has one number, its *theoretical arrival time*: when the next request would be due if it
//! kept to the rate. A request may come as early as the burst allows. Addresses that have been quiet long
//! enough are forgotten; when strangers rotate addresses faster than that, the oldest make room, so that
//! memory is bounded and nobody else is refused for it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

const SHARDS: usize = 32;
const ADDRESSES_PER_SHARD: usize = 2048;

/// A limit on how often each address may come.
pub struct AddressLimit {
    interval: i64,
    tolerance: i64,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<IpAddr, i64>>>,
}

impl AddressLimit {
    /// `burst` requests at once, then `per_minute`.
    #[must_use]
    pub fn new(burst: u32, per_minute: u32) -> Self {
        let interval = 60_000_000 / i64::from(per_minute.max(1));
        Self {
            interval,
            tolerance: interval * i64::from(burst.max(1) - 1),
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
        }
    }

    /// Counts one request of `address`.
    ///
    /// # Errors
    /// How long to wait when it came too early; such a request is not counted.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the shard's number is wanted"
    )]
    pub fn admit(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_microsecond();
        let mut shard = self.shards[self.hasher.hash_one(address) as usize % SHARDS].lock();
        // A time further ahead than the limit ever sets was noted before the clock was set back.
        let furthest = now + self.tolerance + self.interval;
        let due = shard
            .get(&address)
            .copied()
            .filter(|due| *due <= furthest)
            .unwrap_or(now)
            .max(now);
        if let Ok(wait @ 1..) = u64::try_from(due - self.tolerance - now) {
            return Err(Duration::from_micros(wait));
        }
        if shard.len() >= ADDRESSES_PER_SHARD && !shard.contains_key(&address) {
            make_room(&mut shard, now);
        }
        shard.insert(address, due + self.interval);
        Ok(())
    }
}

/// Forgets those whose time has come, and if none has, the half that is nearest to it.
fn make_room(shard: &mut HashMap<IpAddr, i64>, now: i64) {
    shard.retain(|_, due| *due > now);
    if shard.len() >= ADDRESSES_PER_SHARD {
        let mut all: Vec<i64> = shard.values().copied().collect();
        let (_, median, _) = all.select_nth_unstable(ADDRESSES_PER_SHARD / 2);
        let median = *median;
        shard.retain(|_, due| *due > median);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let limit = AddressLimit::new(3, 60);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!((0..3).all(|_| limit.admit(address, at(0)).is_ok()));
        assert_eq!(limit.admit(address, at(0)), Err(Duration::from_secs(1)));
        assert!(limit.admit(address, at(1)).is_ok());
        assert!(limit.admit(address, at(1)).is_err());
        assert!((0..3).all(|_| limit.admit(address, at(60)).is_ok()));
    }

    #[test]
    fn any_number_of_addresses_takes_bounded_memory() {
        let limit = AddressLimit::new(1, 1);
        for number in 0..300_000_u32 {
            assert!(limit.admit(IpAddr::V4(Ipv4Addr::from(number)), at(0)).is_ok());
        }
        assert!(
            limit
                .shards
                .iter()
                .all(|shard| shard.lock().len() <= ADDRESSES_PER_SHARD)
        );
    }

    #[test]
    fn a_clock_that_jumps_back_locks_nobody_out_for_long() {
        let limit = AddressLimit::new(2, 60);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(limit.admit(address, at(3600)).is_ok());
        assert!(
            limit.admit(address, at(0)).is_ok(),
            "an hour back, the address is not made to wait an hour"
        );
    }
}
