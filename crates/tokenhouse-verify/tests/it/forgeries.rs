//! More than ten thousand forged or mutated tokens a run, for every algorithm: none is accepted, none panics.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokenhouse_verify::{Algorithm, Rejection, Verifier};

use crate::support::*;

/// One way to spoil a good token without its key.
#[derive(Clone, Debug)]
enum Forgery {
    FlipBitOfText {
        position: usize,
        bit: u8,
    },
    FlipBitOfSegment {
        segment: usize,
        position: usize,
        bit: u8,
    },
    Truncate {
        length: usize,
    },
    Insert {
        position: usize,
        text: String,
    },
    SwapSegments {
        first: usize,
        second: usize,
    },
    DropSegment {
        segment: usize,
    },
    RepeatSegment {
        segment: usize,
    },
    SegmentOfAnother {
        segment: usize,
    },
    SegmentOfOtherAlgorithm {
        segment: usize,
        other: usize,
    },
    ChangeAlgorithm {
        name: String,
    },
    HmacWith {
        secret: usize,
    },
    InjectHeader {
        name: String,
        value: String,
    },
    AttackersKeyInHeader {
        name: String,
    },
    ChangeClaim {
        name: String,
        value: String,
    },
    SignatureOf {
        bytes: Vec<u8>,
    },
    SpecialSignature {
        kind: usize,
    },
    SignedByStranger {
        name: String,
        value: String,
    },
    RandomText {
        text: String,
    },
    RandomSegments {
        segments: [Vec<u8>; 3],
    },
    HonestHeaderRandomRest {
        payload: Vec<u8>,
        signature: Vec<u8>,
    },
    RandomClaimsSignedByStranger {
        claims: Vec<(String, i64)>,
    },
}

fn any_forgery() -> impl Strategy<Value = Forgery> {
    use Forgery::*;
    let name = || {
        let known = [
            "alg", "kid", "typ", "crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "iss", "sub", "aud", "exp",
        ];
        prop_oneof![
            prop::sample::select(known.to_vec()).prop_map(str::to_owned),
            "[a-z]{1,8}"
        ]
    };
    let value = || {
        prop_oneof![
            "[a-zA-Z0-9+/=._-]{0,40}",
            Just("none".to_owned()),
            Just("admin".to_owned())
        ]
    };
    let algorithm = prop_oneof![
        prop::sample::select(vec![
            "none", "None", "HS256", "RS256", "PS256", "ES256", "EdDSA", "HS512", ""
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9]{1,8}",
    ];
    let index = || 0..usize::MAX;
    prop_oneof![
        8 => (index(), 0..7_u8).prop_map(|(position, bit)| FlipBitOfText { position, bit }),
        8 => (0..3_usize, index(), 0..8_u8)
            .prop_map(|(segment, position, bit)| FlipBitOfSegment { segment, position, bit }),
        3 => index().prop_map(|length| Truncate { length }),
        3 => (index(), ".{1,5}").prop_map(|(position, text)| Insert { position, text }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(first, second)| SwapSegments { first, second }),
        1 => (0..3_usize).prop_map(|segment| DropSegment { segment }),
        1 => (0..3_usize).prop_map(|segment| RepeatSegment { segment }),
        2 => (0..3_usize).prop_map(|segment| SegmentOfAnother { segment }),
        2 => (0..3_usize, 0..5_usize).prop_map(|(segment, other)| SegmentOfOtherAlgorithm { segment, other }),
        3 => algorithm.prop_map(|name| ChangeAlgorithm { name }),
        2 => (0..4_usize).prop_map(|secret| HmacWith { secret }),
        3 => (name(), value()).prop_map(|(name, value)| InjectHeader { name, value }),
        1 => prop::sample::select(vec!["jwk", "jku", "x5u", "x5c", "kid"])
            .prop_map(|name| AttackersKeyInHeader { name: name.into() }),
        4 => (name(), value()).prop_map(|(name, value)| ChangeClaim { name, value }),
        3 => vec(any::<u8>(), 0..300).prop_map(|bytes| SignatureOf { bytes }),
        3 => (0..10_usize).prop_map(|kind| SpecialSignature { kind }),
        2 => (name(), value()).prop_map(|(name, value)| SignedByStranger { name, value }),
        2 => ".{0,200}".prop_map(|text| RandomText { text }),
        2 => [vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..80)]
            .prop_map(|segments| RandomSegments { segments }),
        2 => (vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..80))
            .prop_map(|(payload, signature)| HonestHeaderRandomRest { payload, signature }),
        2 => vec(("[a-z]{1,4}", any::<i64>()), 0..6).prop_map(|claims| RandomClaimsSignedByStranger { claims }),
    ]
}

/// What an attacker sees: two honest tokens of each algorithm, and has: a key pair of each algorithm.
struct Scene {
    verifier: Verifier,
    honest: Vec<[String; 2]>,
    strangers: Vec<Signer>,
}

