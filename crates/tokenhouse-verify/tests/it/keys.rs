//! RFC 7517 and RFC 8725 §3.2 to §3.5: which keys may verify, and what each is pinned to.

use std::str::FromStr;

use aws_lc_rs::rsa::KeySize;
use serde_json::json;
use tokenhouse_verify::{Algorithm, Jwk, Jwks, KeyError, KeySet, Rejection, VerifyingKey};

use crate::support::*;

fn changed(algorithm: Algorithm, change: impl FnOnce(&mut Jwk)) -> Result<VerifyingKey, KeyError> {
    let mut jwk = signer(algorithm).jwk();
    change(&mut jwk);
    VerifyingKey::from_jwk(&jwk)
}

const PUBLIC: [Algorithm; 4] = [
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Rs256,
    Algorithm::Ps256,
];

#[test]
fn algorithms_go_by_their_jose_names_and_nothing_else() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_str(algorithm.name()), Ok(algorithm));
        assert_eq!(
            serde_json::to_value(algorithm).unwrap(),
            json!(algorithm.to_string())
        );
        assert_eq!(
            serde_json::from_value::<Algorithm>(json!(algorithm.name())).unwrap(),
            algorithm
        );
    }
    for name in ["none", "es256", "EDDSA", "HS384", "", "ES256K"] {
        assert!(
            Algorithm::from_str(name).is_err() && serde_json::from_value::<Algorithm>(json!(name)).is_err()
        );
    }
}

#[test]
fn a_published_key_is_read_back_with_its_name_and_algorithm() {
    for algorithm in PUBLIC {
        let key = changed(algorithm, |_| {}).unwrap();
        assert_eq!(
            (key.kid(), key.algorithm()),
            (signer(algorithm).kid.as_str(), algorithm)
        );
    }
}

#[test]
fn a_key_without_kid_is_refused() {
    for algorithm in PUBLIC {
        assert_eq!(
            changed(algorithm, |jwk| jwk.kid = None).unwrap_err(),
            KeyError::KidMissing
        );
        assert_eq!(
            changed(algorithm, |jwk| jwk.kid = Some(String::new())).unwrap_err(),
            KeyError::KidLength
        );
        assert_eq!(
            changed(algorithm, |jwk| jwk.kid = Some("k".repeat(129))).unwrap_err(),
            KeyError::KidLength
        );
    }
}

#[test]
fn a_key_without_alg_is_pinned_where_only_one_fits_and_refused_otherwise() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        assert_eq!(
            changed(algorithm, |jwk| jwk.alg = None).unwrap().algorithm(),
            algorithm
        );
    }
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        assert_eq!(
            changed(algorithm, |jwk| jwk.alg = None).unwrap_err(),
            KeyError::AlgorithmMissing
        );
    }
}

#[test]
fn a_key_whose_alg_is_not_one_of_its_type_is_refused() {
    for algorithm in PUBLIC {
        let rsa = [Algorithm::Rs256, Algorithm::Ps256];
        for other in Algorithm::ALL {
            let fits = other == algorithm || (rsa.contains(&algorithm) && rsa.contains(&other));
            let verdict = changed(algorithm, |jwk| jwk.alg = Some(other.to_string()));
            assert_eq!(
                verdict.err(),
                (!fits).then_some(KeyError::AlgorithmUnfit),
                "{algorithm} as {other}"
            );
        }
        for name in ["none", "HS512", "RSA-OAEP", ""] {
            assert_eq!(
                changed(algorithm, |jwk| jwk.alg = Some(name.into())).unwrap_err(),
                KeyError::AlgorithmUnfit
            );
        }
    }
}

#[test]
fn a_key_for_encryption_is_refused() {
    for algorithm in PUBLIC {
        assert_eq!(
            changed(algorithm, |jwk| jwk.usage = Some("enc".into())).unwrap_err(),
            KeyError::UsageUnfit
        );
        assert!(changed(algorithm, |jwk| jwk.usage = None).is_ok());
    }
}

