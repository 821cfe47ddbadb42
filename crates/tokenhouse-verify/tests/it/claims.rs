//! RFC 7519 §4: claims are read strictly, and written so that they read back.

use serde_json::{Value, json};
use tokenhouse_verify::{Claims, Rejection};

use crate::support::*;

fn refuse_payload(text: &str) -> Vec<Rejection> {
    let judge = |signer: &Signer| {
        let token = signer.token_of_text(&signer.header().to_string(), text);
        verifier().verify_at(&token, NOW).unwrap_err()
    };
    signers().iter().map(judge).collect()
}

fn with_member(member: &str) -> String {
    let rest = good_claims().to_string();
    format!("{{{member},{}", &rest[1..])
}

#[test]
fn a_time_of_the_wrong_type_is_refused_and_never_taken_for_absent() {
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("1800000300"),
            json!("2030-01-01T00:00:00Z"),
            json!(true),
            json!([NOW + 300]),
            json!({"seconds": NOW + 300}),
            json!(""),
        ] {
            assert!(
                matches!(judge(json!({name: value})), Err(Rejection::Claims(_))),
                "{name}: {value}"
            );
        }
        let text = claims_with(json!({name: "hole"}))
            .to_string()
            .replace("\"hole\"", "null");
        for refusal in refuse_payload(&text) {
            assert!(matches!(refusal, Rejection::Claims(_)), "{name}: null");
        }
    }
}

#[test]
fn exp_as_a_string_is_refused() {
    let text = claims_with(json!({"exp": "4102444800"})).to_string();
    assert!(
        refuse_payload(&text)
            .iter()
            .all(|refusal| matches!(refusal, Rejection::Claims(_)))
    );
}

#[test]
fn a_negative_or_endless_time_is_refused() {
    for name in ["exp", "nbf", "iat"] {
        for number in [
            "-1",
            "-1.5",
            "-9223372036854775808",
            "253402300800",
            "1800000000000",
            "18446744073709551615",
            "1e300",
        ] {
            let text = claims_with(json!({name: "hole"}))
                .to_string()
                .replace("\"hole\"", number);
            for refusal in refuse_payload(&text) {
                assert!(matches!(refusal, Rejection::Claims(_)), "{name}: {number}");
            }
        }
    }
}

#[test]
fn a_number_that_is_no_json_is_refused() {
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "0x6b49d200",
        "1_800_000_300",
        "01800000300",
        "+1800000300",
    ] {
        let text = claims_with(json!({"exp": "hole"}))
            .to_string()
            .replace("\"hole\"", number);
        for refusal in refuse_payload(&text) {
            assert!(matches!(refusal, Rejection::Malformed(_)), "{number}");
        }
    }
}

#[test]
fn a_text_claim_of_the_wrong_type_is_refused() {
    for name in ["iss", "sub", "jti", "sid", "client_id", "scope"] {
        for value in ["1", "null", "true", "[\"a\"]", "{\"a\":\"b\"}"] {
            let text = claims_with(json!({name: "hole"}))
                .to_string()
                .replace("\"hole\"", value);
            for refusal in refuse_payload(&text) {
                assert!(matches!(refusal, Rejection::Claims(_)), "{name}: {value}");
            }
        }
    }
}

#[test]
fn an_audience_that_is_neither_text_nor_a_list_of_texts_is_refused() {
    for aud in [
        json!(1),
        json!(true),
        json!({}),
        json!([]),
        json!([AUDIENCE, 1]),
        json!([[AUDIENCE]]),
        json!([null]),
    ] {
        assert!(
            matches!(judge(json!({"aud": aud})), Err(Rejection::Claims(_))),
            "{aud}"
        );
    }
}

#[test]
fn a_repeated_claim_is_refused_whatever_its_name_or_spelling() {
    for member in [
        r#""exp":4102444800"#,
        r#""\u0065xp":4102444800"#,
        r#""sub":"somebody else""#,
        r#""iss":"https://id.example.com""#,
        r#""aud":"https://api.example.com""#,
        r#""iat":1"#,
        r#""jti":"x""#,
        r#""sid":"x""#,
        r#""client_id":"x""#,
        r#""scope":"admin""#,
        r#""role":"user""#,
        r#""r\u006fle":"user""#,
        r#""nbf":1,"nbf":1"#,
        r#""new":1,"new":1"#,
    ] {
        for refusal in refuse_payload(&with_member(member)) {
            assert!(matches!(refusal, Rejection::Claims(_)), "{member}: {refusal:?}");
        }
    }
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    for text in ["null", "[]", "\"claims\"", "1", "true"] {
        for refusal in refuse_payload(text) {
            assert!(matches!(refusal, Rejection::Claims(_)), "{text}");
        }
    }
    for text in [
        "",
        "{",
        "{}{}",
        "{\"exp\":1}x",
        "\u{feff}{}",
        "not json",
        "{\"exp\":1,}",
        "{'exp':1}",
    ] {
        for refusal in refuse_payload(text) {
            assert!(matches!(refusal, Rejection::Malformed(_)), "{text}");
        }
    }
}

