//! Every behaviour, on both engines, in one program.

#![allow(unreachable_pub, reason = "a program has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]

mod account_deletion;
mod application;
mod architecture;
mod brake;
mod clock;
mod contenders;
mod contract;
mod documentation;
mod extractors;
mod feed;
mod frozen;
mod gate;
mod hashing;
mod hostile;
mod keys;
mod kinds;
mod lease;
mod login;
mod me;
mod moving;
mod nodes;
mod observability;
mod pages;
mod password_change;
mod payload;
mod refresh_model;
mod room;
mod session;
mod signup;
mod standards;
mod store;
mod support;
mod tokens;
