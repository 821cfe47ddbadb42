//! Accounts, login and tokens for any axum application.

pub mod base;
pub use base::secret::Secret;
pub mod features;
