//! The command `tokenhouse`: accounts, login and tokens as one binary beside any API.

mod commands;
mod config;
mod failure;
mod serve;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

/// Faster than the system's where many threads allocate small things, and it gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before threads begin to keep memory.
    tokenhouse::base::hashing::large_pages::only_for_hashing();
    // Only the first caller decides, so that this cannot fail in a way that matters.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match commands::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
