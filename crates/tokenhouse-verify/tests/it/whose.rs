//! RFC 8725 §3.8 to §3.12 and RFC 9068: from whom, for whom, about whom.

use serde_json::{Value, json};
use tokenhouse_verify::{BuildError, Rejection, Verifier, VerifierBuilder};

use crate::support::*;

#[test]
fn another_issuer_is_refused_byte_for_byte() {
    for iss in [
        "https://id.example.com/",
        "https://ID.example.com",
        "https://id.example.com.attacker.example",
        "https://id.example.co",
        "http://id.example.com",
        "https://id.example.com:443",
        "",
    ] {
        assert_eq!(
            judge(json!({"iss": iss})).unwrap_err(),
            Rejection::Issuer,
            "{iss}"
        );
    }
    assert_eq!(
        judge(json!({"iss": null})).unwrap_err(),
        Rejection::Missing("iss")
    );
}

#[test]
fn another_audience_is_refused() {
    for aud in [
        json!("https://other.example.com"),
        json!("https://api.example.com/"),
        json!("https://api.example.com.attacker.example"),
        json!(""),
        json!(["a", "b"]),
        json!([format!("{AUDIENCE} ")]),
    ] {
        assert_eq!(
            judge(json!({"aud": aud})).unwrap_err(),
            Rejection::Audience,
            "{aud}"
        );
    }
    assert_eq!(
        judge(json!({"aud": null})).unwrap_err(),
        Rejection::Missing("aud")
    );
}

#[test]
fn one_of_several_audiences_suffices_on_either_side() {
    assert!(judge(json!({"aud": ["https://other.example.com", AUDIENCE]})).is_ok());
    let several = builder().audience("https://second.example.com").build().unwrap();
    for aud in [AUDIENCE, "https://second.example.com"] {
        assert!(
            several
                .verify_at(&any_signer().token(&claims_with(json!({"aud": aud}))), NOW)
                .is_ok()
        );
    }
}

#[test]
fn a_token_about_nobody_is_refused() {
    assert_eq!(
        judge(json!({"sub": null})).unwrap_err(),
        Rejection::Missing("sub")
    );
    assert_eq!(judge(json!({"sub": ""})).unwrap_err(), Rejection::Subject);
}

#[test]
fn the_profile_of_rfc_9068_requires_all_seven_claims_and_its_type() {
    let profile = Verifier::builder()
        .keys(key_set())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .rfc9068()
        .build()
        .unwrap();
    assert!(
        profile
            .verify_at(&any_signer().token(&good_claims()), NOW)
            .is_ok()
    );
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let token = any_signer().token(&claims_with(json!({name: Value::Null})));
        assert_eq!(
            profile.verify_at(&token, NOW).unwrap_err(),
            Rejection::Missing(name)
        );
    }
    let mut header = any_signer().header();
    header["typ"] = json!("JWT");
    let token = any_signer().token_with(&header, &good_claims());
    assert_eq!(profile.verify_at(&token, NOW).unwrap_err(), Rejection::TokenType);
}

#[test]
fn an_id_token_is_no_access_token() {
    let claims = json!({
        "iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, "nonce": "n", "at_hash": "h",
    });
    for header in [
        json!({"alg": "EdDSA", "kid": any_signer().kid, "typ": "JWT"}),
        json!({"alg": "EdDSA", "kid": any_signer().kid}),
    ] {
        let token = any_signer().token_with(&header, &claims);
        assert_eq!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::TokenType
        );
    }
}

#[test]
fn a_logout_token_is_no_access_token_nor_the_reverse() {
    let mut header = any_signer().header();
    header["typ"] = json!("logout+jwt");
    let logout = any_signer().token_with(&header, &good_claims());
    let access = any_signer().token(&good_claims());
    let logouts = Verifier::builder()
        .keys(key_set())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .token_type("logout+jwt")
        .build()
        .unwrap();
    assert!(verifier().verify_at(&access, NOW).is_ok() && logouts.verify_at(&logout, NOW).is_ok());
    assert_eq!(
        verifier().verify_at(&logout, NOW).unwrap_err(),
        Rejection::TokenType
    );
    assert_eq!(logouts.verify_at(&access, NOW).unwrap_err(), Rejection::TokenType);
}

