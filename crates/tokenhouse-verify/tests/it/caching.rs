//! The cache gives nothing away: neither time, nor keys, nor revocation, nor somebody else's claims.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use tokenhouse_verify::{KeySet, Rejection};

use crate::support::*;

#[test]
fn a_token_seen_before_is_remembered() {
    for signer in signers() {
        let verifier = verifier();
        let token = signer.token(&good_claims());
        let first = verifier.verify_at(&token, NOW).unwrap();
        let second = verifier.clone().verify_at(&token, NOW + 1).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(verifier.cached_tokens(), 1);
    }
}

#[test]
fn a_remembered_token_is_not_served_past_its_end() {
    let verifier = builder().leeway(Duration::from_secs(5)).build().unwrap();
    let token = any_signer().token(&claims_with(json!({"exp": NOW + 10})));
    assert!(verifier.verify_at(&token, NOW + 14).is_ok());
    assert_eq!(
        verifier.verify_at(&token, NOW + 15).unwrap_err(),
        Rejection::Expired
    );
    assert_eq!(verifier.cached_tokens(), 0, "what has expired makes room");
    assert_eq!(
        verifier.verify_at(&token, NOW + 16).unwrap_err(),
        Rejection::Expired
    );
}

#[test]
fn a_remembered_token_is_not_served_before_its_beginning() {
    let verifier = verifier();
    let token = any_signer().token(&claims_with(json!({"nbf": NOW + 5})));
    assert!(verifier.verify_at(&token, NOW + 5).is_ok());
    assert_eq!(
        verifier.verify_at(&token, NOW + 4).unwrap_err(),
        Rejection::NotYetValid
    );
    assert!(verifier.verify_at(&token, NOW + 6).is_ok());
}

#[test]
fn a_remembered_token_is_refused_as_soon_as_it_is_revoked() {
    for revoked in [SESSION, TOKEN] {
        let verifier = verifier();
        let token = any_signer().token(&good_claims());
        assert!(verifier.verify_at(&token, NOW).is_ok());
        verifier.revocations().revoke(
            revoked.parse::<tokenhouse_verify::RevocableId>().unwrap(),
            NOW + 300,
        );
        assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), Rejection::Revoked);
    }
}

#[test]
fn new_keys_forget_what_the_old_ones_verified() {
    for signer in signers() {
        let verifier = verifier();
        let token = signer.token(&good_claims());
        assert!(verifier.verify_at(&token, NOW).is_ok());
        let others = signers()
            .iter()
            .filter(|other| other.kid != signer.kid)
            .map(Signer::verifying_key);
        verifier.set_keys(KeySet::new(others).unwrap());
        assert_eq!(verifier.cached_tokens(), 0);
        let refused = verifier.verify_at(&token, NOW).unwrap_err();
        assert_eq!(
            refused,
            Rejection::UnknownKey {
                kid: Some(signer.kid.clone())
            }
        );
        verifier.set_keys(key_set());
        assert!(verifier.verify_at(&token, NOW).is_ok());
    }
}

#[test]
fn a_verification_in_flight_under_old_keys_leaves_nothing_that_counts_under_new_ones() {
    const CONTENDERS: usize = 4;
    for round in 0..100 {
        let verifier = verifier();
        let token = any_signer().token(&claims_with(json!({"round": round})));
        let start = Barrier::new(CONTENDERS + 1);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CONTENDERS {
                scope.spawn(|| {
                    start.wait();
                    while !over.load(Ordering::Relaxed) && verifier.verify_at(&token, NOW).is_ok() {
                        std::hint::spin_loop();
                    }
                });
            }
            start.wait();
            verifier.set_keys(KeySet::default());
            let accepted = (0..50)
                .filter(|_| verifier.verify_at(&token, NOW).is_ok())
                .count();
            // Before the verdict, or a failure would leave the contenders running for ever.
            over.store(true, Ordering::Relaxed);
            assert_eq!(accepted, 0);
        });
    }
}

#[test]
fn what_was_refused_is_not_remembered() {
    let verifier = verifier();
    let [header, payload, _] = split(&any_signer().token(&good_claims()));
    for token in [
        format!("{header}.{payload}.{}", encode(&[0; 64])),
        any_signer().token(&claims_with(json!({"aud": "other"}))),
        any_signer().token(&claims_with(json!({"exp": NOW}))),
        any_signer().token(&claims_with(json!({"nbf": NOW + 1}))),
    ] {
        for _ in 0..2 {
            assert!(verifier.verify_at(&token, NOW).is_err());
            assert_eq!(verifier.cached_tokens(), 0);
        }
    }
}

#[test]
fn two_tokens_that_share_all_but_one_character_are_two() {
    let verifier = verifier();
    let token = any_signer().token(&good_claims());
    assert!(verifier.verify_at(&token, NOW).is_ok());
    for position in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[position] = if other[position] == b'A' { b'B' } else { b'A' };
        assert!(
            verifier
                .verify_at(std::str::from_utf8(&other).unwrap(), NOW)
                .is_err(),
            "at {position}"
        );
    }
}

#[test]
fn the_cache_is_bounded() {
    let verifier = builder().cache_capacity(64).build().unwrap();
    for number in 0..500 {
        let token =
            signer(tokenhouse_verify::Algorithm::Hs256).token(&claims_with(json!({"number": number})));
        let claims = verifier.verify_at(&token, NOW).unwrap();
        assert_eq!(claims.claims().get::<u32>("number").unwrap(), Some(number));
    }
    assert!(
        (1..=64).contains(&verifier.cached_tokens()),
        "{}",
        verifier.cached_tokens()
    );
}

#[test]
fn without_a_cache_every_token_is_verified_anew() {
    let verifier = builder().cache_capacity(0).build().unwrap();
    let token = any_signer().token(&good_claims());
    let first = verifier.verify_at(&token, NOW).unwrap();
    let second = verifier.verify_at(&token, NOW).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(verifier.cached_tokens(), 0);
    assert_eq!(
        verifier.verify_at(&token, NOW + 300).unwrap_err(),
        Rejection::Expired
    );
    verifier
        .revocations()
        .revoke(tokenhouse_verify::RevocableId::of(SESSION), NOW + 300);
    assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), Rejection::Revoked);
}
