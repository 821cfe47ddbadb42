//! `benches/run`: what Tokenhouse costs, each figure beside its limit (the same work without Tokenhouse),
//! measured in the same run on the same machine. Absolute figures belong to a machine; ratios travel.
//!
//! One program plays three parts: it starts the server and the bare one it is compared with, is the load
//! client of both, and does the limits' work itself. Everything is bounded in time and number, on loopback
//! and in a temporary folder, and what it starts it ends by process id.
#![allow(
    clippy::disallowed_methods,
    reason = "a measurement reads clocks and waits; nothing here is part of the product"
)]

mod folks;
mod footprint;
mod growth;
mod limits;
mod load;
mod me;
mod options;
mod passwords;
mod postgres;
mod primitives;
mod process;
mod refresh;
mod report;
mod storm;
mod timing;

use options::{Options, SECTIONS};
use report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // The parts that this program plays when it starts itself.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hello", address] => return process::serve_hello(address),
        ["house", address, database] => return process::serve_house(address, database),
        _ => {}
    }
    let options = Options::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut report = Report::new();
    for section in SECTIONS {
        if !options.wants(section) {
            continue;
        }
        eprintln!("{section} …");
        let outcome = runtime.block_on(async {
            match *section {
                "tokens" => primitives::measure(&options, &mut report),
                "me" => me::measure(&options, &mut report).await,
                "passwords" => passwords::measure(&options, &mut report).await,
                "refresh" => refresh::measure(&options, &mut report).await,
                "storm" => storm::measure(&options, &mut report).await,
                "timing" => timing::measure(&options, &mut report).await,
                "footprint" => footprint::measure(&options, &mut report).await,
                "growth" => growth::measure(&options, &mut report).await,
                "postgres" => refresh::measure_postgres(&options, &mut report).await,
                "growth-postgres" => growth::measure_postgres(&options, &mut report).await,
                "timing-postgres" => timing::measure_postgres(&options, &mut report).await,
                other => anyhow::bail!("there is no section {other}"),
            }
        });
        if let Err(error) = outcome {
            report.failed(section, &error);
        }
    }
    print!("{}", report.table());
    if let Some(path) = &options.json {
        std::fs::write(path, report.json())?;
    }
    anyhow::ensure!(!report.has_failures(), "a section could not be measured");
    Ok(())
}
