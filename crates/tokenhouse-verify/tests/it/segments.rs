//! RFC 7515: the compact form and its strict base64url.

use serde_json::json;
use tokenhouse_verify::{MAX_HEADER_LENGTH, MAX_TOKEN_LENGTH, Rejection, header_segment};

use crate::support::*;

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn refuse(token: &str) -> Rejection {
    verifier().verify_at(token, NOW).unwrap_err()
}

#[test]
fn an_honest_token_of_every_algorithm_is_accepted() {
    for signer in signers() {
        let token = verifier().verify_at(&signer.token(&good_claims()), NOW).unwrap();
        assert_eq!(token.claims().sub.as_deref(), Some("user-1"));
        assert_eq!(
            (token.kid(), token.algorithm()),
            (signer.kid.as_str(), signer.algorithm)
        );
        assert_eq!(token.token_type(), Some("at+jwt"));
    }
}

#[test]
fn the_canonical_header_and_any_other_order_of_members_mean_the_same() {
    for signer in signers() {
        let payload = encode(good_claims().to_string().as_bytes());
        let canonical = header_segment(signer.algorithm, &signer.kid, Some("at+jwt"));
        let other = encode(
            format!(
                r#"{{ "kid":"{}","typ":"AT+jwt","alg":"{}"}}"#,
                signer.kid, signer.algorithm
            )
            .as_bytes(),
        );
        for header in [canonical, other] {
            let token = verifier()
                .verify_at(&signer.token_of_segments(&header, &payload), NOW)
                .unwrap();
            assert_eq!(
                (token.token_type(), token.kid()),
                (Some("at+jwt"), signer.kid.as_str())
            );
        }
    }
}

#[test]
fn anything_but_three_segments_is_refused() {
    let [header, payload, signature] = split(&any_signer().token(&good_claims()));
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.clone(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}..{payload}.{signature}"),
    ] {
        assert!(matches!(refuse(&text), Rejection::Malformed(_)), "{text}");
    }
}

#[test]
fn an_encrypted_token_is_refused_even_around_a_good_one() {
    let inner = any_signer().token(&good_claims());
    let header = encode(
        json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"})
            .to_string()
            .as_bytes(),
    );
    let token = format!("{header}.AAAA.AAAA.{}.AAAA", encode(inner.as_bytes()));
    assert!(matches!(refuse(&token), Rejection::Malformed(_)));
}

#[test]
fn the_json_serialisation_is_refused() {
    let [protected, payload, signature] = split(&any_signer().token(&good_claims()));
    let flattened = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
    assert!(matches!(refuse(&flattened), Rejection::Malformed(_)));
}

#[test]
fn an_empty_or_shortened_or_lengthened_signature_is_refused() {
    for signer in signers() {
        let [header, payload, signature] = split(&signer.token(&good_claims()));
        assert_eq!(refuse(&format!("{header}.{payload}.")), Rejection::Signature);
        let bytes = decode(&signature);
        let one_less = encode(&bytes[..bytes.len() - 1]);
        let one_more = encode(&[bytes.as_slice(), &[0]].concat());
        let one_before = encode(&[&[0], bytes.as_slice()].concat());
        let too_long = encode(&[0; 2000]);
        for other in [one_less, one_more, one_before, too_long] {
            assert_eq!(
                refuse(&format!("{header}.{payload}.{other}")),
                Rejection::Signature
            );
        }
    }
}

#[test]
fn padding_whitespace_and_the_standard_alphabet_are_refused_in_every_segment() {
    let token = any_signer().token(&good_claims());
    for position in 0..3 {
        for spoil in [
            |segment: &str| format!("{segment}="),
            |segment: &str| format!("{segment}=="),
            |segment: &str| format!("{segment}\n"),
            |segment: &str| format!(" {segment}"),
            |segment: &str| format!("{}\r\n{}", &segment[..4], &segment[4..]),
            |segment: &str| format!("+{}", &segment[1..]),
            |segment: &str| format!("/{}", &segment[1..]),
            |segment: &str| format!("{}\u{e9}", &segment[2..]),
            |segment: &str| format!("{}\0", &segment[1..]),
        ] {
            let mut segments = split(&token);
            segments[position] = spoil(&segments[position]);
            let refused = refuse(&segments.join("."));
            assert!(
                matches!(refused, Rejection::Malformed(_) | Rejection::Signature),
                "segment {position}: {refused}"
            );
        }
    }
}

