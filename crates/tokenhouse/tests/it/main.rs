//! Every behaviour, on both engines, in one program.

#![allow(unreachable_pub, missing_docs, reason = "a program has no interface")]

mod session;
mod signup;
mod store;
mod support;
