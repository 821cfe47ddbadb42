//! RFC 7515 §4 and RFC 8725: what a header may and may not decide.

use serde_json::{Value, json};
use tokenhouse_verify::{
    Algorithm, KeySet, MAX_KID_LENGTH, Rejection, Verifier, VerifyingKey, header_segment,
};

use crate::support::*;

fn refuse_header(text: &str) -> Rejection {
    let token = any_signer().token_of_text(text, &good_claims().to_string());
    verifier().verify_at(&token, NOW).unwrap_err()
}

#[test]
fn a_token_that_names_none_is_refused() {
    for signer in signers() {
        for none in ["none", "None", "NONE", "nOnE", ""] {
            let header = encode(
                json!({"alg": none, "kid": signer.kid, "typ": "at+jwt"})
                    .to_string()
                    .as_bytes(),
            );
            let payload = encode(good_claims().to_string().as_bytes());
            for signature in [
                String::new(),
                encode(&signer.sign(format!("{header}.{payload}").as_bytes())),
            ] {
                let token = format!("{header}.{payload}.{signature}");
                assert_eq!(
                    verifier().verify_at(&token, NOW).unwrap_err(),
                    Rejection::AlgorithmMismatch
                );
            }
        }
    }
}

#[test]
fn a_token_that_names_another_algorithm_than_its_key_is_refused() {
    for signer in signers() {
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != signer.algorithm)
        {
            let mut header = signer.header();
            header["alg"] = json!(other);
            let token = signer.token_with(&header, &good_claims());
            assert_eq!(
                verifier().verify_at(&token, NOW).unwrap_err(),
                Rejection::AlgorithmMismatch
            );
        }
    }
}

#[test]
fn an_algorithm_in_other_letter_case_or_of_a_longer_digest_is_refused() {
    for alg in [
        "es256", "ES256 ", "ES384", "ES512", "RS512", "HS512", "Ed25519", "RSA-OAEP", "dir",
    ] {
        let refusals = refusals_of_header(&json!({"alg": alg}));
        assert_eq!(refusals, vec![Rejection::AlgorithmMismatch; 5], "{alg}");
    }
}

#[test]
fn a_public_rsa_key_used_as_hmac_secret_is_refused() {
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ] {
        let victim = signer(algorithm);
        let jwk = serde_json::to_vec(&victim.jwk()).unwrap();
        for secret in [victim.public_der(), jwk] {
            let header = header_segment(Algorithm::Hs256, &victim.kid, Some("at+jwt"));
            let signed = format!("{header}.{}", encode(good_claims().to_string().as_bytes()));
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            let token = format!(
                "{signed}.{}",
                encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref())
            );
            assert_eq!(
                verifier().verify_at(&token, NOW).unwrap_err(),
                Rejection::AlgorithmMismatch
            );
        }
    }
}

#[test]
fn a_key_for_one_rsa_padding_does_not_verify_the_other() {
    let (rs, ps) = (signer(Algorithm::Rs256), signer(Algorithm::Ps256));
    for (signs, claims_to_be) in [(rs, ps), (ps, rs)] {
        // The same RSA key published for the other padding, so that only the algorithm differs.
        let mut jwk = signs.jwk();
        jwk.alg = Some(claims_to_be.algorithm.to_string());
        let keys = KeySet::new([VerifyingKey::from_jwk(&jwk).unwrap()]).unwrap();
        let verifier = builder().keys(keys).build().unwrap();
        let mut header = signs.header();
        assert_eq!(
            verifier
                .verify_at(&signs.token_with(&header, &good_claims()), NOW)
                .unwrap_err(),
            Rejection::AlgorithmMismatch
        );
        header["alg"] = json!(claims_to_be.algorithm);
        assert_eq!(
            verifier
                .verify_at(&signs.token_with(&header, &good_claims()), NOW)
                .unwrap_err(),
            Rejection::Signature
        );
    }
}

#[test]
fn a_header_without_alg_is_refused() {
    let text = json!({"kid": any_signer().kid, "typ": "at+jwt"}).to_string();
    assert!(matches!(refuse_header(&text), Rejection::Malformed(_)));
}

#[test]
fn a_header_that_is_no_object_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "\"header\"",
        "1",
        "{",
        "{}x",
        "[{\"alg\":\"EdDSA\"}]",
        "\u{feff}{}",
    ] {
        assert!(matches!(refuse_header(text), Rejection::Malformed(_)), "{text}");
    }
}

