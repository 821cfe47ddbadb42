//! Accounts, login and tokens for any axum application.
//!
//! A [`Tokenhouse`] is a handle that an application keeps in its state. It brings the routes (sign-up, login,
//! refresh, logout, the user's own account), the operations behind them for applications that want routes of
//! their own, and the extractors that let nobody else into a handler.
//!
//! ```
//! use axum::{Json, Router, routing::{get, post}};
//! use tokenhouse::{CurrentUser, Error, MaybeUser, Tokenhouse, testing::TestHouse};
//!
//! // Entered by whoever is logged in, as the database has them now.
//! async fn hello(user: CurrentUser) -> String {
//!     format!("Hello, {}", user.email.as_deref().unwrap_or("you"))
//! }
//!
//! // Open to everybody, different for those we know.
//! async fn front_page(MaybeUser(user): MaybeUser) -> &'static str {
//!     if user.is_some() { "Welcome back" } else { "Welcome" }
//! }
//!
//! // Scopes are what a token may be used for, roles what an account may do.
//! async fn publish(user: CurrentUser) -> Result<Json<&'static str>, Error> {
//!     user.require_scope("posts:write")?;
//!     user.require_role("editor")?;
//!     Ok(Json("published"))
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let house = TestHouse::new().await.house;
//! let app: Router = Router::new()
//!     .route("/", get(front_page))
//!     .route("/hello", get(hello))
//!     .route("/posts", post(publish))
//!     .nest("/account", house.router())
//!     .with_state(house);
//! # });
//! ```
//!
//! A requirement that returns often is an extractor of the application's own:
//!
//! ```
//! use axum::extract::{FromRef, FromRequestParts};
//! use http::request::Parts;
//! use tokenhouse::{CurrentUser, Error, Tokenhouse};
//!
//! struct Editor(CurrentUser);
//!
//! impl<S: Send + Sync> FromRequestParts<S> for Editor
//! where
//!     Tokenhouse: FromRef<S>,
//! {
//!     type Rejection = Error;
//!
//!     async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
//!         let user = CurrentUser::from_request_parts(parts, state).await?;
//!         user.require_role("editor")?;
//!         Ok(Self(user))
//!     }
//! }
//! ```
//!
//! # Where things are
//!
//! | you want to | look at |
//! |---|---|
//! | build a house, decide what is yours to decide | [`Builder`], [`Settings`] |
//! | know who sends a request | [`CurrentUser`], [`MaybeUser`], [`AccessToken`] |
//! | write routes of your own | [`Tokenhouse::sign_up`], [`Tokenhouse::log_in_with_password`], [`Tokenhouse::refresh`] |
//! | end sessions | [`Tokenhouse::end_session`], [`Tokenhouse::end_all_sessions`] |
//! | bring users along | [`Tokenhouse::import_users`], [`Tokenhouse::create_user`], [`base::hashing::foreign`] |
//! | move a whole house | [`moving`] |
//! | keep your own tables beside | [`Tokenhouse::store`], [`store`] |
//! | answer errors in your own form | [`Builder::problems`], [`Error`], [`Code`] |
//! | test what you built | the feature `testing`: `testing::TestHouse` |
//!
//! The source has three strata, and imports go left only: [`base`] (tools that know nothing of accounts) ←
//! [`kernel`] (what every feature meets in) ← [`features`].

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

mod application;
pub mod base;
mod builder;
mod docs;
pub mod features;
pub mod kernel;
mod migrations;
pub mod moving;
mod openapi;
mod router;
mod templates;
#[cfg(feature = "testing")]
pub mod testing;

/// The type of every instant here.
pub use jiff::Timestamp;
/// The type behind every id here.
pub use uuid::Uuid;

pub use base::clock::Clock;
pub use base::entropy::Entropy;
pub use base::error::{Code, Error, FieldError};
pub use base::hashing::foreign::{HashFormatError, salted_bcrypt};
pub use base::http::{Input, Origin, Problem};
pub use base::id::{SessionId, UserId};
pub use base::mail;
pub use base::secret::Secret;
pub use base::settings::{self, Settings};
pub use base::store;
pub use builder::{BuildError, Builder};
pub use features::passkey::{Passkey, PasskeyOptions};
pub use features::password::{
    CreatingUser, ImportOutcome, Login, OpeningAccount, SignedUp, Signup, UserImport, UserToImport,
};
pub use features::totp::TotpEnrolment;
pub use kernel::account::{Email, NewUser, User, UserChange, Username};
pub use kernel::house::Tokenhouse;
pub use kernel::invitation::Invitation;
pub use kernel::keys::{KeyInfo, MasterKey};
pub use kernel::login::{LoggedIn, LoginAttempt, SecondStep, Shown, Step};
pub use kernel::mail::{MailCounts, MailState, Outgoing};
pub use kernel::mailbox::FromMail;
pub use kernel::session::{AccessToken, BearerToken, CurrentUser, MaybeUser, Session};
pub use kernel::token::{RESERVED_CLAIMS, TokenSet};
pub use migrations::MIGRATIONS;
pub use router::openapi;
pub use tokenhouse_verify::{Algorithm, Claims};
