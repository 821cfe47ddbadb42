//! Hashing passwords: a bounded resource, and every form of hash that an account may have been imported with.
//!
//! New hashes are Argon2id, made by the [pool]; what an account was [imported with](foreign) verifies too and
//! is replaced at that login. Nothing in here knows whose password it is.

pub mod costs;
pub mod foreign;
pub mod large_pages;
pub mod pool;
pub mod spelling;

mod arena;
mod fields;
mod formats;
mod hasher;
mod priority;
mod queue;
#[cfg(test)]
mod tests;

pub use costs::{Argon2Costs, HashingOptions, ImportLimits};
pub use foreign::{HashFormatError, StoredHash};
pub use pool::{HashingError, HashingPool, HashingStartError, PoolStatus, Verdict};
pub use spelling::LONGEST_IN_BYTES;
