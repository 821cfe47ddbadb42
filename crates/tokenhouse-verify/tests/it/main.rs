//! Every rule of the verifier, from outside: one binary, one signer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod caching;
mod claims;
mod forgeries;
mod headers;
mod keys;
mod revocations;
mod second_opinion;
mod segments;
mod support;
mod times;
mod vectors;
mod whose;
