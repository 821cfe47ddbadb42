//! RFC 7519 §4.1.4 to §4.1.6: when a token is valid.

use std::time::Duration;

use serde_json::json;
use tokenhouse_verify::{BuildError, Rejection};

use crate::support::*;

#[test]
fn a_token_without_exp_is_refused() {
    for signer in signers() {
        let token = signer.token(&claims_with(json!({"exp": null})));
        assert_eq!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::Missing("exp")
        );
    }
}

#[test]
fn a_token_ends_exactly_at_exp() {
    for signer in signers() {
        let token = signer.token(&claims_with(json!({"exp": NOW + 10})));
        let fresh = || verifier();
        assert!(fresh().verify_at(&token, NOW + 9).is_ok());
        let refused = fresh().verify_at(&token, NOW + 10).unwrap_err();
        assert_eq!(refused, Rejection::Expired);
        assert!(refused.is_expired());
        assert_eq!(
            fresh().verify_at(&token, u64::MAX).unwrap_err(),
            Rejection::Expired
        );
    }
}

#[test]
fn leeway_moves_the_end_and_the_beginning() {
    let verifier = builder().leeway(Duration::from_secs(5)).build().unwrap();
    let token = any_signer().token(&claims_with(json!({"iat": null, "nbf": NOW, "exp": NOW + 10})));
    assert_eq!(
        verifier.verify_at(&token, NOW - 6).unwrap_err(),
        Rejection::NotYetValid
    );
    assert_eq!(
        verifier.verify_at(&token, NOW - 5).unwrap().valid_until(),
        NOW + 15
    );
    assert!(verifier.verify_at(&token, NOW + 14).is_ok());
    assert_eq!(
        verifier.verify_at(&token, NOW + 15).unwrap_err(),
        Rejection::Expired
    );
}

#[test]
fn five_seconds_of_leeway_are_the_default() {
    let verifier = tokenhouse_verify::Verifier::builder()
        .keys(key_set())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .token_type("at+jwt")
        .build()
        .unwrap();
    let token = any_signer().token(&claims_with(json!({"exp": NOW + 10})));
    assert!(verifier.verify_at(&token, NOW + 14).is_ok());
    assert_eq!(
        verifier.verify_at(&token, NOW + 15).unwrap_err(),
        Rejection::Expired
    );
}

#[test]
fn more_than_a_minute_of_leeway_is_refused() {
    assert!(builder().leeway(Duration::from_secs(60)).build().is_ok());
    assert_eq!(
        builder()
            .leeway(Duration::from_millis(60_001))
            .build()
            .unwrap_err(),
        BuildError::Leeway
    );
}

#[test]
fn a_token_is_not_valid_before_nbf() {
    for signer in signers() {
        let token = signer.token(&claims_with(json!({"nbf": NOW + 1})));
        assert_eq!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::NotYetValid
        );
        assert!(verifier().verify_at(&token, NOW + 1).is_ok());
    }
}

#[test]
fn a_token_issued_in_the_future_is_refused() {
    for signer in signers() {
        let token = signer.token(&claims_with(json!({"iat": NOW + 1})));
        assert_eq!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::NotYetValid
        );
        assert!(verifier().verify_at(&token, NOW + 1).is_ok());
    }
}

#[test]
fn an_early_nbf_does_not_excuse_a_late_iat_nor_the_reverse() {
    for claims in [
        json!({"nbf": 1, "iat": NOW + 1}),
        json!({"nbf": NOW + 1, "iat": 1}),
    ] {
        assert_eq!(judge(claims).unwrap_err(), Rejection::NotYetValid);
    }
}

#[test]
fn fractions_of_a_second_never_lengthen_a_life() {
    let token = any_signer().token(&claims_with(
        json!({"exp": NOW as f64 + 10.9, "nbf": NOW as f64 + 0.1}),
    ));
    assert_eq!(
        verifier().verify_at(&token, NOW).unwrap_err(),
        Rejection::NotYetValid
    );
    let verified = verifier().verify_at(&token, NOW + 1).unwrap();
    assert_eq!(
        (verified.claims().nbf, verified.claims().exp),
        (Some(NOW + 1), NOW + 10)
    );
    assert_eq!(
        verifier().verify_at(&token, NOW + 10).unwrap_err(),
        Rejection::Expired
    );
}

#[test]
fn a_time_in_exponent_notation_is_a_number_like_any_other() {
    let text = claims_with(json!({"exp": "hole"}))
        .to_string()
        .replace("\"hole\"", "1.8000003e9");
    let token = any_signer().token_of_text(&any_signer().header().to_string(), &text);
    assert_eq!(verifier().verify_at(&token, NOW).unwrap().claims().exp, NOW + 300);
}

#[test]
fn extreme_clocks_neither_panic_nor_let_anything_in() {
    let token = any_signer().token(&good_claims());
    let lenient = || builder().leeway(Duration::from_secs(60)).build().unwrap();
    for now in [0, 1, NOW - 61, NOW + 360, u64::MAX - 60, u64::MAX] {
        assert!(lenient().verify_at(&token, now).is_err(), "{now}");
    }
    let zero = any_signer().token(&claims_with(json!({"exp": 0, "nbf": 0, "iat": 0})));
    assert_eq!(verifier().verify_at(&zero, 0).unwrap_err(), Rejection::Expired);
}

#[test]
fn the_system_clock_is_used_when_no_instant_is_given() {
    let past = any_signer().token(&claims_with(json!({"iat": 1, "exp": 2})));
    let open = any_signer().token(&claims_with(json!({"iat": 1, "exp": 253_402_300_799_u64})));
    assert_eq!(verifier().verify(&past).unwrap_err(), Rejection::Expired);
    assert!(verifier().verify(&open).is_ok());
}
