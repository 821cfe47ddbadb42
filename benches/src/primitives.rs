//! Signing and verifying in process, beside the bare primitive on the same bytes, in CPU time of this thread.

use std::hint::black_box;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use rustix::time::{ClockId, clock_gettime};
use tokenhouse::Algorithm;
use tokenhouse::kernel::keys::SigningKey;
use tokenhouse_verify::{Audience, Claims, KeySet, RevocableId, Verifier, header_segment};

use crate::options::Options;
use crate::report::{Goal, Report, median};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.com";
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Hs256,
];

/// Microseconds of CPU per call: the median of many short batches, so that an interrupted batch does not count.
fn cost(batches: usize, calls: u32, mut call: impl FnMut()) -> f64 {
    let times: Vec<f64> = (0..batches)
        .map(|_| {
            let started = thread_nanoseconds();
            (0..calls).for_each(|_| call());
            (thread_nanoseconds() - started) / f64::from(calls) / 1000.0
        })
        .collect();
    median(&times)
}

fn thread_nanoseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "hours of nanoseconds fit")]
    let nanoseconds = (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64;
    nanoseconds
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;
type Verify = dyn Fn(&[u8], &[u8]) -> bool;

/// The primitive alone, with a key of its own made as the house makes them.
struct Bare {
    sign: Box<Sign>,
    verify: Box<Verify>,
}

fn bare(key: &SigningKey) -> anyhow::Result<Bare> {
    let random = SystemRandom::new();
    let failed = |_| anyhow::anyhow!("a key could not be read");
    Ok(match key.algorithm() {
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.private())?;
            let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())?;
            Bare {
                sign: Box::new(move |input| pair.sign(&random, input).unwrap().as_ref().to_vec()),
                verify: Box::new(move |input, signature| public.verify_sig(input, signature).is_ok()),
            }
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(key.private())?;
            let public = ParsedPublicKey::new(&ED25519, pair.public_key().as_ref())?;
            Bare {
                sign: Box::new(move |input| pair.sign(input).as_ref().to_vec()),
                verify: Box::new(move |input, signature| public.verify_sig(input, signature).is_ok()),
            }
        }
        algorithm @ (Algorithm::Rs256 | Algorithm::Ps256) => {
            let pair = RsaKeyPair::from_pkcs8(key.private())?;
            let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key())
                .map_err(failed)?;
            let (signing, verifying) = if algorithm == Algorithm::Rs256 {
                (&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256)
            } else {
                (&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256)
            };
            let public = ParsedPublicKey::new(verifying, der.as_ref())?;
            Bare {
                sign: Box::new(move |input| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    pair.sign(signing, &random, input, &mut signature).unwrap();
                    signature
                }),
                verify: Box::new(move |input, signature| public.verify_sig(input, signature).is_ok()),
            }
        }
        Algorithm::Hs256 => {
            let signing = hmac::Key::new(hmac::HMAC_SHA256, key.private());
            let verifying = signing.clone();
            Bare {
                sign: Box::new(move |input| hmac::sign(&signing, input).as_ref().to_vec()),
                verify: Box::new(move |input, signature| hmac::verify(&verifying, input, signature).is_ok()),
            }
        }
    })
}

/// A token of the size that a login gives.
fn claims() -> Claims {
    Claims {
        iss: Some(ISSUER.to_owned()),
        sub: Some("01890a5d-ac96-774b-bcce-b302099a8057".to_owned()),
        aud: Audience::from(ISSUER),
        exp: NOW + 900,
        iat: Some(NOW),
        jti: Some("01890a5d-ac96-774b-bcce-b302099a8058".to_owned()),
        sid: Some("01890a5d-ac96-774b-bcce-b302099a8059".to_owned()),
        scope: Some(String::new()),
        ..Claims::default()
    }
}

pub fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let batches = if options.quick { 9 } else { 25 };
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm)?;
        let bare = bare(&key)?;
        let header = header_segment(algorithm, key.kid(), Some("at+jwt"));
        // As `mint` does it, less what makes the claims.
        let make = || {
            let payload = serde_json::to_vec(&claims()).unwrap();
            let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 360);
            token.push_str(&header);
            token.push('.');
            BASE64URL_NOPAD.encode_append(&payload, &mut token);
            let signature = key.sign(token.as_bytes()).unwrap();
            token.push('.');
            BASE64URL_NOPAD.encode_append(&signature, &mut token);
            token
        };
        let token = make();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes())?;
        let verifier = |capacity: usize| {
            Verifier::builder()
                .keys(KeySet::new([key.verifying_key().unwrap()]).unwrap())
                .issuer(ISSUER)
                .audience(ISSUER)
                .token_type("at+jwt")
                .cache_capacity(capacity)
                .build()
        };
        let (uncached, cached) = (verifier(0)?, verifier(10_000)?);
        // Some sessions have always been ended lately: the set is asked, not only its length.
        cached
            .revocations()
            .extend((0..1000_u128).map(|id| (RevocableId::from_bytes(id.to_be_bytes()), NOW)));
        assert!((bare.verify)(signed.as_bytes(), &signature));

        let calls = 200;
        let (mut sign, mut sign_bare, mut verify, mut verify_bare, mut again) =
            (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..options.rounds {
            sign_bare.push(cost(batches, calls / 4, || {
                black_box((bare.sign)(black_box(signed.as_bytes())));
            }));
            sign.push(cost(batches, calls / 4, || drop(black_box(make()))));
            verify_bare.push(cost(batches, calls, || {
                assert!((bare.verify)(black_box(signed.as_bytes()), &signature));
            }));
            verify.push(cost(batches, calls, || {
                drop(black_box(uncached.verify_at(black_box(&token), NOW).unwrap()));
            }));
            again.push(cost(batches, calls * 20, || {
                drop(black_box(cached.verify_at(black_box(&token), NOW).unwrap()));
            }));
        }
        let section = "tokens, CPU µs";
        // 1.1 × the primitive and 1 µs, as one ratio.
        let allowed = 1.1 + 1.0 / median(&verify_bare);
        let goal = Some(Goal::AtMost(allowed, allowed));
        report.ratio(
            section,
            &format!("{algorithm} verify"),
            "µs",
            &verify,
            "primitive",
            &verify_bare,
            goal,
        );
        let what = format!("{algorithm} verify, seen before");
        report.figure(section, &what, "µs", &again, Some(Goal::AtMost(1.0, 1.0)));
        report.ratio(
            section,
            &format!("{algorithm} sign"),
            "µs",
            &sign,
            "primitive",
            &sign_bare,
            None,
        );
    }
    Ok(())
}