#[test]
fn a_header_member_of_the_wrong_type_is_refused() {
    for name in ["alg", "kid", "typ"] {
        for value in [
            json!(null),
            json!(1),
            json!(true),
            json!(["EdDSA"]),
            json!({"a": 1}),
        ] {
            for refusal in refusals_of_header(&json!({name: value})) {
                assert!(matches!(refusal, Rejection::Malformed(_)), "{name}: {value}");
            }
        }
    }
}

#[test]
fn a_repeated_header_member_is_refused_whatever_its_name_or_spelling() {
    let kid = &any_signer().kid;
    for repeated in [
        r#""alg":"EdDSA""#,
        r#""alg":"none""#,
        r#""\u0061lg":"EdDSA""#,
        r#""typ":"at+jwt""#,
        r#""x":1,"x":1"#,
        r#""cty":"a","ct\u0079":"b""#,
    ] {
        let text = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{kid}",{repeated}}}"#);
        assert!(matches!(refuse_header(&text), Rejection::Malformed(_)), "{text}");
    }
}

#[test]
fn a_header_that_is_not_utf_8_is_refused() {
    let header = [
        br#"{"alg":"EdDSA","kid":""#.as_slice(),
        &[0xff, 0xfe],
        br#"","typ":"at+jwt"}"#,
    ]
    .concat();
    let payload = encode(good_claims().to_string().as_bytes());
    let token = any_signer().token_of_segments(&encode(&header), &payload);
    assert!(matches!(
        verifier().verify_at(&token, NOW).unwrap_err(),
        Rejection::Malformed(_)
    ));
}

#[test]
fn any_crit_is_refused() {
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!("b64"),
        json!(null),
        json!({}),
    ] {
        let refusals = refusals_of_header(&json!({"crit": crit}));
        assert_eq!(refusals, vec![Rejection::CriticalHeader; 5], "{crit}");
    }
}

#[test]
fn an_unencoded_payload_is_refused() {
    assert_eq!(
        refusals_of_header(&json!({"b64": false})),
        vec![Rejection::ForbiddenHeader("b64"); 5]
    );
    assert_eq!(
        refusals_of_header(&json!({"b64": false, "crit": ["b64"]})),
        vec![Rejection::CriticalHeader; 5]
    );
}

#[test]
fn a_compressed_payload_is_refused() {
    assert_eq!(
        refusals_of_header(&json!({"zip": "DEF"})),
        vec![Rejection::ForbiddenHeader("zip"); 5]
    );
}

#[test]
fn a_header_that_brings_its_own_key_is_refused() {
    let attacker = Signer::new(Algorithm::EdDsa, "attacker");
    for (name, value) in [
        ("jwk", serde_json::to_value(attacker.jwk()).unwrap()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("http://169.254.169.254/latest")),
    ] {
        assert_eq!(
            refusals_of_header(&json!({name: value})),
            vec![Rejection::ForbiddenHeader(name); 5],
            "{name}"
        );
    }
}

#[test]
fn a_token_signed_by_the_key_in_its_own_header_is_refused() {
    let attacker = Signer::new(Algorithm::EdDsa, &any_signer().kid);
    for kid in [json!(any_signer().kid), json!("attacker"), Value::Null] {
        let mut header = json!({"alg": "EdDSA", "typ": "at+jwt", "jwk": attacker.jwk()});
        if !kid.is_null() {
            header["kid"] = kid;
        }
        let token = attacker.token_with(&header, &good_claims());
        assert_eq!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::ForbiddenHeader("jwk")
        );
    }
}

#[test]
fn certificates_in_the_header_decide_nothing() {
    let attacker = Signer::new(Algorithm::EdDsa, &any_signer().kid);
    let mut header = any_signer().header();
    header["x5c"] = json!([encode(&attacker.public_der())]);
    header["x5t"] = json!("AAAA");
    assert!(
        verifier()
            .verify_at(&any_signer().token_with(&header, &good_claims()), NOW)
            .is_ok()
    );
    let forged = attacker.token_with(&header, &good_claims());
    assert_eq!(
        verifier().verify_at(&forged, NOW).unwrap_err(),
        Rejection::Signature
    );
}

#[test]
fn an_unknown_kid_is_refused_and_never_falls_through_to_another_key() {
    for signer in signers() {
        for kid in [
            "",
            "nobody",
            "../../etc/passwd",
            "' OR 1=1 --",
            "key-EdDSA\0",
            "KEY-EDDSA",
        ] {
            let mut header = signer.header();
            header["kid"] = json!(kid);
            let refused = verifier()
                .verify_at(&signer.token_with(&header, &good_claims()), NOW)
                .unwrap_err();
            assert_eq!(
                refused,
                Rejection::UnknownKey {
                    kid: Some(kid.to_owned())
                }
            );
        }
    }
}

