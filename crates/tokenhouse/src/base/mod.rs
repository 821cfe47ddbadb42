//! Tools that know nothing of accounts: time, chance, ids, secrets, the store, errors, HTTP helpers.

pub mod clock;
pub mod entropy;
pub mod secret;
pub mod store;
