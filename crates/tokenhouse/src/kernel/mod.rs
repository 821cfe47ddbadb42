//! Where the features meet: accounts, logins, sessions, keys, tokens, events.

pub mod account;
pub mod answer;
pub mod brake;
pub mod event;
pub(crate) mod health;
pub mod house;
pub mod jobs;
pub mod keys;
pub(crate) mod lease;
pub mod login;
pub(crate) mod look;
pub mod mail;
pub(crate) mod metrics;
pub(crate) mod notice;
pub mod pages;
pub mod session;
pub(crate) mod ticket;
pub mod token;

use utoipa_axum::router::OpenApiRouter;

use crate::base::settings::Settings;
use house::Tokenhouse;
use pages::Pages;

/// What a feature adds to the house: a plain value, listed once in `features/mod.rs`.
#[derive(Clone, Copy)]
pub struct Feature {
    /// Its name in the log and the documentation.
    pub name: &'static str,
    /// Whether the settings want it.
    pub enabled: fn(&Settings) -> bool,
    /// Its routes, with their documentation.
    pub routes: fn() -> OpenApiRouter<Tokenhouse>,
    /// What it adds to the pages.
    pub pages: Pages,
}