#[test]
fn a_required_claim_of_ones_own_must_be_there() {
    let verifier = builder().require_claim("tenant").build().unwrap();
    let verdict = |claims: Value| verifier.verify_at(&any_signer().token(&claims), NOW).map(drop);
    assert_eq!(verdict(good_claims()), Err(Rejection::Missing("tenant")));
    assert_eq!(verdict(claims_with(json!({"tenant": "t"}))), Ok(()));
}

#[test]
fn each_check_can_be_given_up_only_by_name() {
    let bare = || Verifier::builder().keys(key_set());
    let missing = |builder: VerifierBuilder| builder.build().unwrap_err();
    assert_eq!(missing(Verifier::builder()), BuildError::Missing("an issuer"));
    assert_eq!(missing(bare().issuer(ISSUER)), BuildError::Missing("an audience"));
    assert_eq!(
        missing(bare().issuer(ISSUER).audience(AUDIENCE)),
        BuildError::Missing("a token type")
    );
    assert_eq!(
        missing(
            Verifier::builder()
                .issuer(ISSUER)
                .audience(AUDIENCE)
                .token_type("at+jwt")
        ),
        BuildError::Missing("keys")
    );

    let open = bare()
        .without_issuer()
        .without_audience()
        .any_token_type()
        .without_subject()
        .build()
        .unwrap();
    let header = json!({"alg": "EdDSA", "kid": any_signer().kid});
    let token = any_signer().token_with(&header, &json!({"exp": NOW + 1, "user": 7}));
    assert_eq!(
        open.verify_at(&token, NOW)
            .unwrap()
            .claims()
            .get::<u8>("user")
            .unwrap(),
        Some(7)
    );
    let endless = any_signer().token_with(&header, &json!({"user": 7}));
    assert_eq!(
        open.verify_at(&endless, NOW).unwrap_err(),
        Rejection::Missing("exp")
    );
}

#[test]
fn a_check_both_wanted_and_given_up_is_a_mistake() {
    assert_eq!(
        builder().without_issuer().build().unwrap_err(),
        BuildError::Contradiction("an issuer")
    );
    assert_eq!(
        builder().without_audience().build().unwrap_err(),
        BuildError::Contradiction("an audience")
    );
    assert_eq!(
        builder().any_token_type().build().unwrap_err(),
        BuildError::Contradiction("a token type")
    );
}

#[test]
fn an_empty_expectation_is_a_mistake() {
    assert_eq!(
        builder().issuer("").build().unwrap_err(),
        BuildError::Empty("the issuer")
    );
    assert_eq!(
        builder().audience("").build().unwrap_err(),
        BuildError::Empty("an audience")
    );
    assert_eq!(
        builder().token_type("").build().unwrap_err(),
        BuildError::Empty("a token type")
    );
}

#[test]
fn a_good_token_of_a_foreign_issuer_with_the_same_kid_is_refused() {
    for algorithm in tokenhouse_verify::Algorithm::ALL {
        if algorithm == tokenhouse_verify::Algorithm::Hs256 {
            continue;
        }
        let foreign = Signer::new(algorithm, &signer(algorithm).kid);
        assert_eq!(
            verifier()
                .verify_at(&foreign.token(&good_claims()), NOW)
                .unwrap_err(),
            Rejection::Signature
        );
    }
}

#[test]
fn no_refusal_repeats_what_the_token_holds() {
    let marker = "s3cr3t-marker";
    let mut header = any_signer().header();
    for (name, value) in [
        ("kid", json!(marker)),
        ("alg", json!(marker)),
        ("typ", json!(marker)),
        ("crit", json!([marker])),
    ] {
        let original = header[name].take();
        header[name] = value;
        let refused = verifier()
            .verify_at(&any_signer().token_with(&header, &good_claims()), NOW)
            .unwrap_err();
        assert!(!refused.to_string().contains(marker), "{refused}");
        header[name] = original;
        if header["crit"].is_null() {
            header.as_object_mut().unwrap().remove("crit");
        }
    }
    for claims in [
        json!({"iss": marker}),
        json!({"aud": marker}),
        json!({"exp": marker}),
        json!({"sub": [marker]}),
    ] {
        assert!(!judge(claims).unwrap_err().to_string().contains(marker));
    }
}