impl Scene {
    fn new() -> Self {
        let verifier = verifier();
        let other_claims = claims_with(json!({"sub": "user-2", "jti": "other", "sid": "other"}));
        let honest: Vec<_> = signers()
            .iter()
            .map(|s| [s.token(&good_claims()), s.token(&other_claims)])
            .collect();
        // The honest ones lie in the cache, so that a forgery may also try to be taken for one of them.
        assert!(
            honest
                .iter()
                .flatten()
                .all(|token| verifier.verify_at(token, NOW).is_ok())
        );
        let strangers = signers().iter().map(|s| match s.algorithm {
            Algorithm::Hs256 => Signer::hmac(&s.kid, b"some other secret of thirty-two bytes and more"),
            algorithm => Signer::new(algorithm, &s.kid),
        });
        Self {
            verifier,
            honest,
            strangers: strangers.collect(),
        }
    }

    fn forge(&self, forgery: &Forgery, which: usize) -> String {
        use Forgery::*;
        let (signer, stranger) = (&signers()[which], &self.strangers[which]);
        let token = &self.honest[which][0];
        let mut segments = split(token);
        let [header, payload, signature] = split(token);
        match forgery.clone() {
            FlipBitOfText { position, bit } => {
                let mut bytes = token.clone().into_bytes();
                let position = position % bytes.len();
                bytes[position] ^= 1 << bit;
                String::from_utf8(bytes).unwrap()
            }
            FlipBitOfSegment {
                segment,
                position,
                bit,
            } => {
                let mut bytes = decode(&segments[segment]);
                let position = position % bytes.len();
                bytes[position] ^= 1 << bit;
                segments[segment] = encode(&bytes);
                segments.join(".")
            }
            Truncate { length } => token[..length % token.len()].to_owned(),
            Insert { position, text } => {
                let (before, after) = token.split_at(position % (token.len() + 1));
                format!("{before}{text}{after}")
            }
            SwapSegments { first, second } => {
                segments.swap(first, second);
                segments.join(".")
            }
            DropSegment { segment } => {
                segments[segment].clear();
                segments.join(".")
            }
            RepeatSegment { segment } => {
                segments[segment] = format!("{}.{}", segments[segment], segments[segment]);
                segments.join(".")
            }
            SegmentOfAnother { segment } => {
                // The header is the same in both, so the two others are what can be mixed.
                let segment = segment.max(1);
                segments[segment] = split(&self.honest[which][1])[segment].clone();
                segments.join(".")
            }
            SegmentOfOtherAlgorithm { segment, other } => {
                segments[segment] =
                    split(&self.honest[other][if other == which { 1 } else { 0 }])[segment].clone();
                segments.join(".")
            }
            ChangeAlgorithm { name } => {
                let mut changed = signer.header();
                changed["alg"] = json!(name);
                format!("{}.{payload}.{signature}", encode(changed.to_string().as_bytes()))
            }
            HmacWith { secret } => {
                let secret = match (secret, signer.algorithm) {
                    (0, _) => Vec::new(),
                    (1, _) => signer.kid.clone().into_bytes(),
                    (_, Algorithm::Hs256) => b"secret".to_vec(),
                    (2, _) => signer.public_der(),
                    _ => serde_json::to_vec(&signer.jwk()).unwrap(),
                };
                let mut changed = signer.header();
                changed["alg"] = json!("HS256");
                let signed = format!("{}.{payload}", encode(changed.to_string().as_bytes()));
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
                format!("{signed}.{}", encode(tag.as_ref()))
            }
            InjectHeader { name, value } => {
                let mut changed = signer.header();
                changed[name.as_str()] = json!(value);
                format!("{}.{payload}.{signature}", encode(changed.to_string().as_bytes()))
            }
            AttackersKeyInHeader { name } => {
                let mut changed = signer.header();
                changed[name.as_str()] = match (name.as_str(), stranger.algorithm) {
                    ("jwk", Algorithm::Hs256) => json!({"kty": "oct", "k": encode(SECRET)}),
                    ("jwk", _) => json!(stranger.jwk()),
                    ("kid", _) => json!("attacker"),
                    _ => json!("https://attacker.example/keys"),
                };
                stranger.token_with(&changed, &good_claims())
            }
            ChangeClaim { name, value } => {
                let claims = claims_with(json!({name: value}));
                format!("{header}.{}.{signature}", encode(claims.to_string().as_bytes()))
            }
            SignatureOf { bytes } => format!("{header}.{payload}.{}", encode(&bytes)),
            SpecialSignature { kind } => {
                format!(
                    "{header}.{payload}.{}",
                    encode(&special_signature(kind, &decode(&signature)))
                )
            }
            SignedByStranger { name, value } => {
                stranger.token_with(&signer.header(), &claims_with(json!({name: value})))
            }
            RandomText { text } => text,
            RandomSegments { segments } => segments.map(|bytes| encode(&bytes)).join("."),
            HonestHeaderRandomRest { payload, signature } => {
                format!("{header}.{}.{}", encode(&payload), encode(&signature))
            }
            RandomClaimsSignedByStranger { claims } => {
                let claims: serde_json::Map<String, Value> = claims
                    .into_iter()
                    .map(|(name, number)| (name, json!(number)))
                    .collect();
                stranger.token(&Value::Object(claims))
            }
        }
    }
}