#[test]
fn a_symmetric_key_never_comes_from_a_document() {
    let jwk: Jwk =
        serde_json::from_value(json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": encode(SECRET)}))
            .unwrap();
    assert_eq!(
        VerifyingKey::from_jwk(&jwk).unwrap_err(),
        KeyError::TypeUnsupported
    );
}

#[test]
fn unknown_curves_and_types_are_refused() {
    for crv in ["P-384", "P-521", "secp256k1", "X25519", "Ed448", "p-256", ""] {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            assert_eq!(
                changed(algorithm, |jwk| jwk.crv = Some(crv.into())).unwrap_err(),
                KeyError::TypeUnsupported
            );
        }
    }
    for kty in ["", "ec", "AKP"] {
        assert_eq!(
            changed(Algorithm::Es256, |jwk| jwk.kty = kty.into()).unwrap_err(),
            KeyError::TypeUnsupported
        );
    }
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let mut y = decode(&signer(Algorithm::Es256).jwk().y.unwrap());
    y[31] ^= 1;
    assert_eq!(
        changed(Algorithm::Es256, |jwk| jwk.y = Some(encode(&y))).unwrap_err(),
        KeyError::Weak
    );
    for bytes in [[0; 32], [0xff; 32]] {
        let verdict = changed(Algorithm::Es256, |jwk| {
            jwk.x = Some(encode(&bytes));
            jwk.y = Some(encode(&bytes));
        });
        assert_eq!(verdict.unwrap_err(), KeyError::Weak);
    }
}

#[test]
fn a_coordinate_that_is_absent_short_long_or_padded_is_refused() {
    for bad in [
        None,
        Some(String::new()),
        Some(encode(&[1; 31])),
        Some(encode(&[1; 33])),
        Some("=".repeat(43)),
    ] {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            assert_eq!(
                changed(algorithm, |jwk| jwk.x = bad.clone()).unwrap_err(),
                KeyError::Malformed,
                "{bad:?}"
            );
        }
        assert_eq!(
            changed(Algorithm::Es256, |jwk| jwk.y = bad.clone()).unwrap_err(),
            KeyError::Malformed
        );
    }
    let padded = |text: Option<String>| text.map(|text| format!("{text}="));
    assert_eq!(
        changed(Algorithm::EdDsa, |jwk| jwk.x = padded(jwk.x.take())).unwrap_err(),
        KeyError::Malformed
    );
}

#[test]
fn an_ed25519_key_of_small_order_is_refused() {
    for hex in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut point = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        for sign in [0, 0x80] {
            point[31] ^= sign;
            assert_eq!(
                changed(Algorithm::EdDsa, |jwk| jwk.x = Some(encode(&point))).unwrap_err(),
                KeyError::Weak,
                "{hex}"
            );
        }
    }
}

#[test]
fn an_rsa_key_of_less_than_2048_or_more_than_8192_bits_is_refused() {
    let modulus = |bytes: usize| {
        let mut n = vec![0xff; bytes];
        n[0] = 0x80;
        encode(&n)
    };
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        for bytes in [1, 64, 128, 255, 1025, 2048] {
            let verdict = changed(algorithm, |jwk| jwk.n = Some(modulus(bytes)));
            assert_eq!(verdict.unwrap_err(), KeyError::Weak, "{bytes} bytes");
        }
        for bytes in [256, 384, 512, 1024] {
            assert!(
                changed(algorithm, |jwk| jwk.n = Some(modulus(bytes))).is_ok(),
                "{bytes} bytes"
            );
        }
        let just_under = changed(algorithm, |jwk| {
            let mut n = decode(&modulus(256));
            n[0] = 0x7f;
            jwk.n = Some(encode(&n));
        });
        assert_eq!(just_under.unwrap_err(), KeyError::Weak);
    }
}

#[test]
fn a_longer_rsa_key_verifies_its_longer_signatures() {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let signer = Signer::rsa_of(algorithm, "long", KeySize::Rsa3072);
        let verifier = builder()
            .keys(KeySet::new([signer.verifying_key()]).unwrap())
            .build()
            .unwrap();
        let token = signer.token(&good_claims());
        assert_eq!(decode(&split(&token)[2]).len(), 384);
        assert!(verifier.verify_at(&token, NOW).is_ok());
    }
}

#[test]
fn an_rsa_modulus_that_is_even_or_spelled_with_leading_zeros_is_refused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
        let n = decode(&signer(algorithm).jwk().n.unwrap());
        let zeros = [&[0], n.as_slice()].concat();
        assert_eq!(
            changed(algorithm, |jwk| jwk.n = Some(encode(&zeros))).unwrap_err(),
            KeyError::Weak
        );
        let mut even = n;
        *even.last_mut().unwrap() &= 0xfe;
        assert_eq!(
            changed(algorithm, |jwk| jwk.n = Some(encode(&even))).unwrap_err(),
            KeyError::Weak
        );
        for absent in [None, Some(String::new())] {
            assert_eq!(
                changed(algorithm, |jwk| jwk.n = absent).unwrap_err(),
                KeyError::Malformed
            );
        }
    }
}