#[test]
fn a_kid_over_the_limit_is_refused() {
    let mut header = any_signer().header();
    header["kid"] = json!("k".repeat(MAX_KID_LENGTH + 1));
    let token = any_signer().token_with(&header, &good_claims());
    assert_eq!(
        verifier().verify_at(&token, NOW).unwrap_err(),
        Rejection::TooLarge
    );
}

#[test]
fn a_token_without_kid_is_refused_unless_the_only_key_is_said_to_be_meant() {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt"});
    let token = any_signer().token_with(&header, &good_claims());
    let unknown = Rejection::UnknownKey { kid: None };
    let only = || KeySet::new([any_signer().verifying_key()]).unwrap();

    let verdict = |keys: KeySet| builder().keys(keys).build().unwrap().verify_at(&token, NOW);
    assert_eq!(verdict(only()).unwrap_err(), unknown);
    assert!(verdict(only().allow_missing_kid()).is_ok());
    assert_eq!(
        verdict(key_set().allow_missing_kid()).unwrap_err(),
        unknown,
        "several keys"
    );
    assert_eq!(
        verdict(KeySet::default().allow_missing_kid()).unwrap_err(),
        unknown,
        "no key"
    );
}

#[test]
fn a_missing_kid_still_leaves_the_algorithm_to_the_key() {
    let keys = KeySet::new([signer(Algorithm::Rs256).verifying_key()])
        .unwrap()
        .allow_missing_kid();
    let verifier = builder().keys(keys).build().unwrap();
    for alg in ["HS256", "none", "PS256"] {
        let token =
            signer(Algorithm::Hs256).token_with(&json!({"alg": alg, "typ": "at+jwt"}), &good_claims());
        assert_eq!(
            verifier.verify_at(&token, NOW).unwrap_err(),
            Rejection::AlgorithmMismatch
        );
    }
}

#[test]
fn typ_is_compared_without_letter_case_and_with_optional_application_prefix() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let mut header = any_signer().header();
        header["typ"] = json!(typ);
        let token = verifier()
            .verify_at(&any_signer().token_with(&header, &good_claims()), NOW)
            .unwrap();
        assert_eq!(token.token_type(), Some("at+jwt"), "{typ}");
    }
}

#[test]
fn a_token_of_another_kind_is_refused() {
    for typ in [
        "JWT",
        "logout+jwt",
        "dpop+jwt",
        "id+jwt",
        "",
        "at",
        "at+jwt ",
        "text/at+jwt",
        "application/x/at+jwt",
    ] {
        assert_eq!(
            refusals_of_header(&json!({"typ": typ})),
            vec![Rejection::TokenType; 5],
            "{typ}"
        );
    }
}

#[test]
fn a_token_without_typ_is_refused_unless_the_builder_accepts_it() {
    let header = json!({"alg": "EdDSA", "kid": any_signer().kid});
    let token = any_signer().token_with(&header, &good_claims());
    assert_eq!(
        verifier().verify_at(&token, NOW).unwrap_err(),
        Rejection::TokenType
    );
    let lenient = builder().absent_token_type().build().unwrap();
    assert_eq!(lenient.verify_at(&token, NOW).unwrap().token_type(), None);

    let mut header = any_signer().header();
    header["typ"] = json!("logout+jwt");
    let other = any_signer().token_with(&header, &good_claims());
    assert_eq!(lenient.verify_at(&other, NOW).unwrap_err(), Rejection::TokenType);
}

#[test]
fn several_types_may_be_accepted_and_any_by_explicit_wish() {
    let several = builder().token_type("JWT").build().unwrap();
    let any = Verifier::builder()
        .keys(key_set())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .any_token_type()
        .build()
        .unwrap();
    for (typ, in_several) in [("JWT", true), ("at+jwt", true), ("logout+jwt", false)] {
        let mut header = any_signer().header();
        header["typ"] = json!(typ);
        let token = any_signer().token_with(&header, &good_claims());
        assert_eq!(several.verify_at(&token, NOW).is_ok(), in_several, "{typ}");
        assert_eq!(
            any.verify_at(&token, NOW).unwrap().token_type(),
            Some(typ.to_lowercase().as_str())
        );
    }
}

#[test]
fn only_a_name_without_slash_may_lose_its_application_prefix() {
    let verifier = builder().token_type("x/y").build().unwrap();
    for (typ, accepted) in [("x/y", true), ("application/x/y", false)] {
        let mut header = any_signer().header();
        header["typ"] = json!(typ);
        let token = any_signer().token_with(&header, &good_claims());
        assert_eq!(verifier.verify_at(&token, NOW).is_ok(), accepted, "{typ}");
    }
}
