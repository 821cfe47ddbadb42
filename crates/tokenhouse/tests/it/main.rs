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
mod email;
mod extractors;
mod factor_pages;
mod feed;
mod frozen;
mod gate;
mod hashing;
mod hostile;
mod invitation;
mod keys;
mod kinds;
mod lease;
mod login;
mod magic;
mod mail;
mod mail_delivery;
mod me;
mod moving;
mod nodes;
mod observability;
mod pages;
mod passkeys;
mod password_change;
mod password_reset;
mod payload;
mod refresh_model;
mod room;
mod second_factors;
mod session;
mod signup;
mod single_use;
mod standards;
mod store;
mod support;
mod tokens;