#[test]
fn an_rsa_exponent_that_is_even_one_zero_or_huge_is_refused() {
    let cases: [&[u8]; 9] = [
        &[],
        &[0],
        &[1],
        &[2],
        &[4],
        &[0, 3],
        &[1, 0, 0],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 1],
    ];
    for e in cases {
        let verdict = changed(Algorithm::Rs256, |jwk| jwk.e = Some(encode(e)));
        assert_eq!(verdict.unwrap_err(), KeyError::Weak, "{e:?}");
    }
    assert!(changed(Algorithm::Rs256, |jwk| jwk.e = Some(encode(&[3]))).is_ok());
    assert_eq!(
        changed(Algorithm::Rs256, |jwk| jwk.e = None).unwrap_err(),
        KeyError::Malformed
    );
}

#[test]
fn a_short_secret_is_refused() {
    assert_eq!(
        VerifyingKey::hs256("k", &[7; 31]).unwrap_err(),
        KeyError::SecretTooShort
    );
    assert!(VerifyingKey::hs256("k", &[7; 32]).is_ok());
    assert_eq!(
        VerifyingKey::hs256_legacy("k", &[7; 15]).unwrap_err(),
        KeyError::SecretTooShort
    );
    assert!(VerifyingKey::hs256_legacy("k", &[7; 16]).is_ok());
    assert_eq!(
        VerifyingKey::hs256("", &[7; 32]).unwrap_err(),
        KeyError::KidLength
    );
}

#[test]
fn a_key_printed_for_debugging_shows_no_secret() {
    let key = VerifyingKey::hs256("k", SECRET).unwrap();
    let set = KeySet::new([key.clone()]).unwrap();
    let verifier = builder().keys(set.clone()).build().unwrap();
    let secret = std::str::from_utf8(SECRET).unwrap();
    for text in [format!("{key:?}"), format!("{set:?}"), format!("{verifier:?}")] {
        assert!(text.contains("HS256") || text.contains("Hs256"), "{text}");
        assert!(
            !text.contains(secret) && !text.contains(&format!("{SECRET:?}")),
            "{text}"
        );
    }
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let twice = || {
        [
            signer(Algorithm::Es256).verifying_key(),
            signer(Algorithm::Es256).verifying_key(),
        ]
    };
    assert_eq!(KeySet::new(twice()).unwrap_err(), KeyError::DuplicateKid);
    let mut second = signer(Algorithm::EdDsa).jwk();
    second.kid = Some(signer(Algorithm::Es256).kid.clone());
    let document = Jwks {
        keys: vec![signer(Algorithm::Es256).jwk(), second],
    };
    assert_eq!(KeySet::from_jwks(&document).unwrap_err(), KeyError::DuplicateKid);
}

#[test]
fn unusable_keys_of_a_document_are_skipped_and_reported() {
    let mut document = serde_json::to_value(jwks()).unwrap();
    let keys = document["keys"].as_array_mut().unwrap();
    keys.push(json!({"kid": "no type"}));
    keys.push(json!({"kty": "oct", "kid": "secret", "k": "AAAA"}));
    keys.push(json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}));
    let (set, skipped) = KeySet::from_jwks(&serde_json::from_value(document).unwrap()).unwrap();
    assert_eq!(set.len(), 4);
    let reasons: Vec<_> = skipped
        .iter()
        .map(|key| (key.kid.as_deref(), key.reason))
        .collect();
    assert_eq!(
        reasons,
        [
            (Some("no type"), KeyError::TypeUnsupported),
            (Some("secret"), KeyError::TypeUnsupported),
            (None, KeyError::KidMissing),
        ]
    );
}

#[test]
fn private_and_unknown_members_are_dropped_on_reading_and_never_written() {
    let mut jwk = serde_json::to_value(signer(Algorithm::Rs256).jwk()).unwrap();
    for name in ["d", "p", "q", "dp", "dq", "qi", "k", "oth", "key_ops", "x5c"] {
        jwk[name] = json!("private");
    }
    let read: Jwk = serde_json::from_value(jwk).unwrap();
    assert_eq!(read, signer(Algorithm::Rs256).jwk());
    let written = serde_json::to_value(&read).unwrap();
    let names: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(
        names
            .iter()
            .all(|name| ["kty", "kid", "use", "alg", "n", "e"].contains(name)),
        "{names:?}"
    );
}

#[test]
fn a_verifier_without_keys_refuses_everything() {
    let verifier = builder().keys(KeySet::default()).build().unwrap();
    for signer in signers() {
        let refused = verifier
            .verify_at(&signer.token(&good_claims()), NOW)
            .unwrap_err();
        assert_eq!(
            refused,
            Rejection::UnknownKey {
                kid: Some(signer.kid.clone())
            }
        );
    }
}
