//! Lines of the standards, and flaws that others shipped, that no other file is about. docs/security/standards.md
//! says which test shows which line.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use serde_json::{Value, json};
use tokenhouse::base::store::query;
use tokenhouse::kernel::keys::SigningKey;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Algorithm, Secret};
use tokenhouse_verify::{Jwks, KeySet, Verifier};

use crate::keys::P256;
use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, claims, faults, segment};
use crate::support::doors::{Door, Slot};
use crate::tokens::{encode, signed};

const BARE: &str = "Bearer realm=\"tokenhouse\"";

async fn restarted(api: Api, place: &Place) -> Api {
    api.house().close().await;
    // Its clock begins where that of the last one began: it is the same second again.
    Api::on(place).await
}

async fn next(api: &Api, refresh: &str) -> Tokens {
    Tokens::of(&api.refresh(refresh).await.is(200))
}

/// Ada, whose tokens are signed by a key that the test holds.
async fn with_our_key(place: &Place) -> (Api, Tokens, SigningKey) {
    let api = Api::on(place).await;
    api.house().import_key(P256).await.unwrap();
    let ada = api.signup("ada@example.org").await;
    (api, ada, SigningKey::from_pem(P256, Algorithm::Es256).unwrap())
}

/// `text`, the object of a header or a payload, with `member` written in front of the others.
fn prefixed(member: &str, object: &Value) -> String {
    format!("{{{member},{}", &object.to_string()[1..])
}

#[track_caller]
fn refused(answer: &Answer, code: &str, what: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (401, Some(code)),
        "{what}"
    );
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

async fn signed_up_with(api: &Api, email: &str, password: &str) -> Answer {
    api.post(
        "/auth/signup",
        None,
        json!({ "email": email, "password": password }),
    )
    .await
}

