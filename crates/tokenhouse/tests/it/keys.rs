//! The keys that sign, how they follow one another, and what of them is seen.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tokenhouse::base::store::{EngineKind, query};
use tokenhouse::features::totp::code_of_app;
use tokenhouse::kernel::keys::MasterKey;
use tokenhouse::settings::{Period, Settings};
use tokenhouse::testing::TestHouse;
use tokenhouse::{Algorithm, BuildError, Secret, Tokenhouse};

use crate::on_both_engines;
use crate::second_factors::{half_way, second_step, with_app};
use crate::support::Place;
use crate::support::api::{Api, Letter, Tokens, contend, segment};
use crate::support::browser::Browser;

pub const P256: &str = include_str!("keys_made_for_tests/p256-pkcs8.pem");
const P256_SEC1: &str = include_str!("keys_made_for_tests/p256-sec1.pem");
const ED25519: &str = include_str!("keys_made_for_tests/ed25519-pkcs8.pem");
const RSA: &str = include_str!("keys_made_for_tests/rsa2048-pkcs8.pem");
const RSA_PKCS1: &str = include_str!("keys_made_for_tests/rsa2048-pkcs1.pem");
const SHARED: &str = "a shared secret of forty bytes, all right";
const DAY: Duration = Duration::from_secs(86_400);

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

async fn signing(place: &Place, algorithm: Algorithm) -> Api {
    configured(place, |settings| settings.tokens.algorithm = algorithm).await
}

fn kid(token: &str) -> String {
    segment(token, 0)["kid"].as_str().unwrap().to_owned()
}

async fn published(api: &Api) -> Vec<Value> {
    let answer = api.get("/.well-known/jwks.json", None).await.is(200);
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert!(answer.header("cache-control").starts_with("public, max-age="));
    answer.json()["keys"].as_array().unwrap().clone()
}