#[test]
fn a_payload_that_is_not_utf_8_is_refused() {
    let mut bytes = good_claims().to_string().into_bytes();
    let position = bytes.windows(6).position(|window| window == b"user-1").unwrap();
    bytes[position] = 0xff;
    for signer in signers() {
        let token =
            signer.token_of_segments(&encode(signer.header().to_string().as_bytes()), &encode(&bytes));
        assert!(matches!(
            verifier().verify_at(&token, NOW).unwrap_err(),
            Rejection::Malformed(_)
        ));
    }
}

#[test]
fn a_lone_surrogate_is_refused() {
    let text = good_claims().to_string().replace("user-1", r"\ud800");
    assert!(
        refuse_payload(&text)
            .iter()
            .all(|refusal| matches!(refusal, Rejection::Malformed(_)))
    );
}

#[test]
fn json_of_great_depth_is_refused_without_exhausting_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 900;
        let member = format!(r#""deep":{}1{}"#, open.repeat(depth), close.repeat(depth));
        for refusal in refuse_payload(&with_member(&member)) {
            assert!(matches!(refusal, Rejection::Malformed(_)), "{open}");
        }
        let shallow = format!(r#""deep":{}1{}"#, open.repeat(20), close.repeat(20));
        let token = any_signer().token_of_text(&any_signer().header().to_string(), &with_member(&shallow));
        assert!(verifier().verify_at(&token, NOW).is_ok());
    }
}

#[test]
fn scopes_are_compared_whole() {
    let claims = Claims {
        scope: Some("read:me  write".into()),
        ..Claims::default()
    };
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["read:me", "write"]);
    assert!(claims.has_scope("write") && claims.has_scope("read:me"));
    for absent in ["read", "me", "", " ", "read:me  write", "WRITE"] {
        assert!(!claims.has_scope(absent), "{absent}");
    }
    assert_eq!(Claims::default().scopes().count(), 0);
}

#[test]
fn a_custom_claim_is_absent_or_typed_or_an_error() {
    let token = judge(json!({"level": 3, "tags": ["a", "b"]})).unwrap();
    let claims = token.claims();
    assert_eq!(claims.get::<u8>("level").unwrap(), Some(3));
    assert_eq!(
        claims.get::<Vec<String>>("tags").unwrap(),
        Some(vec!["a".into(), "b".into()])
    );
    assert_eq!(claims.get::<u8>("nothing").unwrap(), None);
    assert!(claims.get::<u8>("tags").is_err());
}

#[test]
fn absent_claims_are_not_written_and_a_single_audience_is_a_text() {
    let claims = Claims {
        exp: 7,
        ..Claims::default()
    };
    assert_eq!(serde_json::to_string(&claims).unwrap(), r#"{"exp":7}"#);
    let claims = Claims {
        exp: 7,
        aud: "a".into(),
        ..Claims::default()
    };
    assert_eq!(serde_json::to_string(&claims).unwrap(), r#"{"aud":"a","exp":7}"#);
    let claims = Claims {
        exp: 7,
        aud: ["a", "b"].into_iter().collect(),
        ..Claims::default()
    };
    assert_eq!(
        serde_json::to_string(&claims).unwrap(),
        r#"{"aud":["a","b"],"exp":7}"#
    );
}

#[test]
fn what_the_issuer_writes_is_what_the_verifier_reads() {
    let claims: Claims = serde_json::from_value(good_claims()).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), good_claims());
    let token = judge(json!({})).unwrap();
    assert_eq!(token.claims(), &claims);
}

#[test]
fn a_custom_claim_cannot_write_a_registered_name_a_second_time() {
    for name in [
        "exp",
        "sub",
        "iss",
        "aud",
        "scope",
        "nbf",
        "sid",
        "jti",
        "iat",
        "client_id",
    ] {
        let mut claims = Claims {
            exp: 7,
            ..Claims::default()
        };
        claims.extra.insert(name.into(), Value::from(9));
        assert!(serde_json::to_string(&claims).is_err(), "{name}");
    }
}

#[test]
fn claims_without_exp_are_not_claims() {
    assert!(serde_json::from_value::<Claims>(json!({"sub": "a"})).is_err());
}
