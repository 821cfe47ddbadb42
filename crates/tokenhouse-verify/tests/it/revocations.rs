//! What was revoked is refused, by session and by token, and is forgotten in time.

use std::thread;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tokenhouse_verify::{Algorithm, Rejection, RevocableId, RevocationFeed, RevocationSet};

use crate::support::*;

fn id(number: u8) -> RevocableId {
    RevocableId::from_bytes([number; 16])
}

#[test]
fn a_revoked_session_or_token_is_refused_for_every_algorithm() {
    for signer in signers() {
        for revoked in [SESSION, TOKEN] {
            let verifier = verifier();
            verifier.revocations().revoke(RevocableId::of(revoked), NOW + 300);
            let token = signer.token(&good_claims());
            assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), Rejection::Revoked);
            let other = signer.token(&claims_with(json!({"sid": "another", "jti": "another"})));
            assert!(verifier.verify_at(&other, NOW).is_ok());
        }
    }
}

#[test]
fn the_spelling_of_a_uuid_does_not_matter() {
    let bytes: [u8; 16] = HEXLOWER
        .decode(SESSION.replace('-', "").as_bytes())
        .unwrap()
        .try_into()
        .unwrap();
    for text in [
        SESSION.to_owned(),
        SESSION.to_uppercase(),
        SESSION.replace('-', ""),
    ] {
        let verifier = verifier();
        verifier.revocations().revoke(bytes, NOW + 300);
        let token = any_signer().token(&claims_with(json!({"sid": text})));
        assert_eq!(
            verifier.verify_at(&token, NOW).unwrap_err(),
            Rejection::Revoked,
            "{text}"
        );
    }
}

#[test]
fn ids_that_are_no_uuids_can_be_verified_and_revoked() {
    let almost = [
        "session 1",
        "",
        "é",
        "0193000-00000-7000-8000-000000000001",
        "01930000-0000-7000-8000-00000000000g",
        "+1930000-0000-7000-8000-000000000001",
        "{01930000-0000-7000-8000-000000000001}",
        "0193000000007000800000000000000é",
    ];
    for text in almost {
        for name in ["sid", "jti"] {
            let verifier = verifier();
            let token = any_signer().token(&claims_with(json!({name: text})));
            assert!(verifier.verify_at(&token, NOW).is_ok(), "{text}");
            verifier.revocations().revoke(RevocableId::of(text), NOW + 300);
            assert_eq!(
                verifier.verify_at(&token, NOW).unwrap_err(),
                Rejection::Revoked,
                "{text}"
            );
        }
        assert_eq!(
            almost
                .iter()
                .filter(|other| RevocableId::of(other) == RevocableId::of(text))
                .count(),
            1
        );
        assert_ne!(RevocableId::of(text), RevocableId::of(SESSION));
    }
}

#[test]
fn a_token_without_sid_and_jti_is_not_touched_by_revocations() {
    let verifier = verifier();
    verifier
        .revocations()
        .extend((0..=255).map(|number| (id(number), NOW + 300)));
    let token = any_signer().token(&claims_with(json!({"sid": Value::Null, "jti": Value::Null})));
    let verified = verifier.verify_at(&token, NOW).unwrap();
    assert_eq!((verified.session_id(), verified.token_id()), (None, None));
}

#[test]
fn a_verified_token_knows_its_ids() {
    let verified = judge(json!({})).unwrap();
    assert_eq!(verified.session_id(), Some(RevocableId::of(SESSION)));
    assert_eq!(verified.token_id(), Some(RevocableId::of(TOKEN)));
}

#[test]
fn an_id_is_forgotten_at_its_instant_and_not_before() {
    let set = RevocationSet::new();
    set.revoke(id(1), 100);
    set.revoke(id(2), 200);
    set.forget_before(99);
    assert_eq!(set.len(), 2);
    set.forget_before(100);
    assert!(!set.is_revoked(id(1)) && set.is_revoked(id(2)));
    assert_eq!(set.len(), 1);
    set.forget_before(u64::MAX);
    assert!(set.is_empty() && !set.is_revoked(id(2)));
}

#[test]
fn of_two_instants_for_one_id_the_later_stays() {
    for instants in [[100, 200], [200, 100]] {
        let set = RevocationSet::new();
        instants
            .into_iter()
            .for_each(|instant| set.revoke(id(1), instant));
        let replaced = RevocationSet::new();
        replaced.replace_all(instants.map(|instant| (id(1), instant)));
        for set in [set, replaced] {
            assert_eq!(set.len(), 1);
            set.forget_before(150);
            assert!(set.is_revoked(id(1)));
        }
    }
}