/// Values that broke verifiers before: zeros (CVE-2022-21449), the group's order, other encodings, S + L.
fn special_signature(kind: usize, honest: &[u8]) -> Vec<u8> {
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let p256_order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let half = |from: usize| honest.get(from..from + 32).unwrap_or(honest).to_vec();
    match kind {
        0 => vec![0; honest.len()],
        1 => vec![0xff; honest.len()],
        2 => [p256_order.clone(), p256_order].concat(),
        3 => [p256_order, half(32.min(honest.len() - 32))].concat(),
        4 => [half(0), vec![0; honest.len() - 32]].concat(),
        5 => [vec![0; 32], half(32.min(honest.len() - 32))].concat(),
        6 => honest.iter().rev().copied().collect(),
        7 => {
            let (r, s) = (half(0), half(32.min(honest.len() - 32)));
            [&[0x30, 70, 2, 33, 0], r.as_slice(), &[2, 33, 0], s.as_slice()].concat()
        }
        8 => ed25519_with_order_added(honest),
        _ => {
            let mut one = vec![0; honest.len()];
            if let Some(last) = one.last_mut() {
                *last = 1;
            }
            one
        }
    }
}

/// S + L: the same residue, which a careless Ed25519 verifier accepts as a second signature.
fn ed25519_with_order_added(honest: &[u8]) -> Vec<u8> {
    let order = HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut signature = honest.to_vec();
    let start = signature.len() - 32;
    let mut carry = 0_u16;
    for (byte, addend) in signature[start..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(addend) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    signature
}

#[test]
fn no_forged_or_mutated_token_is_accepted() {
    const CASES: u32 = 3_000;
    let scene = Scene::new();
    let tried = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&any_forgery(), |forgery| {
            for which in 0..signers().len() {
                let forged = scene.forge(&forgery, which);
                if scene.honest.iter().flatten().any(|honest| *honest == forged) {
                    continue;
                }
                tried.fetch_add(1, Ordering::Relaxed);
                prop_assert!(
                    scene.verifier.verify_at(&forged, NOW).is_err(),
                    "{} accepted {forged}",
                    signers()[which].algorithm
                );
            }
            Ok(())
        })
        .unwrap();
    let tried = tried.into_inner();
    assert!(tried >= 10_000, "only {tried} forgeries were tried");
    assert_eq!(
        scene.verifier.cached_tokens(),
        10,
        "nothing but the honest tokens is remembered"
    );
}

#[test]
fn honest_tokens_with_claims_that_break_a_rule_are_refused_for_that_rule() {
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let verifier = builder().cache_capacity(0).build().unwrap();
    let past = (1..NOW).prop_map(|back| (json!({"exp": NOW - back}), Rejection::Expired));
    let not_yet = (1..10_000_000_u64).prop_map(|ahead| (json!({"nbf": NOW + ahead}), Rejection::NotYetValid));
    let future = (1..10_000_000_u64).prop_map(|ahead| (json!({"iat": NOW + ahead}), Rejection::NotYetValid));
    let issuer = "[ -~]{0,30}".prop_map(|iss| (json!({"iss": iss}), Rejection::Issuer));
    let audience = vec("[ -~]{0,30}", 1..5).prop_map(|aud| (json!({"aud": aud}), Rejection::Audience));
    let broken = prop_oneof![past, not_yet, future, issuer, audience];
    runner
        .run(&(broken, 0..5_usize), |((claims, expected), which)| {
            let token = signers()[which].token(&claims_with(claims));
            prop_assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), expected);
            Ok(())
        })
        .unwrap();
}

#[test]
fn honest_tokens_with_any_claims_survive_the_way_there_and_back() {
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
        Just(Value::Null)
    ];
    let extra = prop::collection::btree_map("x.{0,12}", value, 0..8);
    let verifier = verifier();
    runner
        .run(
            &(extra, ".{1,40}", ".{0,40}", 0..5_usize),
            |(extra, sub, jti, which)| {
                let mut claims = claims_with(json!({"sub": sub, "jti": jti}));
                for (name, value) in extra {
                    claims[name] = value;
                }
                let verified = verifier.verify_at(&signers()[which].token(&claims), NOW).unwrap();
                prop_assert_eq!(serde_json::to_value(verified.claims()).unwrap(), claims);
                Ok(())
            },
        )
        .unwrap();
}
