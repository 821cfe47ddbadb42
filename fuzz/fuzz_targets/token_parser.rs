//! Whatever bytes come as a token, the verifier neither panics nor accepts what was not honestly signed.
//!
//! The first byte chooses how the rest is used: as the whole token, as one segment among good ones, as changes to a
//! good token, or as header or payload under a *good* signature, which leads the fuzzer behind the cryptography.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use tokenhouse_verify::{Algorithm, Claims, KeySet, Verifier, VerifyingKey, header_segment};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of more than thirty-two bytes!!";
const PAYLOAD: &str = r#"{"iss":"i","sub":"s","aud":"a","exp":1800000300,"iat":1800000000,"jti":"j"}"#;

struct Scene {
    verifier: Verifier,
    token: String,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let keys = KeySet::new([VerifyingKey::hs256("k", SECRET).unwrap()]).unwrap();
    let verifier = Verifier::builder()
        .keys(keys)
        .issuer("i")
        .audience("a")
        .token_type("at+jwt")
        .leeway(Duration::ZERO)
        .build()
        .unwrap();
    let token = signed(
        &header_segment(Algorithm::Hs256, "k", Some("at+jwt")),
        &BASE64URL_NOPAD.encode(PAYLOAD.as_bytes()),
    );
    verifier.verify_at(&token, NOW).unwrap();
    Scene { verifier, token }
});

fn signed(header: &str, payload: &str) -> String {
    let signed = format!("{header}.{payload}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

fn refuse(scene: &Scene, token: &str) {
    if token != scene.token {
        assert!(scene.verifier.verify_at(token, NOW).is_err(), "accepted {token}");
    }
}

/// What is honestly signed may be accepted, but only if it says what was asked for, and survives being written.
fn accept_only_by_the_rules(scene: &Scene, token: &str) {
    if let Ok(verified) = scene.verifier.verify_at(token, NOW) {
        let claims = verified.claims();
        assert_eq!(claims.iss.as_deref(), Some("i"));
        assert!(claims.aud.contains("a") && claims.exp > NOW);
        assert!(claims.sub.as_ref().is_some_and(|sub| !sub.is_empty()));
        assert!(claims.nbf.is_none_or(|nbf| nbf <= NOW) && claims.iat.is_none_or(|iat| iat <= NOW));
        // Without the custom claims: a float among them may come back one bit off.
        let registered = Claims {
            extra: Default::default(),
            ..claims.clone()
        };
        let written = serde_json::to_vec(&registered).unwrap();
        assert_eq!(serde_json::from_slice::<Claims>(&written).unwrap(), registered);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((way, rest)) = input.split_first() else {
        return;
    };
    let scene = &*SCENE;
    let mut segments: Vec<String> = scene.token.split('.').map(str::to_owned).collect();
    match way % 6 {
        0 => refuse(scene, &String::from_utf8_lossy(rest)),
        1..=3 => {
            segments[usize::from(way % 6 - 1)] = BASE64URL_NOPAD.encode(rest);
            refuse(scene, &segments.join("."));
        }
        4 => {
            let mut bytes = scene.token.clone().into_bytes();
            for change in rest.chunks_exact(3) {
                let position = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                bytes[position] = change[2];
            }
            refuse(scene, &String::from_utf8_lossy(&bytes));
        }
        _ => {
            let free = BASE64URL_NOPAD.encode(rest);
            accept_only_by_the_rules(scene, &signed(&segments[0], &free));
            accept_only_by_the_rules(scene, &signed(&free, &segments[1]));
        }
    }
});