#[test]
fn replacing_all_leaves_exactly_the_new_ones() {
    let set = RevocationSet::new();
    set.extend((0..100).map(|number| (id(number), 10)));
    set.replace_all((50..200).map(|number| (id(number), 10)));
    assert_eq!(set.len(), 150);
    for number in 0..=255 {
        assert_eq!(
            set.is_revoked(id(number)),
            (50..200).contains(&number),
            "{number}"
        );
    }
    set.replace_all([]);
    assert!(set.is_empty());
}

#[test]
fn an_id_that_is_replaced_by_itself_is_never_out_of_the_set() {
    let set = RevocationSet::new();
    set.revoke(id(7), 10);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..2_000_u32 {
                let others = (0..(round % 5) as u8).map(|number| (id(number), 10));
                set.replace_all(others.chain([(id(7), 10)]));
            }
        });
        while !writer.is_finished() {
            assert!(set.is_revoked(id(7)));
        }
    });
}

#[test]
fn one_set_may_serve_several_verifiers() {
    let shared = RevocationSet::new();
    let verifiers = [1, 2].map(|_| builder().revocations(shared.clone()).build().unwrap());
    let token = any_signer().token(&good_claims());
    assert!(
        verifiers
            .iter()
            .all(|verifier| verifier.verify_at(&token, NOW).is_ok())
    );
    shared.revoke(RevocableId::of(SESSION), NOW + 300);
    for verifier in verifiers {
        assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), Rejection::Revoked);
    }
}

/// (r, n − s): what everybody can make of (r, s).
fn twin(signature: &[u8]) -> Vec<u8> {
    let order = HEXLOWER
        .decode(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        .unwrap();
    let mut twin = signature.to_vec();
    let mut borrow = 0_i16;
    for position in (0..32).rev() {
        let difference = i16::from(order[position]) - i16::from(signature[32 + position]) - borrow;
        borrow = i16::from(difference < 0);
        twin[32 + position] = difference.rem_euclid(256) as u8;
    }
    twin
}

#[test]
fn the_twin_of_an_ecdsa_signature_is_the_same_token_and_dies_with_its_session() {
    let verifier = verifier();
    let token = signer(Algorithm::Es256).token(&good_claims());
    let [header, payload, signature] = split(&token);
    let other = format!("{header}.{payload}.{}", encode(&twin(&decode(&signature))));
    assert_ne!(other, token);
    let (first, second) = (
        verifier.verify_at(&token, NOW).unwrap(),
        verifier.verify_at(&other, NOW).unwrap(),
    );
    assert_eq!(first.claims(), second.claims());
    verifier.revocations().revoke(RevocableId::of(SESSION), NOW + 300);
    for text in [token, other] {
        assert_eq!(verifier.verify_at(&text, NOW).unwrap_err(), Rejection::Revoked);
    }
}

#[test]
fn a_feed_is_followed_and_what_has_expired_is_forgotten() {
    let feed = |as_of: u64, revoked: Value| -> RevocationFeed {
        serde_json::from_value(json!({"as_of": as_of, "revoked": revoked, "later": "more"})).unwrap()
    };
    let verifier = verifier();
    let token = any_signer().token(&good_claims());
    assert!(verifier.verify_at(&token, NOW).is_ok());
    let set = verifier.revocations();
    set.follow(&feed(
        NOW,
        json!([{"id": SESSION, "until": NOW + 300, "later": "more"}]),
    ));
    assert_eq!(verifier.verify_at(&token, NOW).unwrap_err(), Rejection::Revoked);
    // A feed that was cut short takes nothing back.
    set.follow(&feed(NOW + 299, json!([{"id": TOKEN, "until": NOW + 600}])));
    assert_eq!(set.len(), 2);
    set.follow(&feed(NOW + 300, json!([])));
    assert!(!set.is_revoked(RevocableId::of(SESSION)) && set.is_revoked(RevocableId::of(TOKEN)));
    // What the feed says and what it calls expired at once: expired.
    set.follow(&feed(NOW + 600, json!([{"id": SESSION, "until": NOW + 600}])));
    assert!(set.is_empty());
}

#[test]
fn what_is_no_feed_is_not_read() {
    for text in [
        "{}",
        "[]",
        r#"{"revoked": []}"#,
        r#"{"as_of": 1}"#,
        r#"{"as_of": -1, "revoked": []}"#,
        r#"{"as_of": 1, "revoked": [{"id": "x"}]}"#,
        r#"{"as_of": 1, "revoked": [{"id": 7, "until": 1}]}"#,
    ] {
        assert!(serde_json::from_str::<RevocationFeed>(text).is_err(), "{text}");
    }
}
