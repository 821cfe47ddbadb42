//! The examples that the RFCs print.

use serde_json::json;
use tokenhouse_verify::{Jwk, KeySet, Rejection, Verifier, VerifyingKey};

use crate::support::{decode, encode, split};

const JOES_END: u64 = 1_300_819_380;
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verifier(key: VerifyingKey) -> Verifier {
    Verifier::builder()
        .keys(KeySet::new([key]).unwrap().allow_missing_kid())
        .issuer("joe")
        .without_audience()
        .without_subject()
        .token_type("JWT")
        .absent_token_type()
        .leeway(std::time::Duration::ZERO)
        .build()
        .unwrap()
}

fn published(jwk: serde_json::Value) -> VerifyingKey {
    VerifyingKey::from_jwk(&serde_json::from_value::<Jwk>(jwk).unwrap()).unwrap()
}

fn rfc_7515_a1() -> (VerifyingKey, String) {
    let secret =
        decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let token =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    (VerifyingKey::hs256("a1", &secret).unwrap(), token)
}

fn rfc_7515_a2() -> (VerifyingKey, String) {
    let n = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2",
        "lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTB",
        "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kz",
        "k2PAcDTW9gb54h4FRWyuXpoQ",
    );
    let signature = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9",
        "CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL",
        "n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtV",
        "rBp0igcN_IoypGlUPQGe77Rw",
    );
    let key = published(json!({"kty": "RSA", "kid": "a2", "alg": "RS256", "n": n, "e": "AQAB"}));
    (key, format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}"))
}

fn rfc_7515_a3() -> (VerifyingKey, String) {
    let key = published(json!({
        "kty": "EC", "kid": "a3", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }));
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    (key, format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{signature}"))
}

#[test]
fn the_examples_of_rfc_7515_are_accepted_until_they_expire() {
    for (key, token) in [rfc_7515_a1(), rfc_7515_a2(), rfc_7515_a3()] {
        let verified = verifier(key.clone()).verify_at(&token, JOES_END - 1).unwrap();
        assert_eq!(verified.claims().iss.as_deref(), Some("joe"));
        assert_eq!(
            verified
                .claims()
                .get::<bool>("http://example.com/is_root")
                .unwrap(),
            Some(true)
        );
        assert_eq!(
            verifier(key).verify_at(&token, JOES_END).unwrap_err(),
            Rejection::Expired
        );
    }
}

#[test]
fn the_examples_of_rfc_7515_with_one_bit_changed_are_refused() {
    for (key, token) in [rfc_7515_a1(), rfc_7515_a2(), rfc_7515_a3()] {
        let [header, payload, signature] = split(&token);
        for position in [0, 15, 31] {
            let mut bytes = decode(&signature);
            bytes[position] ^= 1;
            let forged = format!("{header}.{payload}.{}", encode(&bytes));
            assert_eq!(
                verifier(key.clone())
                    .verify_at(&forged, JOES_END - 1)
                    .unwrap_err(),
                Rejection::Signature
            );
        }
    }
}

#[test]
fn the_unsecured_token_of_rfc_7519_is_refused() {
    for (key, _) in [rfc_7515_a1(), rfc_7515_a2(), rfc_7515_a3()] {
        let token = format!("eyJhbGciOiJub25lIn0.{JOE}.");
        assert_eq!(
            verifier(key).verify_at(&token, JOES_END - 1).unwrap_err(),
            Rejection::AlgorithmMismatch
        );
    }
}

#[test]
fn the_example_of_rfc_8037_has_a_good_signature_but_is_no_token() {
    let key = published(json!({
        "kty": "OKP", "kid": "8037", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }));
    let [header, payload, signature] = split(concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ));
    // The payload is read only behind a good signature, so complaining of it proves the signature.
    let refused = verifier(key.clone())
        .verify_at(&format!("{header}.{payload}.{signature}"), 0)
        .unwrap_err();
    assert_eq!(refused, Rejection::Malformed("the payload is not JSON"));
    let mut bytes = decode(&signature);
    bytes[40] ^= 1;
    let refused = verifier(key)
        .verify_at(&format!("{header}.{payload}.{}", encode(&bytes)), 0)
        .unwrap_err();
    assert_eq!(refused, Rejection::Signature);
}
