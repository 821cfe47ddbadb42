//! `jsonwebtoken`, written by other people, agrees in both directions.

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use tokenhouse_verify::{Algorithm, Claims};

use crate::support::{AUDIENCE, ISSUER, NOW, SECRET, Signer, claims_with, good_claims, signers, verifier};

/// jsonwebtoken asks the system's clock, so its tokens must be valid today and at `NOW`.
fn lasting_claims() -> Value {
    claims_with(json!({"iat": 1, "exp": 253_402_300_799_u64}))
}

fn their(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
    }
}

fn their_private_key(signer: &Signer) -> EncodingKey {
    match signer.algorithm {
        Algorithm::Hs256 => EncodingKey::from_secret(SECRET),
        Algorithm::Es256 => EncodingKey::from_ec_pem(signer.private_pem().as_bytes()).unwrap(),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(signer.private_pem().as_bytes()).unwrap(),
        Algorithm::Rs256 | Algorithm::Ps256 => {
            EncodingKey::from_rsa_pem(signer.private_pem().as_bytes()).unwrap()
        }
    }
}

fn their_public_key(signer: &Signer) -> DecodingKey {
    if signer.algorithm == Algorithm::Hs256 {
        return DecodingKey::from_secret(SECRET);
    }
    let jwk = serde_json::to_value(signer.jwk()).unwrap();
    DecodingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap()
}

fn their_rules(signer: &Signer) -> Validation {
    let mut rules = Validation::new(their(signer.algorithm));
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules
}

#[test]
fn tokens_made_by_jsonwebtoken_are_accepted() {
    for signer in signers() {
        let mut header = Header::new(their(signer.algorithm));
        header.typ = Some("at+jwt".into());
        header.kid = Some(signer.kid.clone());
        let token = encode(&header, &lasting_claims(), &their_private_key(signer)).unwrap();
        let verified = verifier().verify_at(&token, NOW).unwrap();
        assert_eq!(
            serde_json::to_value(verified.claims()).unwrap(),
            lasting_claims(),
            "{}",
            signer.algorithm
        );
    }
}

#[test]
fn tokens_accepted_here_are_accepted_by_jsonwebtoken() {
    for signer in signers() {
        let token = signer.token(&lasting_claims());
        assert!(verifier().verify_at(&token, NOW).is_ok());
        let theirs = decode::<Value>(&token, &their_public_key(signer), &their_rules(signer)).unwrap();
        assert_eq!(theirs.claims, lasting_claims(), "{}", signer.algorithm);
    }
}

#[test]
fn claims_written_here_are_read_by_jsonwebtoken() {
    for signer in signers() {
        let claims: Claims = serde_json::from_value(lasting_claims()).unwrap();
        let token = signer.token_of_text(
            &signer.header().to_string(),
            &serde_json::to_string(&claims).unwrap(),
        );
        let theirs = decode::<Claims>(&token, &their_public_key(signer), &their_rules(signer)).unwrap();
        assert_eq!(theirs.claims, claims);
    }
}

#[test]
fn both_refuse_another_keys_signature() {
    for signer in signers()
        .iter()
        .filter(|signer| signer.algorithm != Algorithm::Hs256)
    {
        let stranger = Signer::new(signer.algorithm, &signer.kid);
        let token = stranger.token(&good_claims());
        assert!(verifier().verify_at(&token, NOW).is_err());
        assert!(decode::<Value>(&token, &their_public_key(signer), &their_rules(signer)).is_err());
    }
}
