//! `cargo bench -p tokenhouse-verify`: what a verification costs, beside the bare primitive in the same run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "made for the tests, which use the rest")]
#[path = "../tests/it/support.rs"]
mod support;

use std::{hint::black_box, time::Instant};

use support::{NOW, builder, good_claims, signers, split};
use tokenhouse_verify::RevocableId;

/// The median of several rounds, in nanoseconds a call.
fn measure(calls: u32, mut call: impl FnMut()) -> u128 {
    let mut rounds: Vec<u128> = (0..21)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_nanos() / u128::from(calls)
        })
        .collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn main() {
    println!(
        "{:8} {:>10} {:>10} {:>10} {:>10}",
        "ns", "primitive", "uncached", "cached", "+revoked"
    );
    for signer in signers() {
        let payload = support::encode(serde_json::to_string(&good_claims()).unwrap().as_bytes());
        let header = tokenhouse_verify::header_segment(signer.algorithm, &signer.kid, Some("at+jwt"));
        let token = signer.token_of_segments(&header, &payload);
        let signature = support::decode(&split(&token)[2]);
        let signed = &token[..token.rfind('.').unwrap()];
        let primitive = signer.primitive();
        let bare = measure(1_000, || {
            assert!(primitive(black_box(signed.as_bytes()), &signature))
        });

        let uncached = builder().cache_capacity(0).build().unwrap();
        let fresh = measure(1_000, || {
            drop(black_box(uncached.verify_at(black_box(&token), NOW).unwrap()))
        });

        let cached = builder().build().unwrap();
        let again = measure(20_000, || {
            drop(black_box(cached.verify_at(black_box(&token), NOW).unwrap()))
        });
        cached
            .revocations()
            .extend((0..10_000_u128).map(|id| (RevocableId::from_bytes(id.to_be_bytes()), NOW)));
        let revoked = measure(20_000, || {
            drop(black_box(cached.verify_at(black_box(&token), NOW).unwrap()))
        });
        println!(
            "{:8} {bare:>10} {fresh:>10} {again:>10} {revoked:>10}   ({} bytes)",
            signer.algorithm.name(),
            token.len()
        );
    }
}
