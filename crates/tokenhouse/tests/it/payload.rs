//! Access tokens that look as an application wants them to.

use serde_json::{Value, json};
use tokenhouse::testing::TestHouse;
use tokenhouse::{Algorithm, Builder, Claims, Secret};

use crate::on_both_engines;
use crate::support::api::{Answer, Api, Tokens};

fn posts(builder: Builder) -> Builder {
    builder
        .configure(|settings| {
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(Secret::from("a secret that other services share, of 32 bytes"));
        })
        .payload(|user, _| Claims {
            extra: [("user_id".to_owned(), json!(user.id))].into_iter().collect(),
            ..Claims::default()
        })
        .verifier(|verifier| verifier.without_issuer().without_audience().without_subject())
}

fn segment(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(segment.as_bytes()).unwrap()).unwrap()
}

on_both_engines! {
    async fn a_payload_of_two_claims_still_logs_in_and_out(place: &Place) {
        let api = Api::with(place, posts).await;
        let tokens = api.signup("ada@example.org").await;
        let payload = segment(&tokens.access, 1);
        assert_eq!(payload.as_object().unwrap().keys().collect::<Vec<_>>(), ["exp", "user_id"]);
        assert!(segment(&tokens.access, 0)["sid"].is_string());
        assert_eq!(api.me(&tokens.access).await.is(200).json()["id"], payload["user_id"]);
        api.post("/auth/logout", Some(&tokens.access), Value::Null).await.is(204);
        api.me(&tokens.access).await.problem(401, "token_revoked");
    }

    async fn a_name_that_passed_to_somebody_else_takes_no_token_with_it(place: &Place) {
        let api = Api::with(place, |builder| {
            builder
                .payload(|user, claims| Claims { sub: user.username.clone(), iat: claims.iat, ..Claims::default() })
                .verifier(|verifier| verifier.without_issuer().without_audience())
        })
        .await;
        let sign_up = async |email: &str, username: &str| -> Tokens {
            let body = json!({ "email": email, "username": username, "password": tokenhouse::testing::PASSWORD });
            let answer: Answer = api.post("/auth/signup", None, body).await.is(201);
            Tokens::of(&answer)
        };
        let first = sign_up("first@example.org", "ada").await;
        api.patch("/users/me", Some(&first.access), json!({ "username": "countess" })).await.is(200);
        sign_up("second@example.org", "ada").await;
        assert_eq!(api.me(&first.access).await.is(200).json()["email"], "first@example.org");
    }
}

#[tokio::test]
async fn a_token_of_no_session_is_refused_whatever_the_payload() {
    let test = TestHouse::with(posts).await;
    let key = b"a secret that other services share, of 32 bytes";
    let kid = test.house.keys()[0].kid.clone();
    let header = tokenhouse_verify::header_segment(Algorithm::Hs256, &kid, Some("at+jwt"));
    let payload = data_encoding::BASE64URL_NOPAD.encode(br#"{"user_id":"x","exp":4000000000}"#);
    let signed = format!("{header}.{payload}");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let signature =
        data_encoding::BASE64URL_NOPAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
    assert!(test.house.verify(&format!("{signed}.{signature}")).is_err());
}
