//! Nothing lost, nobody kept waiting for ever: the real program, real databases, and what goes wrong around them.
//!
//! Each test is bounded for the suite. `TOKENHOUSE_TEST_ROUNDS=300` makes those that repeat something repeat it so
//! often, and `TOKENHOUSE_TEST_LONG=1` lets what hangs hang as long as the goals say.

mod actors;
mod client;
mod crash;
mod crowd;
mod disk;
mod hang;
mod load;
mod outage;
pub(crate) mod postgres;
mod server;
mod stop;

/// How often something is done that a test repeats.
fn rounds(usual: u64) -> u64 {
    std::env::var("TOKENHOUSE_TEST_ROUNDS").map_or(usual, |text| text.parse().unwrap())
}

/// Whether what hangs may hang as long as the goals say.
fn is_long() -> bool {
    std::env::var_os("TOKENHOUSE_TEST_LONG").is_some()
}

/// A number below `limit`, never the same.
fn chance(limit: u64) -> u64 {
    let bytes = tokenhouse::Entropy::system().bytes::<8>().unwrap();
    u64::from_be_bytes(bytes) % limit
}