#[test]
fn an_authorization_header_with_its_scheme_is_not_a_token() {
    let token = any_signer().token(&good_claims());
    assert!(matches!(
        refuse(&format!("Bearer {token}")),
        Rejection::Malformed(_)
    ));
    assert!(matches!(
        refuse(&format!("{token} ")),
        Rejection::Malformed(_) | Rejection::Signature
    ));
}

/// The bits of the last character that hold no data, set: the same bytes to a lenient reader.
fn with_trailing_bits(segment: &str) -> Option<String> {
    let free_bits = match segment.len() % 4 {
        2 => 4,
        3 => 2,
        _ => return None,
    };
    let last = *segment.as_bytes().last()?;
    let value = BASE64URL.iter().position(|letter| *letter == last)?;
    let other = BASE64URL[value | ((1 << free_bits) - 1)];
    Some(format!("{}{}", &segment[..segment.len() - 1], char::from(other)))
}

#[test]
fn a_signature_with_other_trailing_bits_is_refused() {
    let mut tried = 0;
    for signer in signers() {
        let [header, payload, signature] = split(&signer.token(&good_claims()));
        if let Some(respelled) = with_trailing_bits(&signature) {
            assert_ne!(respelled, signature);
            assert!(matches!(
                refuse(&format!("{header}.{payload}.{respelled}")),
                Rejection::Malformed(_)
            ));
            tried += 1;
        }
    }
    assert_eq!(tried, 5, "64, 32 and 256 bytes all leave free bits");
}

#[test]
fn a_signed_header_or_payload_with_trailing_bits_is_refused() {
    let payload = good_claims();
    // One of three lengths in a row leaves no free bits; all are tried, and two must have been refused.
    let mut tried = 0;
    for spaces in 0..3 {
        let padded = |value: &serde_json::Value| encode(format!("{value}{}", " ".repeat(spaces)).as_bytes());
        let (header, payload) = (padded(&any_signer().header()), padded(&payload));
        if let Some(header) = with_trailing_bits(&header) {
            assert!(matches!(
                refuse(&any_signer().token_of_segments(&header, &payload)),
                Rejection::Malformed(_)
            ));
            tried += 1;
        }
        if let Some(payload) = with_trailing_bits(&payload) {
            assert!(matches!(
                refuse(&any_signer().token_of_segments(&header, &payload)),
                Rejection::Malformed(_)
            ));
            tried += 1;
        }
    }
    assert_eq!(tried, 4);
}

#[test]
fn a_token_over_the_size_limit_is_refused_unread() {
    let filled = |length: usize| any_signer().token(&claims_with(json!({"filler": "x".repeat(length)})));
    let fits = (0..)
        .map(|length| filled(5000 + length))
        .take_while(|token| token.len() <= MAX_TOKEN_LENGTH);
    let longest = fits.last().unwrap();
    assert!(longest.len() > MAX_TOKEN_LENGTH - 4);
    assert!(verifier().verify_at(&longest, NOW).is_ok());
    assert_eq!(refuse(&filled(6500)), Rejection::TooLarge);
    assert_eq!(refuse(&"a".repeat(MAX_TOKEN_LENGTH + 1)), Rejection::TooLarge);
}

#[test]
fn a_header_over_the_size_limit_is_refused() {
    let mut header = any_signer().header();
    header["filler"] = "x".repeat(600).into();
    assert!(
        verifier()
            .verify_at(&any_signer().token_with(&header, &good_claims()), NOW)
            .is_ok()
    );
    header["filler"] = "x".repeat(MAX_HEADER_LENGTH).into();
    assert_eq!(
        refuse(&any_signer().token_with(&header, &good_claims())),
        Rejection::TooLarge
    );
}