async fn published_kids(api: &Api) -> Vec<String> {
    published(api)
        .await
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn states(api: &Api) -> Vec<String> {
    let mut states: Vec<_> = api.house().keys().into_iter().map(|key| key.state).collect();
    states.sort();
    states
}

/// Everything that lies on the disk of the house, or the whole table in PostgreSQL's text.
async fn on_the_disk(api: &Api, place: &Place) -> Vec<u8> {
    match place.engine() {
        EngineKind::Sqlite => {
            let file = place.url().strip_prefix("sqlite://").unwrap();
            let mut bytes = std::fs::read(file).unwrap();
            bytes.extend(std::fs::read(format!("{file}-wal")).unwrap_or_default());
            bytes
        }
        EngineKind::Postgres => {
            let rows: Vec<(Vec<u8>,)> = api.rows(query("SELECT sealed FROM signing_keys")).await;
            let texts: Vec<(String,)> = api
                .rows(query(
                    "SELECT row_to_json(signing_keys)::text FROM signing_keys UNION ALL SELECT row_to_json(users)::text FROM users
                     UNION ALL SELECT row_to_json(passwords)::text FROM passwords UNION ALL SELECT row_to_json(sessions)::text FROM sessions
                     UNION ALL SELECT row_to_json(events)::text FROM events",
                ))
                .await;
            rows.into_iter()
                .map(|row| row.0)
                .chain(texts.into_iter().map(|row| row.0.into_bytes()))
                .flatten()
                .collect()
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .filter(|line| !line.starts_with('-'))
        .collect();
    data_encoding::BASE64.decode(base64.as_bytes()).unwrap()
}

on_both_engines! {
    async fn two_houses_that_tend_at_once_rotate_once(place: &Place) {
        let first = Api::on(place).await;
        first.house().tend().await.unwrap();
        let second = Api::on(place).await;
        for api in [&first, &second] {
            api.test.advance(Duration::from_secs(91 * 86_400));
        }
        first.house().tend().await.unwrap();
        second.house().tend().await.unwrap();
        let retired = second.house().keys().iter().filter(|key| key.state == "retired").count();
        assert_eq!(retired, 1);
    }

    async fn a_token_of_a_key_this_house_has_not_seen_yet_is_taken(place: &Place) {
        let first = Api::on(place).await;
        first.house().tend().await.unwrap();
        let second = Api::on(place).await;
        first.house().rotate_keys().await.unwrap();
        first.house().rotate_keys().await.unwrap();
        let ada = first.signup("ada@example.org").await;
        second.me(&ada.access).await.is(200);
    }

    async fn imports_at_once_tell_of_no_key_that_does_not_sign(place: &Place) {
        let mut houses = Vec::new();
        for _ in 0..4 {
            houses.push(Api::on(place).await);
        }
        for _ in 0..4 {
            let imports = houses.iter().map(|api| {
                let key = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
                    &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    &aws_lc_rs::rand::SystemRandom::new(),
                )
                .unwrap();
                let base64 = data_encoding::BASE64.encode(key.as_ref());
                let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
                async move { api.house().import_key(&pem).await }
            });
            let told = futures_util::future::join_all(imports).await;
            houses[0].test.follow().await;
            let known: Vec<_> = houses[0].house().keys().into_iter().map(|key| key.kid).collect();
            for kid in told.into_iter().filter_map(Result::ok) {
                assert!(known.contains(&kid), "{kid} was said to sign and is not there");
            }
        }
    }

    async fn a_new_house_signs_with_its_own_key(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let keys = published(&api).await;
        assert_eq!(keys.len(), 1);
        let names: Vec<_> = keys[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!((&keys[0]["alg"], &keys[0]["use"], &keys[0]["kid"]), (&json!("ES256"), &json!("sig"), &json!(kid(&tokens.access))));
        // Another house has another.
        let other = TestHouse::new().await;
        assert!(other.house.verify(&tokens.access).is_err());
    }

    async fn rotation_keeps_old_tokens_valid_and_signs_with_the_key_that_was_published_before(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        api.house().tend().await.unwrap();
        assert_eq!(states(&api), ["active", "next"]);
        let next = published_kids(&api).await.into_iter().find(|name| *name != kid(&first.access)).unwrap();
        api.house().rotate_keys().await.unwrap();
        assert_eq!(states(&api), ["active", "next", "retired"]);
        let second = api.login("ada@example.org").await;
        assert_eq!(kid(&second.access), next);
        api.me(&first.access).await.is(200);
        api.me(&second.access).await.is(200);
        api.refresh(&first.refresh).await.is(200);
        assert_eq!(published(&api).await.len(), 3);
    }

    async fn every_rotation_leaves_a_next_key_for_the_one_after_it(place: &Place) {
        let api = configured(place, |settings| settings.tokens.rotate_after = Period::seconds(0)).await;
        for _ in 0..3 {
            api.house().rotate_keys().await.unwrap();
            assert!(states(&api).contains(&"next".to_owned()), "{:?}", states(&api));
        }
        assert_eq!(states(&api), ["active", "next", "retired", "retired", "retired"]);
    }

    async fn a_retired_key_goes_when_its_last_token_is_dead(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        api.house().rotate_keys().await.unwrap();
        api.test.advance(DAY);
        api.house().tend().await.unwrap();
        assert!(published_kids(&api).await.contains(&kid(&first.access)));
        api.test.advance(Duration::from_secs(6));
        api.house().tend().await.unwrap();
        assert!(!published_kids(&api).await.contains(&kid(&first.access)));
        assert!(!states(&api).contains(&"retired".to_owned()));
        api.me(&first.access).await.problem(401, "token_invalid");
        api.refresh(&first.refresh).await.is(200);
    }

    async fn an_old_key_is_rotated_by_itself(place: &Place) {
        let api = configured(place, |settings| settings.tokens.rotate_after = Period::days(30)).await;
        let first = kid(&api.signup("ada@example.org").await.access);
        api.house().tend().await.unwrap();
        api.test.advance(29 * DAY);
        api.house().tend().await.unwrap();
        assert_eq!(kid(&api.login("ada@example.org").await.access), first);
        let next = published_kids(&api).await.into_iter().find(|name| *name != first).unwrap();
        api.test.advance(DAY);
        api.house().tend().await.unwrap();
        assert_eq!(kid(&api.login("ada@example.org").await.access), next);
        api.house().tend().await.unwrap();
        assert_eq!(kid(&api.login("ada@example.org").await.access), next, "once");
        // Ten years later there are not more keys than are needed.
        api.test.advance(3650 * DAY);
        api.house().tend().await.unwrap();
        assert!(api.house().keys().len() <= 3, "{:?}", api.house().keys());
    }

    async fn another_house_on_the_database_follows(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let first = one.signup("ada@example.org").await;
        other.me(&first.access).await.is(200);
        one.house().tend().await.unwrap();
        other.test.follow().await;
        one.house().rotate_keys().await.unwrap();
        let second = one.login("ada@example.org").await;
        // It was published ahead, so it is known before the rotation is.
        other.me(&second.access).await.is(200);
        other.test.follow().await;
        let third = other.login("ada@example.org").await;
        assert_eq!(kid(&third.access), kid(&second.access));
        one.me(&third.access).await.is(200);
        assert_eq!(published_kids(&one).await, published_kids(&other).await);
    }

    async fn houses_that_start_together_agree_on_one_key(place: &Place) {
        Api::on(place).await.house().store().close().await;
        let url = place.url().to_owned();
        let houses = contend(6, |_| {
            let url = url.clone();
            async move { TestHouse::at(&url, |builder| builder.configure(|settings| settings.tokens.algorithm = Algorithm::EdDsa)).await }
        })
        .await;
        let mut active = Vec::new();
        for house in &houses {
            house.follow().await;
            active.extend(house.house.keys().into_iter().filter(|key| key.state == "active").map(|key| key.kid));
        }
        active.dedup();
        assert_eq!(active.len(), 1);
    }

    async fn houses_that_rotate_together_leave_one_active_and_one_next(place: &Place) {
        let mut houses = Vec::new();
        for _ in 0..4 {
            houses.push(std::sync::Arc::new(Api::on(place).await));
        }
        houses[0].house().tend().await.unwrap();
        for _ in 0..3 {
            let outcomes = contend(4, |number| {
                let api = std::sync::Arc::clone(&houses[number]);
                async move { api.house().rotate_keys().await.is_ok() }
            })
            .await;
            assert!(outcomes.contains(&true));
            for api in &houses {
                api.test.follow().await;
                let states = states(api);
                assert_eq!(states.iter().filter(|state| *state == "active").count(), 1);
                assert_eq!(states.iter().filter(|state| *state == "next").count(), 1);
            }
        }
    }

    async fn keys_made_elsewhere_are_taken(place: &Place) {
        for (pem, algorithm, kty) in [
            (P256, Algorithm::Es256, "EC"),
            (P256_SEC1, Algorithm::Es256, "EC"),
            (ED25519, Algorithm::EdDsa, "OKP"),
            (RSA, Algorithm::Rs256, "RSA"),
            (RSA_PKCS1, Algorithm::Rs256, "RSA"),
            (RSA_PKCS1, Algorithm::Ps256, "RSA"),
        ] {
            let api = signing(place, algorithm).await;
            let name = api.house().import_key(pem).await.unwrap();
            assert_eq!(api.house().import_key(pem).await.unwrap(), name, "twice is once");
            let email = format!("{}@example.org", algorithm.to_string().to_lowercase() + &pem.len().to_string());
            let tokens = api.signup(&email).await;
            assert_eq!((kid(&tokens.access), segment(&tokens.access, 0)["alg"].clone()), (name.clone(), json!(algorithm.to_string())));
            api.me(&tokens.access).await.is(200);
            let keys = published(&api).await;
            let key = keys.iter().find(|key| key["kid"] == *name).unwrap();
            assert_eq!((&key["kty"], &key["alg"]), (&json!(kty), &json!(algorithm.to_string())));
            for key in keys {
                for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(key.get(private).is_none(), "{key}");
                }
            }
        }
    }

    async fn keys_that_cannot_sign_are_refused_and_nothing_changes(place: &Place) {
        let api = Api::on(place).await;
        let before = published_kids(&api).await;
        for pem in [
            "",
            "nonsense",
            include_str!("keys_made_for_tests/p384-pkcs8.pem"),
            include_str!("keys_made_for_tests/rsa1024-pkcs8.pem"),
            include_str!("keys_made_for_tests/p256-encrypted.pem"),
            include_str!("keys_made_for_tests/p256-public.pem"),
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ED25519,
            RSA,
        ] {
            assert_eq!(api.house().import_key(pem).await.unwrap_err().code().as_str(), "invalid_fields");
        }
        assert_eq!(published_kids(&api).await, before);
        assert_eq!(states(&api), ["active"]);
    }

    async fn another_algorithm_in_the_settings_takes_effect_at_the_next_start(place: &Place) {
        let api = Api::on(place).await;
        let mut all = vec![api.signup("ada@example.org").await];
        api.house().tend().await.unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256, Algorithm::Hs256, Algorithm::Es256] {
            let api = signing(place, algorithm).await;
            let tokens = api.login("ada@example.org").await;
            assert_eq!(segment(&tokens.access, 0), json!({ "alg": algorithm.to_string(), "kid": kid(&tokens.access), "typ": "at+jwt" }));
            all.push(tokens);
            for tokens in &all {
                api.me(&tokens.access).await.is(200);
            }
            assert!(!states(&api).contains(&"next".to_owned()), "of another algorithm");
        }
    }

    async fn a_shared_secret_signs_and_is_never_shown(place: &Place) {
        let shared = |settings: &mut Settings, secret: &str| {
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(Secret::from(secret));
        };
        let api = configured(place, |settings| shared(settings, SHARED)).await;
        let tokens = api.signup("ada@example.org").await;
        let (input, signature) = tokens.access.rsplit_once('.').unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SHARED.as_bytes());
        let signature = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        aws_lc_rs::hmac::verify(&key, input.as_bytes(), &signature).unwrap();
        assert!(published(&api).await.is_empty());
        assert_eq!(api.house().rotate_keys().await.unwrap_err().code().as_str(), "forbidden");
        api.house().tend().await.unwrap();
        assert!(!holds(&on_the_disk(&api, place).await, SHARED.as_bytes()));
        // Another secret: old tokens live out their time.
        let api = configured(place, |settings| shared(settings, "another shared secret of thirty-two bytes")).await;
        api.me(&tokens.access).await.is(200);
        assert_ne!(kid(&api.login("ada@example.org").await.access), kid(&tokens.access));
        let short = built(place, |settings| shared(settings, "short")).await.unwrap_err();
        assert!(short.to_string().contains("tokens.secret"), "{short}");
    }

    async fn another_master_key_is_refused_and_nothing_changes(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let rows = || api.rows::<(String, String, Vec<u8>)>(query("SELECT kid, state, sealed FROM signing_keys"));
        let before = rows().await;
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let refused = built(place, |settings| {
                settings.tokens.algorithm = algorithm;
                settings.master_key = Some(Secret::from("ff".repeat(32)));
            })
            .await
            .unwrap_err();
            assert!(refused.to_string().contains("nothing was changed"), "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("ffff"));
        }
        assert_eq!(rows().await, before);
        for bad in ["", "secret", &"f".repeat(63)] {
            let refused = built(place, |settings| settings.master_key = Some(Secret::from(bad))).await.unwrap_err();
            assert!(refused.to_string().contains("master_key"), "{refused}");
        }
        let api = Api::on(place).await;
        api.me(&tokens.access).await.is(200);
        api.refresh(&tokens.refresh).await.is(200);
    }

    async fn the_master_key_is_exchanged_and_nobody_notices(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, "ada@example.org").await;
        let mut browser = Browser::new(&api);
        browser.sign_up("bob@example.org").await;
        api.post("/auth/password/forgot", None, json!({ "email": "bob@example.org" })).await.is(202);
        let new = Secret::from("5a".repeat(32));
        let with_new = |settings: &mut Settings| settings.master_key = Some(Secret::from("5a".repeat(32)));
        built(place, with_new).await.unwrap_err();
        let name = api.house().add_master_key(&MasterKey::parse(&new).unwrap()).await.unwrap();
        // Twice is once.
        assert_eq!(api.house().add_master_key(&MasterKey::parse(&new).unwrap()).await.unwrap(), name);
        let keys = api.house().master_keys().await.unwrap();
        assert_eq!(keys.iter().map(|key| key.in_use).filter(|one| *one).count(), 1);
        assert!(keys.len() == 2 && keys.iter().any(|key| key.name == name && !key.in_use), "{keys:?}");
        // Nodes with either work beside each other,
        let other = configured(place, with_new).await;
        let refreshed = Tokens::of(&other.refresh(&app.tokens.refresh).await.is(200));
        api.me(&refreshed.access).await.is(200);
        // also after a restart with the old one.
        built(place, |_| {}).await.unwrap();
        assert_eq!(other.house().remove_other_master_keys().await.unwrap(), 1);
        assert_eq!(other.house().remove_other_master_keys().await.unwrap(), 0);
        let refused = built(place, |_| {}).await.unwrap_err();
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
        // Those that run with the old one run on, and nothing that was given out is void: refresh tokens,
        let refreshed = Tokens::of(&api.refresh(&refreshed.refresh).await.is(200));
        let tokens = Tokens::of(&other.refresh(&refreshed.refresh).await.is(200));
        other.me(&tokens.access).await.is(200);
        // cookies,
        let mut there = Browser::new(&other);
        there.cookies.clone_from(&browser.cookies);
        assert!(there.is_in().await);
        // apps and recovery codes,
        other.test.advance(Duration::from_secs(30));
        let code = code_of_app(&app.secret, other.house().clock().now());
        second_step(&other, &half_way(&other, "ada@example.org").await, &code).await.is(200);
        let body = json!({ "mfa_token": half_way(&other, "ada@example.org").await, "recovery_code": app.recovery_codes[0] });
        other.post("/auth/mfa", None, body).await.is(200);
        // and mail that waits, with its code.
        let mails = other.mails().await;
        let letter = Letter::of(mails.iter().find(|mail| mail.kind == "reset").unwrap());
        let body = json!({ "email": "bob@example.org", "code": letter.code, "new_password": "another long password" });
        other.post("/auth/password/reset", None, body).await.is(204);
        // It is in the log, and not what it is.
        let events: Vec<(String, String)> = other.rows(query("SELECT kind, data FROM events WHERE kind LIKE 'master_key.%'")).await;
        assert!(events.len() == 4 && events.iter().all(|(_, data)| data == "{}"), "{events:?}");
    }

    async fn nodes_that_start_together_agree_on_what_all_is_derived_from(place: &Place) {
        let first = Api::on(place).await;
        for table in ["DELETE FROM signing_keys", "DELETE FROM key_slots"] {
            first.change(query(table)).await;
        }
        first.house().close().await;
        let url = place.url().to_owned();
        let houses = contend(6, |_| {
            let url = url.clone();
            async move { Api::at(&url, |builder| builder).await }
        })
        .await;
        let roots: Vec<_> = houses.iter().map(|api| api.test.root_key().derive("a test").to_vec()).collect();
        assert!(roots.iter().all(|root| *root == roots[0]));
        let of_the_settings = MasterKey::parse(&Secret::from("00112233445566778899aabbccddeeff".repeat(2))).unwrap();
        assert_ne!(*of_the_settings.derive("a test"), *roots[0], "nothing is derived from the master key itself");
        assert_eq!(houses[0].house().master_keys().await.unwrap().len(), 1);
    }

    async fn a_house_from_before_slots_goes_on_with_its_master_key(place: &Place) {
        let api = Api::on(place).await;
        // As such a house was: what it holds is sealed under the master key itself.
        let master = MasterKey::parse(&Secret::from("00112233445566778899aabbccddeeff".repeat(2))).unwrap();
        let keys: Vec<(String, Vec<u8>)> = api.rows(query("SELECT kid, sealed FROM signing_keys")).await;
        for (kid, sealed) in keys {
            let sealed = master.seal(&kid, &api.test.root_key().open(&kid, &sealed).unwrap()).unwrap();
            api.change(query("UPDATE signing_keys SET sealed = $1 WHERE kid = $2").bind(sealed).bind(kid)).await;
        }
        api.change(query("DELETE FROM key_slots")).await;
        let again = Api::on(place).await;
        again.signup("ada@example.org").await;
        let other = MasterKey::parse(&Secret::from("5a".repeat(32))).unwrap();
        assert_eq!(again.house().add_master_key(&other).await.unwrap_err().code(), tokenhouse::Code::Conflict);
        assert!(again.house().master_keys().await.unwrap().is_empty());
    }

    async fn no_private_key_lies_open_in_the_database(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        api.house().import_key(P256).await.unwrap();
        let disk = on_the_disk(&api, place).await;
        // The 32 bytes of the scalar, as they stand in SEC1 behind its header.
        let sec1 = der(P256_SEC1);
        let scalar = &sec1[7..39];
        assert!(holds(&der(P256), scalar), "the test looks for the right bytes");
        let master = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let raw = HEXLOWER.decode(master.as_bytes()).unwrap();
        let derived = api.test.root_key().derive("refresh tokens");
        for (what, needle) in [
            ("the scalar", scalar),
            ("the master key", raw.as_slice()),
            ("the master key in hex", master.as_bytes()),
            ("the key of refresh tokens", &derived[..]),
            ("a refresh token", tokens.refresh.as_bytes()),
            ("an access token", tokens.access.as_bytes()),
            ("the password", tokenhouse::testing::PASSWORD.as_bytes()),
        ] {
            assert!(!holds(&disk, needle), "{what}");
        }
        assert!(holds(&disk, b"ada@example.org"), "the test reads the database");
    }
}

/// A house that may fail to be built.
async fn built(place: &Place, change: impl FnOnce(&mut Settings)) -> Result<Tokenhouse, BuildError> {
    let master = "00112233445566778899aabbccddeeff".repeat(2);
    Tokenhouse::builder()
        .database(place.url())
        .configure(|settings| settings.master_key = Some(Secret::from(master)))
        .configure(change)
        .weak_hashing()
        .without_jobs()
        .build()
        .await
}
