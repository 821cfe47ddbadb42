//! Where the features meet: accounts, logins, sessions, keys, tokens, events.

pub mod account;
pub mod answer;
pub mod brake;
pub mod event;
pub mod factor;
pub(crate) mod health;
pub mod house;
pub mod jobs;
pub mod keys;
pub mod login;
pub(crate) mod metrics;
pub(crate) mod recovery;
pub mod session;
pub(crate) mod ticket;
pub mod token;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;

use crate::base::error::Error;
use crate::base::settings::Settings;
use crate::base::store::Store;
use factor::{Asked, Factor};
use house::Tokenhouse;

/// What a feature adds to the house: a plain value, listed once in `features/mod.rs`.
#[derive(Clone, Copy)]
pub struct Feature {
    /// Its name in the log and the documentation.
    pub name: &'static str,
    /// Whether the settings want it.
    pub enabled: fn(&Settings) -> bool,
    /// Its routes, with their documentation.
    pub routes: fn() -> OpenApiRouter<Tokenhouse>,
    /// The second factor it offers.
    pub factor: Option<Factor>,
    /// Whether a user can log in by it, with nothing else before.
    pub way_in: Option<Asked>,
    /// Removes what is over of its own.
    pub sweep: Option<Sweep>,
}

/// Removes what is over, page by page.
pub type Sweep = for<'a> fn(&'a Store, Timestamp) -> BoxFuture<'a, Result<(), Error>>;
