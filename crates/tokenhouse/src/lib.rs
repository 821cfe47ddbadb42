//! Accounts, login and tokens for any axum application.

pub mod base;
mod builder;
mod docs;
pub mod features;
pub mod kernel;
mod migrations;
mod router;
#[cfg(feature = "testing")]
pub mod testing;

pub use base::clock::Clock;
pub use base::entropy::Entropy;
pub use base::error::{Code, Error, FieldError};
pub use base::http::{Origin, Problem};
pub use base::id::{SessionId, UserId};
pub use base::secret::Secret;
pub use base::settings::{self, Settings};
pub use base::store;
pub use builder::{BuildError, Builder};
pub use features::password::{Login, SignedUp, Signup};
pub use kernel::account::{Email, NewUser, User, UserChange, Username};
pub use kernel::house::Tokenhouse;
pub use kernel::keys::KeyInfo;
pub use kernel::login::LoggedIn;
pub use kernel::session::{AccessToken, CurrentUser, MaybeUser, Session};
pub use kernel::token::{RESERVED_CLAIMS, TokenSet};
pub use migrations::MIGRATIONS;
pub use router::openapi;
pub use tokenhouse_verify::{Algorithm, Claims};
