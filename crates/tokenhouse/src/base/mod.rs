//! Tools that know nothing of accounts: time, chance, ids, secrets, settings, the store, errors, HTTP, mail, templates.

pub mod clock;
pub mod entropy;
pub mod error;
pub mod file;
pub mod hashing;
pub mod http;
pub mod id;
pub mod mail;
pub mod metrics;
pub mod secret;
pub mod settings;
pub mod store;
pub mod template;