on_both_engines! {
    /// RFC 6750 §3.1: no `error` for a request that lacks any information of this scheme.
    async fn a_scheme_that_is_not_ours_gets_the_bare_challenge(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        for door in Door::of_access_tokens() {
            for scheme in ["Basic", "basic", "Token", "JWT", "DPoP", "Digest", "Negotiate", "ApiKey", "Bearerer"] {
                let value = format!("{scheme} {}", ada.access);
                let answer = api.send(door.request_with(&[value.as_bytes()], &ada)).await;
                let what = format!("{scheme} at {}", door.name());
                refused(&answer, "token_missing", &what);
                assert_eq!(answer.header("www-authenticate"), BARE, "{what}");
            }
        }
        api.me(&ada.access).await.is(200);
    }

    /// RFC 6750 §2: one method of sending the token in each request.
    async fn only_one_authorization_header_is_taken(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let good = format!("Bearer {}", ada.access);
        let others = [good.as_str(), "Bearer nonsense", "Basic YTpi", "Bearer", ""];
        for door in Door::of_access_tokens() {
            for other in others {
                for pair in [[good.as_bytes(), other.as_bytes()], [other.as_bytes(), good.as_bytes()]] {
                    let answer = api.send(door.request_with(&pair, &ada)).await;
                    refused(&answer, "token_invalid", &format!("beside {other:?} at {}", door.name()));
                    assert!(answer.header("www-authenticate").starts_with("Bearer "));
                }
            }
        }
        api.me(&ada.access).await.is(200);
        api.refresh(&ada.refresh).await.is(200);
    }

    async fn a_token_in_the_query_or_a_cookie_opens_no_door(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        for door in Door::of_access_tokens() {
            for name in ["access_token", "token", "bearer_token", "authorization"] {
                let mut request = door.request_with(&[], &ada);
                *request.uri_mut() = format!("{}?{name}={}", door.path(&ada), ada.access).parse().unwrap();
                request.headers_mut().insert("cookie", format!("{name}={}", ada.access).parse().unwrap());
                let answer = api.send(request).await;
                refused(&answer, "token_missing", &format!("{name} at {}", door.name()));
                assert_eq!(answer.header("www-authenticate"), BARE);
            }
        }
        api.me(&ada.access).await.is(200);
    }

    /// RFC 6749 §5.1; a shared cache must not serve one person's answer to another.
    async fn no_answer_about_somebody_is_kept_by_caches_or_redirects(place: &Place) {
        let api = Api::on(place).await;
        let mut answers = vec![
            signed_up_with(&api, "ada@example.org", PASSWORD).await.is(201),
            signed_up_with(&api, "ada@example.org", PASSWORD).await.is(409),
            api.guess("ada@example.org", PASSWORD).await.is(200),
            api.guess("ada@example.org", "wrong password").await.is(401),
            api.form("/auth/login", "username=ada%40example.org&password=x").await.is(401),
            api.refresh("nonsense").await.is(401),
        ];
        answers.push(api.refresh(&Tokens::of(&answers[2]).refresh).await.is(200));
        for answer in &answers {
            if answer.status.is_success() {
                assert_eq!(answer.header("pragma"), "no-cache", "{answer:?}");
                assert_eq!(answer.header("content-type"), "application/json");
            }
        }
        for (number, door) in Door::all().iter().enumerate() {
            let user = api.signup(&format!("user{number}@example.org")).await;
            let token = match door.slot { Slot::Header => &user.access, Slot::Body => &user.refresh };
            for token in [token.as_str(), "nonsense"] {
                let answer = api.send(door.request(token, &user)).await;
                // What has no body has nothing that could be kept.
                if !answer.body.is_empty() {
                    answers.push(answer);
                }
            }
        }
        for answer in answers {
            assert!(!answer.status.is_redirection(), "{answer:?}");
            assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
            assert!(answer.headers.get("set-cookie").is_none() && answer.headers.get("location").is_none());
        }
    }

    /// Keycloak #50999, CVE-2026-9802: rotation by the second of `iat`, and a restart that forgets.
    async fn all_within_one_second_and_over_restarts_old_tokens_stay_dead(place: &Place) {
        let mut api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        api = restarted(api, place).await;
        let second = next(&api, &first.refresh).await;
        api = restarted(api, place).await;
        let third = next(&api, &second.refresh).await;
        api.logout(&third.access).await.is(204);
        let old = [&first, &second, &third];
        api = restarted(api, place).await;
        let again = api.login("ada@example.org").await;
        let newest = next(&api, &again.refresh).await;
        for _ in 0..2 {
            for tokens in old {
                api.me(&tokens.access).await.problem(401, "token_revoked");
                api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
            }
            for tokens in [&again, &newest] {
                api.me(&tokens.access).await.is(200);
            }
            api = restarted(api, place).await;
        }
        // All of it was in one second, and every token is another.
        let mut ids = Vec::new();
        for tokens in old.into_iter().chain([&again, &newest]) {
            let said = claims(&tokens.access);
            assert_eq!(said["iat"], 1_767_225_600);
            ids.push(said["jti"].as_str().unwrap().to_owned());
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        // The order of generations, and no clock, says which is the older.
        let last = next(&api, &newest.refresh).await;
        api = restarted(api, place).await;
        api.refresh(&again.refresh).await.problem(401, "refresh_reused");
        api.refresh(&last.refresh).await.problem(401, "refresh_invalid");
        api.me(&last.access).await.problem(401, "token_revoked");
    }

    /// jsonwebtoken CVE-2026-25537: a time of the wrong type was taken for absent.
    async fn a_time_of_another_type_is_refused_at_every_door(place: &Place) {
        let (api, ada, key) = with_our_key(place).await;
        let (header, payload) = (segment(&ada.access, 0), segment(&ada.access, 1));
        let wrong = ["\"1767312000\"", "\"\"", "null", "true", "false", "[]", "[1767312000]", "{}", "-1", "-1e3", "1e400", "\"2027-01-01T00:00:00Z\""];
        let mut number = 0;
        for name in ["exp", "nbf", "iat"] {
            let mut rest = payload.clone();
            rest.as_object_mut().unwrap().remove(name);
            for value in wrong {
                let said = prefixed(&format!("\"{name}\":{value}"), &rest);
                let token = signed(&key, &encode(&header), &BASE64URL_NOPAD.encode(said.as_bytes()));
                let what = format!("{name} {value}");
                // Twice: what was refused must not have been remembered.
                refused(&api.me(&token).await, "token_invalid", &what);
                refused(&api.me(&token).await, "token_invalid", &what);
                let doors = Door::of_access_tokens();
                let door = &doors[number % doors.len()];
                refused(&api.send(door.request(&token, &ada)).await, "token_invalid", &what);
                number += 1;
            }
        }
        // The same by the same way, but of the right type.
        let mut rest = payload.clone();
        rest.as_object_mut().unwrap().remove("exp");
        let said = prefixed("\"exp\":1767226500,\"nbf\":1767225600", &rest);
        api.me(&signed(&key, &encode(&header), &BASE64URL_NOPAD.encode(said.as_bytes()))).await.is(200);
    }

    /// RFC 7519 §4, RFC 7515 §4: no member twice, whichever of the two would win.
    async fn a_member_twice_in_a_token_is_refused(place: &Place) {
        let (api, ada, key) = with_our_key(place).await;
        let (header, payload) = (segment(&ada.access, 0), segment(&ada.access, 1));
        let text = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        for member in payload.as_object().unwrap().keys() {
            for (name, value) in [(member.clone(), payload[member].to_string()), (member.clone(), "\"other\"".to_owned()), (format!("\\u{:04x}{}", member.as_bytes()[0], &member[1..]), payload[member].to_string())] {
                let said = text(prefixed(&format!("\"{name}\":{value}"), &payload));
                refused(&api.me(&signed(&key, &encode(&header), &said)).await, "token_invalid", &name);
            }
        }
        for member in header.as_object().unwrap().keys() {
            for value in [header[member].to_string(), "\"none\"".to_owned()] {
                let said = text(prefixed(&format!("\"{member}\":{value}"), &header));
                refused(&api.me(&signed(&key, &said, &encode(&payload))).await, "token_invalid", member);
            }
        }
        // One that nobody knows is refused twice, and ignored once.
        let unknown = text(prefixed("\"x\":1,\"x\":1", &payload));
        refused(&api.me(&signed(&key, &encode(&header), &unknown)).await, "token_invalid", "unknown, twice");
        let unknown = text(prefixed("\"x\":1", &payload));
        api.me(&signed(&key, &encode(&header), &unknown)).await.is(200);
    }

    /// RFC 7515 §4.1.9: the type in any letter case, with or without its prefix; RFC 9068 §2.1.
    async fn the_type_may_be_written_as_the_rfc_lets_it(place: &Place) {
        let (api, ada, key) = with_our_key(place).await;
        let (mut header, payload) = (segment(&ada.access, 0), segment(&ada.access, 1));
        for (typ, status) in [
            ("at+jwt", 200), ("AT+JWT", 200), ("application/at+jwt", 200), ("Application/At+Jwt", 200),
            ("jwt", 401), ("application/jwt", 401), ("at+jwt ", 401), ("text/at+jwt", 401), ("application/application/at+jwt", 401), ("at", 401), ("", 401),
        ] {
            header["typ"] = json!(typ);
            let answer = api.me(&signed(&key, &encode(&header), &encode(&payload))).await;
            assert_eq!(answer.status.as_u16(), status, "{typ:?}");
        }
    }

    /// RFC 9068 §2.2, as far as an id of an OAuth client is no business of a login at the house itself.
    async fn two_tokens_of_one_second_differ_in_their_ids(place: &Place) {
        let api = Api::on(place).await;
        let mut tokens = api.signup("ada@example.org").await;
        let mut ids = std::collections::HashSet::new();
        for _ in 0..50 {
            let said = claims(&tokens.access);
            for name in ["iss", "exp", "aud", "sub", "iat", "jti", "sid"] {
                assert!(!said[name].is_null(), "{name}");
            }
            assert!(ids.insert(said["jti"].to_string()));
            // 128 bits of MAC at the least, behind the id and the generation.
            let body = BASE64URL_NOPAD.decode(tokens.refresh.trim_start_matches("thr_").as_bytes()).unwrap();
            assert!(body.len() >= 16 + 8 + 16, "{}", body.len());
            tokens = next(&api, &tokens.refresh).await;
        }
    }

    async fn a_token_that_is_remembered_is_refused_once_it_is_revoked_or_expired(place: &Place) {
        let (api, other) = (Api::on(place).await, Api::on(place).await);
        let (expires, revoked) = (api.signup("ada@example.org").await, api.login("ada@example.org").await);
        for _ in 0..3 {
            for house in [&api, &other] {
                house.me(&expires.access).await.is(200);
                house.me(&revoked.access).await.is(200);
            }
        }
        assert!(api.house().verifier().cached_tokens() >= 2, "they are remembered");
        api.logout(&revoked.access).await.is(204);
        api.me(&revoked.access).await.problem(401, "token_revoked");
        other.test.follow().await;
        for _ in 0..3 {
            for house in [&api, &other] {
                house.me(&revoked.access).await.problem(401, "token_revoked");
                house.me(&expires.access).await.is(200);
            }
        }
        for house in [&api, &other] {
            house.test.advance(Duration::from_secs(904));
            house.me(&expires.access).await.is(200);
            house.test.advance(Duration::from_secs(1));
            for _ in 0..3 {
                house.me(&expires.access).await.problem(401, "token_expired");
            }
        }
    }

    async fn a_token_that_is_remembered_goes_with_its_key(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| {
            settings.tokens.access_lifetime = tokenhouse::settings::Period::days(1);
        })).await;
        let ada = api.signup("ada@example.org").await;
        for _ in 0..3 {
            api.me(&ada.access).await.is(200);
        }
        // Somebody removes the key, since it may have leaked.
        let kid = segment(&ada.access, 0)["kid"].as_str().unwrap().to_owned();
        api.house().rotate_keys().await.unwrap();
        assert_eq!(api.change(query("DELETE FROM signing_keys WHERE kid = $1").bind(kid)).await, 1);
        api.test.follow().await;
        api.me(&ada.access).await.problem(401, "token_invalid");
        api.refresh(&ada.refresh).await.is(200);
    }

    /// RFC 7517 §4, Hono CVE-2026-22817: each key says what it is for, and nothing that is private.
    async fn every_published_key_says_its_use_name_and_algorithm_and_nothing_else(place: &Place) {
        for (algorithm, members) in [
            (Algorithm::Es256, &["alg", "crv", "kid", "kty", "use", "x", "y"][..]),
            (Algorithm::EdDsa, &["alg", "crv", "kid", "kty", "use", "x"]),
            (Algorithm::Rs256, &["alg", "e", "kid", "kty", "n", "use"]),
            (Algorithm::Ps256, &["alg", "e", "kid", "kty", "n", "use"]),
        ] {
            let api = Api::with(place, |builder| builder.configure(|settings| settings.tokens.algorithm = algorithm)).await;
            api.house().tend().await.unwrap();
            let answer = api.get("/.well-known/jwks.json", None).await.is(200);
            assert_eq!(answer.header("content-type"), "application/jwk-set+json");
            assert_eq!(answer.header("cache-control"), "public, max-age=300");
            assert!(answer.headers.get("set-cookie").is_none());
            let document = answer.json();
            assert_eq!(document.as_object().unwrap().len(), 1, "keys, and nothing beside");
            let keys = document["keys"].as_array().unwrap();
            let mut names: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), keys.len());
            let mine: Vec<_> = keys.iter().filter(|key| key["alg"] == algorithm.to_string()).collect();
            assert_eq!(mine.len(), 2, "the active one and the next");
            for key in mine {
                assert_eq!(key["use"], "sig");
                assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), members, "{key}");
            }
        }
    }

    async fn whoever_read_the_keys_before_a_rotation_can_verify_after_it(place: &Place) {
        let api = Api::on(place).await;
        let verifier = |document: &Value| {
            let jwks: Jwks = serde_json::from_value(document.clone()).unwrap();
            let (keys, skipped) = KeySet::from_jwks(&jwks).unwrap();
            assert!(skipped.is_empty());
            Verifier::builder().keys(keys).issuer("http://localhost:8080").audience("http://localhost:8080").token_type("at+jwt").build().unwrap()
        };
        let read = async || api.get("/.well-known/jwks.json", None).await.is(200).json();
        let old = api.signup("ada@example.org").await;
        api.house().tend().await.unwrap();
        let before = read().await;
        api.house().rotate_keys().await.unwrap();
        let new = api.login("ada@example.org").await;
        let after = read().await;
        assert_ne!(segment(&old.access, 0)["kid"], segment(&new.access, 0)["kid"]);
        for document in [&before, &after] {
            for tokens in [&old, &new] {
                verifier(document).verify_at(&tokens.access, 1_767_225_600).unwrap();
            }
        }
    }

    /// bcrypt forgets what comes after 72 bytes (CVE-2025-22228, Okta 2024-10); what we make does not.
    async fn passwords_that_differ_after_72_bytes_only_are_different(place: &Place) {
        let api = Api::unbraked(place).await;
        let ascii = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(2);
        assert_eq!(ascii.len(), 72);
        let two_bytes = "äöüßéèçñøåþð".repeat(3);
        assert_eq!(two_bytes.len(), 72);
        let across = format!("{}é", &ascii[1..]);
        for (number, head) in [ascii, two_bytes, across].into_iter().enumerate() {
            let email = format!("user{number}@example.org");
            let password = format!("{head}A");
            let wrong = |tail: &str| format!("{head}{tail}");
            signed_up_with(&api, &email, &password).await.is(201);
            for tail in ["", "B", "a", "AA", "A ", "\u{c4}", &"x".repeat(40)] {
                api.guess(&email, &wrong(tail)).await.problem(401, "invalid_credentials");
            }
            let tokens = Tokens::of(&api.guess(&email, &password).await.is(200));
            // And where a password is asked for again, or a new one is set.
            api.change_password(&tokens.access, &wrong("B"), "another long password").await.problem(401, "invalid_credentials");
            api.delete("/users/me", Some(&tokens.access), json!({ "password": wrong("B") })).await.problem(401, "invalid_credentials");
            api.change_password(&tokens.access, &password, &wrong("C")).await.is(204);
            api.guess(&email, &password).await.problem(401, "invalid_credentials");
            api.guess(&email, &wrong("C")).await.is(200);
            let user = api.house().user_by_name(&email).await.unwrap().unwrap();
            api.house().set_password(&user, &Secret::from(wrong("D"))).await.unwrap();
            api.guess(&email, &wrong("C")).await.problem(401, "invalid_credentials");
            api.guess(&email, &wrong("D")).await.is(200);
            let hashes: Vec<(String,)> = api.rows(query("SELECT hash FROM passwords")).await;
            assert!(hashes.iter().all(|row| row.0.starts_with("$argon2id$")), "{hashes:?}");
        }
    }

    /// NIST SP 800-63B-4 §3.1.1.2: any character counts as one, at least 64 are allowed, nothing must be in it.
    async fn a_password_may_be_of_any_characters_and_long_and_needs_no_kinds(place: &Place) {
        let api = Api::unbraked(place).await;
        let printable: String = (' '..='~').collect();
        let passwords = [
            printable.clone(),
            format!("  {}  ", "spaces around"),
            "lowercase letters".to_owned(),
            "UPPERCASELETTERS".to_owned(),
            "8302749501837".to_owned(),
            "ünïcödé пароль 密码".to_owned(),
            "🐎🔋🧷✔\u{2603}🦀🏠🔑".to_owned(),
            "x y".repeat(43).chars().take(128).collect(),
            "🐎".chars().chain("🔑 horse ".chars().cycle()).take(128).collect(),
        ];
        for (number, password) in passwords.iter().enumerate() {
            let email = format!("user{number}@example.org");
            signed_up_with(&api, &email, password).await.is(201);
            api.guess(&email, password).await.is(200);
            // Not trimmed, not shortened, not folded.
            let mut shorter = password.clone();
            shorter.pop();
            for other in [shorter, format!("{password} "), password.trim().to_owned() + "x", swapped_case(password)] {
                if other != *password {
                    api.guess(&email, &other).await.problem(401, "invalid_credentials");
                }
            }
        }
        assert_eq!(characters(&passwords[6]), 8);
        for (password, code) in [("🐎🔋🧷✔\u{2603}🦀🏠", "password_too_short"), (&"🐎 a".repeat(43), "password_too_long")] {
            let answer = signed_up_with(&api, "eve@example.org", password).await;
            assert!(faults(&answer).contains(&("/password".to_owned(), code.to_owned())), "{answer:?}");
        }
        // No date makes anybody change it.
        api.test.advance(Duration::from_secs(10 * 365 * 86_400));
        api.guess("user0@example.org", &printable).await.is(200);
    }

    /// matrix-authentication-service CVE-2025-62425: whoever held a session could set a password.
    async fn no_password_is_changed_without_the_old_one_however_it_is_asked(place: &Place) {
        let api = Api::unbraked(place).await;
        let ada = api.signup("ada@example.org").await;
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        let current = "another long password";
        let new = "a third long password";
        for wrong in [json!(PASSWORD), json!(""), json!(current.to_uppercase()), json!(format!("{current} ")), json!(new), json!("\u{0}")] {
            let body = json!({ "current_password": wrong, "new_password": new });
            let answer = api.post("/users/me/password", Some(&ada.access), body).await;
            assert!(matches!(answer.status.as_u16(), 401 | 422), "{wrong}: {answer:?}");
        }
        for wrong in [Value::Null, json!(true), json!(0), json!([current]), json!({ "$ne": "" })] {
            let body = json!({ "current_password": wrong, "new_password": new });
            api.post("/users/me/password", Some(&ada.access), body).await.problem(422, "invalid_fields");
        }
        for body in [json!({ "new_password": new }), json!({ "password": current, "new_password": new }), json!({ "old_password": current, "new_password": new })] {
            api.post("/users/me/password", Some(&ada.access), body).await.problem(422, "invalid_fields");
        }
        let path = format!("/users/me/password?current_password={}", current.replace(' ', "%20"));
        api.post(&path, Some(&ada.access), json!({ "new_password": new })).await.problem(422, "invalid_fields");
        let twice = format!("{{\"current_password\":\"x\",\"current_password\":\"{current}\",\"new_password\":\"{new}\"}}");
        let request = Request::post("/users/me/password").header("content-type", "application/json").header("authorization", format!("Bearer {}", ada.access));
        api.send(request.body(Body::from(twice)).unwrap()).await.problem(400, "malformed_body");
        for path in ["/users/me", "/users/me/"] {
            for name in ["password", "new_password", "password_hash"] {
                let answer = api.patch(path, Some(&ada.access), json!({ name: new })).await;
                assert!(answer.status.is_client_error(), "{path} {name}: {answer:?}");
            }
        }
        api.guess("ada@example.org", new).await.problem(401, "invalid_credentials");
        api.guess("ada@example.org", current).await.is(200);
        api.me(&ada.access).await.is(200);
    }

    /// better-auth CVE-2025-61928: the actor is whom the token names, and nobody else says who that is.
    async fn who_acts_is_said_by_the_token_alone(place: &Place) {
        let api = Api::on(place).await;
        let (ada, eve) = (api.signup("ada@example.org").await, api.signup("eve@example.org").await);
        let id = claims(&ada.access)["sub"].as_str().unwrap().to_owned();
        let headers = ["x-user-id", "x-user", "x-forwarded-user", "x-remote-user", "remote-user", "x-auth-request-user", "x-original-url", "x-rewrite-url", "x-http-method-override", "from"];
        for door in Door::of_access_tokens() {
            let mut request = door.request_with(&[], &ada);
            *request.uri_mut() = format!("{}?user_id={id}&sub={id}", door.path(&ada)).parse().unwrap();
            for name in headers {
                let value = if name.ends_with("-url") { "/health/live" } else { &id };
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            for agent in ["kube-probe/1.31", "GoogleHC/1.0", "ELB-HealthChecker/2.0", ""] {
                let mut request = clone(&mut request).await;
                request.headers_mut().insert("user-agent", agent.parse().unwrap());
                refused(&api.send(request).await, "token_missing", &door.name());
            }
        }
        // Eve's token with Ada's name beside it is Eve's.
        for field in ["id", "user_id", "userId", "sub", "email_key"] {
            api.patch("/users/me", Some(&eve.access), json!({ field: id, "username": "owned" })).await.problem(422, "invalid_fields");
        }
        let request = Request::get(format!("/users/me?user_id={id}")).header("authorization", format!("Bearer {}", eve.access)).header("x-user-id", &id);
        assert_eq!(api.send(request.body(Body::empty()).unwrap()).await.is(200).json()["email"], "eve@example.org");
        assert_eq!(api.me(&ada.access).await.is(200).json()["username"], Value::Null);
    }

    /// Keycloak CVE-2026-9798, Zitadel CVE-2025-64102: a way in that did not count.
    async fn every_way_to_say_a_password_counts_for_the_same_brake(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let wrong = "wrong password";
        for number in 0..10 {
            let answer = match number % 6 {
                0 => api.guess("ada@example.org", wrong).await,
                1 => api.post("/auth/login", None, json!({ "login": "ADA@example.org", "password": wrong })).await,
                2 => api.form("/auth/login", "username=ada%40example.org&password=wrong+password").await,
                3 => api.form("/auth/login", "grant_type=password&username=Ada%40Example.org&password=wrong+password").await,
                4 => api.change_password(&ada.access, wrong, "another long password").await,
                _ => api.delete("/users/me", Some(&ada.access), json!({ "password": wrong })).await,
            };
            answer.problem(401, "invalid_credentials");
        }
        for answer in [
            api.guess("ada@example.org", PASSWORD).await,
            api.form("/auth/login", "username=ada%40example.org&password=correct+horse+battery+staple").await,
            api.change_password(&ada.access, PASSWORD, "another long password").await,
            api.delete("/users/me", Some(&ada.access), json!({ "password": PASSWORD })).await,
        ] {
            answer.problem(429, "account_locked");
        }
    }

    /// What a client wrote into the header must not hide what the proxy wrote behind it.
    async fn bytes_that_are_no_text_do_not_hide_whom_a_proxy_saw(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.http.trusted_proxies = vec!["10.0.0.0/8".to_owned()])).await;
        let seen = async |number: usize, lines: &[&[u8]]| {
            let mut request = Request::post("/auth/signup").header("content-type", "application/json");
            for line in lines {
                request = request.header("x-forwarded-for", *line);
            }
            let request = request.extension(ConnectInfo(SocketAddr::new("10.0.0.1".parse().unwrap(), 1)));
            let body = json!({ "email": format!("user{number}@example.org"), "password": PASSWORD }).to_string();
            let answer = api.send(request.body(Body::from(body)).unwrap()).await.is(201);
            api.sessions(&Tokens::of(&answer).access).await[0]["address"].clone()
        };
        let cases: [(&[&[u8]], &str); 8] = [
            (&[b"\xff, 192.0.2.1"], "192.0.2.1"),
            (&[b"\xff,192.0.2.1"], "192.0.2.1"),
            (&[b"192.0.2.77, \xff\xfe, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&[b"\xff", b"192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.77, \u{661}\u{669}, 192.0.2.1".as_bytes()], "192.0.2.1"),
            // What the proxy itself wrote is no address: nobody but the proxy is known.
            (&[b"192.0.2.77, \xff"], "10.0.0.1"),
            (&[b"192.0.2.77", b"\xff"], "10.0.0.1"),
            (&[b"192.0.2.77, nonsense"], "10.0.0.1"),
        ];
        let mut wrong = Vec::new();
        for (number, (lines, expected)) in cases.into_iter().enumerate() {
            let address = seen(number, lines).await;
            if address != expected {
                wrong.push((lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>(), address, expected));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn swapped_case(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// The same request once more; its body is read into memory for that.
async fn clone(request: &mut Request<Body>) -> Request<Body> {
    use http_body_util::BodyExt;
    let body = std::mem::take(request.body_mut())
        .collect()
        .await
        .unwrap()
        .to_bytes();
    *request.body_mut() = Body::from(body.clone());
    let mut copy = Request::new(Body::from(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
