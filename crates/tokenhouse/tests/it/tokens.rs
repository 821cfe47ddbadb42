//! Access tokens: what is in them, and what is not taken for one.

use std::time::Duration;

use axum::body::Body;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use serde_json::{Value, json};
use tokenhouse::settings::{Period, Settings};
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Algorithm, RESERVED_CLAIMS};

use tokenhouse::kernel::keys::SigningKey;

use crate::keys::P256;
use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, claims, segment};

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

pub fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// A token that the house's own key signs, whatever it says.
pub fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = format!("{header}.{payload}");
    let signature = BASE64URL_NOPAD.encode(&key.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

pub fn with(value: &Value, name: &str, new: Value) -> Value {
    let mut changed = value.clone();
    changed[name] = new;
    changed
}

pub fn without(value: &Value, name: &str) -> Value {
    let mut changed = value.clone();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

#[track_caller]
fn refused(answer: &Answer, code: &str) {
    answer.problem(401, code);
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Bearer realm=\"tokenhouse\", error=\"invalid_token\""),
        "{answer:?}"
    );
}

async fn with_headers(api: &Api, values: &[&str]) -> Answer {
    let mut request = Request::get("/users/me");
    for value in values {
        request = request.header("authorization", *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

on_both_engines! {
    async fn no_token_is_minted_that_no_verifier_reads(place: &Place) {
        let api = Api::with(place, |builder| builder.claims(|user| user.profile.clone())).await;
        let text = "x".repeat(9000);
        let ada = json!({ "email": "ada@example.org", "password": PASSWORD, "profile": { "text": text } });
        api.post("/auth/signup", None, ada).await.problem(500, "internal");
        assert!(api.house().user_by_name("ada@example.org").await.unwrap().is_none());
    }

    async fn a_token_says_what_rfc_9068_asks_for_in_whole_seconds(place: &Place) {
        let api = configured(place, |settings| settings.tokens.scope = "read".to_owned()).await;
        api.test.advance(Duration::from_micros(999_999));
        let answer = api.post("/auth/signup", None, json!({ "email": "ada@example.org", "password": PASSWORD })).await.is(201);
        let token = Tokens::of(&answer).access;
        let header = segment(&token, 0);
        assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": header["kid"] }));
        let said = claims(&token);
        assert_eq!(
            said,
            json!({
                "iss": "http://localhost:8080", "aud": "http://localhost:8080", "sub": answer.json()["user"]["id"],
                "iat": 1_767_225_600, "exp": 1_767_226_500, "jti": said["jti"], "sid": said["sid"], "scope": "read"
            })
        );
        assert_eq!(said["iat"].as_u64().unwrap() + answer.json()["expires_in"].as_u64().unwrap(), said["exp"].as_u64().unwrap());
        let again = Tokens::of(&api.refresh(&Tokens::of(&answer).refresh).await.is(200)).access;
        assert_eq!(claims(&again)["sid"], said["sid"]);
        assert_ne!(claims(&again)["jti"], said["jti"]);
    }

    async fn issuer_audience_lifetime_and_claims_are_the_settings(place: &Place) {
        let api = configured(place, |settings| {
            settings.public_url = "https://id.example.org/auth/".to_owned();
            settings.tokens.audience = Some("https://api.example.org".to_owned());
            settings.tokens.access_lifetime = Period::seconds(60);
            settings.tokens.claims.insert("tenant".to_owned(), json!({ "id": 7 }));
        })
        .await;
        let token = api.signup("ada@example.org").await.access;
        let said = claims(&token);
        assert_eq!((&said["iss"], &said["aud"], &said["tenant"]), (&json!("https://id.example.org/auth"), &json!("https://api.example.org"), &json!({ "id": 7 })));
        assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 60);
        api.me(&token).await.is(200);
    }

    async fn no_hook_writes_a_claim_that_the_house_writes(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.claims(|user| {
                let mut all: serde_json::Map<_, _> = RESERVED_CLAIMS.iter().map(|name| ((*name).to_owned(), json!("forged"))).collect();
                all.insert("email".to_owned(), json!(user.email));
                all.insert("roles".to_owned(), json!(["of the application"]));
                all
            })
        })
        .await;
        let tokens = api.signup("ada@example.org").await;
        let said = claims(&tokens.access);
        assert!(!said.to_string().contains("forged"), "{said}");
        assert_eq!(said["email"], "ada@example.org");
        api.me(&tokens.access).await.is(200);
        // What the house knows of the roles goes before what the application says.
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_rights(ada.id, false, &["editor".to_owned()]).await.unwrap();
        let refreshed = Tokens::of(&api.refresh(&tokens.refresh).await.is(200));
        assert_eq!(claims(&refreshed.access)["roles"], json!(["editor"]));
        for name in RESERVED_CLAIMS {
            let built = tokenhouse::Tokenhouse::builder()
                .database(place.url())
                .configure(|settings| { settings.tokens.claims.insert((*name).to_owned(), json!(1)); })
                .build()
                .await;
            assert!(built.unwrap_err().to_string().contains("reserved"), "{name}");
        }
    }

    async fn no_forged_token_is_taken(place: &Place) {
        let api = Api::on(place).await;
        let imported = api.house().import_key(P256).await.unwrap();
        let key = SigningKey::from_pem(P256, Algorithm::Es256).unwrap();
        let token = api.signup("ada@example.org").await.access;
        let (header, payload) = (segment(&token, 0), segment(&token, 1));
        assert_eq!(header["kid"], json!(imported));
        let make = |header: &Value, payload: &Value| signed(&key, &encode(header), &encode(payload));
        api.me(&make(&header, &payload)).await.is(200);

        let mut forged = vec![
            ("no signature", format!("{}.{}.", encode(&header), encode(&payload))),
            ("none", format!("{}.{}.", encode(&with(&header, "alg", json!("none"))), encode(&payload))),
            ("none, signed", make(&with(&header, "alg", json!("none")), &payload)),
            ("None", make(&with(&header, "alg", json!("nOnE")), &payload)),
            ("another algorithm", make(&with(&header, "alg", json!("EdDSA")), &payload)),
            ("no algorithm", make(&without(&header, "alg"), &payload)),
            ("an unknown key", make(&with(&header, "kid", json!("unknown")), &payload)),
            ("a key as a path", make(&with(&header, "kid", json!("../../dev/null")), &payload)),
            ("a key as SQL", make(&with(&header, "kid", json!("' OR 1=1 --")), &payload)),
            ("no key", make(&without(&header, "kid"), &payload)),
            ("another type", make(&with(&header, "typ", json!("JWT")), &payload)),
            ("no type", make(&without(&header, "typ"), &payload)),
            ("a logout token", make(&with(&header, "typ", json!("logout+jwt")), &payload)),
            ("crit", make(&with(&header, "crit", json!(["exp"])), &payload)),
            ("a key of its own", make(&with(&header, "jwk", json!({ "kty": "EC" })), &payload)),
            ("a key elsewhere", make(&with(&header, "jku", json!("http://127.0.0.1/keys")), &payload)),
            ("another issuer", make(&header, &with(&payload, "iss", json!("http://localhost:8080/")))),
            ("no issuer", make(&header, &without(&payload, "iss"))),
            ("another audience", make(&header, &with(&payload, "aud", json!("other")))),
            ("no audience", make(&header, &without(&payload, "aud"))),
            ("no end", make(&header, &without(&payload, "exp"))),
            ("an end that is text", make(&header, &with(&payload, "exp", json!("1900000000")))),
            ("an end that is null", make(&header, &with(&payload, "exp", Value::Null))),
            ("not yet", make(&header, &with(&payload, "nbf", json!(1_767_300_000)))),
            ("issued later", make(&header, &with(&payload, "iat", json!(1_767_300_000)))),
            ("no subject", make(&header, &without(&payload, "sub"))),
            ("an empty subject", make(&header, &with(&payload, "sub", json!("")))),
            ("a subject that is no user", make(&header, &with(&payload, "sub", json!("admin")))),
            ("a subject in another spelling", make(&header, &with(&payload, "sub", json!(payload["sub"].as_str().unwrap().replace('-', ""))))),
            ("a user who is not there", make(&header, &with(&payload, "sub", json!("00000000-0000-7000-8000-000000000000")))),
            ("a payload that is no object", make(&header, &json!([1]))),
            ("a repeated claim", signed(&key, &encode(&header), &BASE64URL_NOPAD.encode(format!("{{\"sub\":\"x\",{}", &payload.to_string()[1..]).as_bytes()))),
            ("five segments", format!("{token}.x.y")),
            ("two segments", token.rsplit_once('.').unwrap().0.to_owned()),
            ("padding", format!("{token}=")),
            ("a space within", token.replacen('.', ". ", 1)),
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("its own text twice", format!("{token},{token}")),
        ];
        // HS256 with the public key as the secret.
        let public = api.get("/.well-known/jwks.json", None).await.json()["keys"][0].to_string();
        for secret in [public.as_bytes(), include_bytes!("keys_made_for_tests/p256-public.pem")] {
            let input = format!("{}.{}", encode(&with(&header, "alg", json!("HS256"))), encode(&payload));
            let mac = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret), input.as_bytes());
            forged.push(("the public key as a secret", format!("{input}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))));
        }
        for position in [token.find('.').unwrap() - 3, token.find('.').unwrap() + 9, token.len() - 20] {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            forged.push(("a changed character", String::from_utf8(bytes).unwrap()));
        }
        for (what, token) in forged {
            let answer = api.me(&token).await;
            assert_eq!(answer.status, 401, "{what}");
            refused(&answer, "token_invalid");
            // Once more, since good tokens are remembered.
            refused(&api.me(&token).await, "token_invalid");
        }
        api.me(&token).await.is(200);
    }

    async fn a_session_is_known_by_its_name_only_where_it_has_one(place: &Place) {
        let api = Api::on(place).await;
        api.house().import_key(P256).await.unwrap();
        let key = SigningKey::from_pem(P256, Algorithm::Es256).unwrap();
        let token = api.signup("ada@example.org").await.access;
        let (header, payload) = (segment(&token, 0), segment(&token, 1));
        let bare = signed(&key, &encode(&header), &encode(&without(&payload, "sid")));
        refused(&api.logout(&bare).await, "token_invalid");
        refused(&api.get("/users/me/sessions", Some(&bare)).await, "token_invalid");
    }

    async fn an_expired_token_is_called_so(place: &Place) {
        let api = Api::on(place).await;
        let token = api.signup("ada@example.org").await.access;
        api.me(&token).await.is(200);
        // To the last second, and the leeway behind it.
        api.test.advance(Duration::from_secs(904));
        api.me(&token).await.is(200);
        api.test.advance(Duration::from_secs(1));
        refused(&api.me(&token).await, "token_expired");
        api.test.advance(Duration::from_secs(10 * 365 * 86_400));
        refused(&api.me(&token).await, "token_expired");
        // A clock before it was issued: it is not valid yet, remembered or not.
        api.test.set_back(Duration::from_secs(10 * 365 * 86_400 + 905 + 3600));
        refused(&api.me(&token).await, "token_invalid");
    }

    async fn a_token_comes_in_one_header_and_nowhere_else(place: &Place) {
        let api = Api::on(place).await;
        let token = api.signup("ada@example.org").await.access;
        let bearer = format!("Bearer {token}");
        with_headers(&api, &[&bearer]).await.is(200);
        with_headers(&api, &[&format!("bEARER  {token}")]).await.is(200);
        for values in [
            vec![bearer.as_str(), bearer.as_str()],
            vec![bearer.as_str(), "Basic YTpi"],
            vec!["Basic YTpi", bearer.as_str()],
            vec!["Bearer"],
            vec!["Bearer "],
        ] {
            refused(&with_headers(&api, &values).await, "token_invalid");
        }
        for value in [format!("Bearer {token} {token}"), format!("Bearer {token}, Basic x")] {
            refused(&with_headers(&api, &[&value]).await, "token_invalid");
        }
        // Another scheme is told which one would do, and nothing of an error (RFC 6750 §3.1).
        for value in [format!("Token {token}"), format!("JWT {token}"), format!("DPoP {token}"), "Basic YTpi".to_owned(), token.clone(), format!("Bearer{token}"), String::new(), format!("Bearer\t{token}"), format!("Basic x, {bearer}")] {
            let answer = with_headers(&api, &[&value]).await;
            answer.problem(401, "token_missing");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"tokenhouse\"");
        }
        for path in [format!("/users/me?access_token={token}"), format!("/users/me?token={token}")] {
            let answer = api.get(&path, None).await;
            answer.problem(401, "token_missing");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"tokenhouse\"");
        }
        let request = Request::get("/users/me").header("cookie", format!("access_token={token}; token={token}")).header("x-access-token", &token);
        api.send(request.body(Body::empty()).unwrap()).await.problem(401, "token_missing");
        api.form("/auth/logout/all", &format!("access_token={token}")).await.problem(401, "token_missing");
        api.me(&token).await.is(200);
    }

    async fn the_clock_may_be_anywhere(place: &Place) {
        let api = Api::on(place).await;
        let year = Duration::from_secs(365 * 86_400);
        let mut tokens = api.signup("ada@example.org").await;
        for (forward, by) in [(false, Duration::from_secs(3600)), (true, Duration::from_secs(7200)), (true, 10 * year), (false, 30 * year), (false, 60 * year), (true, 2000 * year), (false, 1920 * year)] {
            if forward { api.test.advance(by) } else { api.test.set_back(by) }
            let refreshed = api.refresh(&tokens.refresh).await;
            // A session of a time far ahead is not touched: today's clock may be the one that is wrong.
            if forward || refreshed.status != 503 {
                assert!(refreshed.status.as_u16() < 500, "{refreshed:?}");
            } else {
                refreshed.problem(503, "unavailable");
            }
            api.house().tend().await.unwrap();
            api.test.follow().await;
            let answer = api.guess("ada@example.org", PASSWORD).await.is(200);
            tokens = Tokens::of(&answer);
            let said = claims(&tokens.access);
            assert!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap() <= 900, "{said}");
            assert!(api.me(&tokens.access).await.status.as_u16() < 500);
            api.get("/health/ready", None).await.is(200);
        }
    }
}
