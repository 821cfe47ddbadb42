//! Passkeys: made, used alone and as a second factor, lost and removed.

use serde_json::{Value, json};
use tokenhouse::settings::{Period, Settings};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{NewUser, Secret, UserId};

use crate::on_both_engines;
use crate::second_factors::{half_way, mfa_token, second_step, texts, with_app};
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, contend, count};
use crate::support::authenticator::{Authenticator, encode};

const ADA: &str = "ada@example.org";

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

async fn creation_options(api: &Api, access: &str) -> Value {
    api.post("/users/me/passkeys/begin", Some(access), Value::Null)
        .await
        .is(200)
        .json()
}

pub async fn enrol(api: &Api, access: &str, device: &mut Authenticator) -> Answer {
    let options = creation_options(api, access).await;
    keep(api, access, &device.create(&options)).await
}

async fn keep(api: &Api, access: &str, credential: &Value) -> Answer {
    api.post(
        "/users/me/passkeys/finish",
        Some(access),
        json!({ "credential": credential, "name": "My phone" }),
    )
    .await
}

async fn request_options(api: &Api, body: Value) -> Value {
    api.post("/auth/passkey/begin", None, body).await.is(200).json()
}

async fn finish(api: &Api, credential: &Value) -> Answer {
    api.post("/auth/passkey/finish", None, json!({ "credential": credential }))
        .await
}

pub async fn log_in(api: &Api, device: &mut Authenticator) -> Answer {
    let options = request_options(api, Value::Null).await;
    finish(api, &device.get(&options)).await
}

async fn with_passkey(api: &Api, email: &str) -> (Tokens, Authenticator) {
    let tokens = api.signup(email).await;
    let mut device = Authenticator::es256();
    enrol(api, &tokens.access, &mut device).await.is(201);
    (tokens, device)
}

async fn list(api: &Api, access: &str) -> Vec<Value> {
    api.get("/users/me/passkeys", Some(access))
        .await
        .is(200)
        .json()
        .as_array()
        .unwrap()
        .clone()
}

/// A session of a user without a password, as a login by mail would open.
async fn without_password(api: &Api, email: &str) -> (UserId, Tokens) {
    let tokens = api.signup(email).await;
    let user = api.house().user_by_name(email).await.unwrap().unwrap();
    api.change(query("DELETE FROM passwords WHERE user_id = $1").bind(user.id))
        .await;
    (user.id, tokens)
}

on_both_engines! {
    async fn a_passkey_logs_in_alone_and_without_a_name(place: &Place) {
        let api = Api::on(place).await;
        for mut device in [Authenticator::es256(), Authenticator::eddsa(), Authenticator::rs256()] {
            let email = format!("{}@example.org", encode(&device.credential_id[..8]).to_lowercase());
            let tokens = api.signup(&email).await;
            let options = creation_options(&api, &tokens.access).await;
            let public = &options["publicKey"];
            assert_eq!(public["rp"]["id"], "localhost");
            assert_eq!(public["attestation"], "none");
            // Nothing of the account can be read off its handle.
            let handle = data_encoding::BASE64URL_NOPAD.decode(public["user"]["id"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(handle.len(), 32);
            let kept = keep(&api, &tokens.access, &device.create(&options)).await.is(201).json();
            assert_eq!(texts(&kept["recovery_codes"]).len(), 10);
            let passkey = &kept["passkey"];
            assert_eq!((&passkey["name"], &passkey["signs_in_alone"]), (&json!("My phone"), &json!(true)));
            assert_eq!((&passkey["backup_eligible"], &passkey["backed_up"]), (&json!(true), &json!(true)));
            assert_eq!(passkey["transports"], json!(["hybrid", "internal"]));
            let options = request_options(&api, Value::Null).await;
            assert_eq!(options["publicKey"]["allowCredentials"], json!([]));
            assert_eq!(options["publicKey"]["userVerification"], "required");
            let answer = finish(&api, &device.get(&options)).await.is(200);
            assert_eq!(answer.json()["user"]["email"], json!(email));
            let tokens = Tokens::of(&answer);
            let sessions = api.sessions(&tokens.access).await;
            assert!(sessions.iter().any(|one| one["method"] == "passkey" && one["current"] == true), "{sessions:?}");
            assert!(list(&api, &tokens.access).await[0]["last_used_at"].is_string());
        }
    }

    async fn a_challenge_is_good_for_one_answer(place: &Place) {
        let api = Api::on(place).await;
        let (tokens, mut device) = with_passkey(&api, ADA).await;
        let options = request_options(&api, Value::Null).await;
        let answer = device.get(&options);
        finish(&api, &answer).await.is(200);
        finish(&api, &answer).await.problem(401, "passkey_invalid");
        finish(&api, &device.get(&options)).await.problem(401, "passkey_invalid");
        // Not for ever.
        let options = request_options(&api, Value::Null).await;
        api.test.advance(std::time::Duration::from_secs(300));
        finish(&api, &device.get(&options)).await.problem(401, "passkey_invalid");
        // And for its own purpose: that of an enrolment logs nobody in, nor the other way round.
        let creation = creation_options(&api, &tokens.access).await;
        finish(&api, &device.get(&creation)).await.problem(401, "passkey_invalid");
        let request = request_options(&api, Value::Null).await;
        let mut other = Authenticator::es256();
        let crossed = other.create(&json!({ "publicKey": { "challenge": request["publicKey"]["challenge"], "user": creation["publicKey"]["user"] } }));
        keep(&api, &tokens.access, &crossed).await.problem(401, "passkey_invalid");
        // One that we did not make.
        let made_up = json!({ "publicKey": { "challenge": encode("made up") } });
        finish(&api, &device.get(&made_up)).await.problem(401, "passkey_invalid");
        let not_text = json!({ "publicKey": { "challenge": encode([0xff; 32]) } });
        finish(&api, &device.get(&not_text)).await.problem(401, "passkey_invalid");
    }

    async fn sixteen_with_one_answer_open_one_session(place: &Place) {
        let api = std::sync::Arc::new(Api::on(place).await);
        let (_, mut device) = with_passkey(&api, ADA).await;
        let answer = device.get(&request_options(&api, Value::Null).await);
        let answers = contend(16, |_| {
            let (api, answer) = (api.clone(), answer.clone());
            async move { finish(&api, &answer).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    async fn sixteen_enrolments_of_one_answer_keep_one_passkey(place: &Place) {
        let api = std::sync::Arc::new(Api::on(place).await);
        let tokens = api.signup(ADA).await;
        let created = Authenticator::es256().create(&creation_options(&api, &tokens.access).await);
        let answers = contend(16, |_| {
            let (api, created, access) = (api.clone(), created.clone(), tokens.access.clone());
            async move { keep(&api, &access, &created).await }
        })
        .await;
        assert_eq!(count(&answers, 201), 1, "{answers:?}");
        assert_eq!(list(&api, &tokens.access).await.len(), 1);
    }

    async fn what_a_browser_elsewhere_was_given_is_refused(place: &Place) {
        let api = Api::on(place).await;
        let (tokens, mut device) = with_passkey(&api, ADA).await;
        type Lie = fn(&mut Authenticator);
        let lies: [(&str, Lie); 8] = [
            ("another origin", |device| device.origin = "http://localhost:8081".to_owned()),
            ("a phisher's origin", |device| device.origin = "https://evil.example".to_owned()),
            ("another domain", |device| device.rp_id = "evil.example".to_owned()),
            ("from within another page", |device| device.cross_origin = true),
            ("nobody there", |device| device.present = false),
            ("nobody verified", |device| device.verifies = false),
            ("another nature", |device| { device.backup_eligible = false; device.backed_up = false; }),
            ("another user", |device| device.user_handle = Some(encode([7; 32]))),
        ];
        for (what, lie) in lies {
            let mut liar = Authenticator::es256();
            std::mem::swap(&mut liar, &mut device);
            let (origin, rp_id, handle) = (liar.origin.clone(), liar.rp_id.clone(), liar.user_handle.clone());
            lie(&mut liar);
            let answer = log_in(&api, &mut liar).await;
            answer.problem(401, "passkey_invalid");
            (liar.origin, liar.rp_id, liar.user_handle) = (origin, rp_id, handle);
            (liar.cross_origin, liar.present, liar.verifies, liar.backup_eligible, liar.backed_up) = (false, true, true, true, true);
            device = liar;
            assert_eq!(log_in(&api, &mut device).await.status, 200, "after {what}");
        }
        // No user named.
        let options = request_options(&api, Value::Null).await;
        let mut nameless = device.get(&options);
        nameless["response"]["userHandle"] = Value::Null;
        finish(&api, &nameless).await.problem(401, "passkey_invalid");
        // Of the other ceremony.
        let options = request_options(&api, Value::Null).await;
        finish(&api, &device.get_as("webauthn.create", &options)).await.problem(401, "passkey_invalid");
        let options = creation_options(&api, &tokens.access).await;
        keep(&api, &tokens.access, &Authenticator::es256().create_as("webauthn.get", &options)).await.problem(401, "passkey_invalid");
        // One that nobody registered, and one whose signature is another's.
        let mut stranger = Authenticator::es256();
        stranger.user_handle = device.user_handle.clone();
        log_in(&api, &mut stranger).await.problem(401, "passkey_invalid");
        stranger.credential_id = device.credential_id.clone();
        log_in(&api, &mut stranger).await.problem(401, "passkey_invalid");
    }

    async fn what_is_no_credential_is_told_so(place: &Place) {
        let api = Api::on(place).await;
        let access = api.signup(ADA).await.access;
        for credential in [json!({}), json!({ "rawId": 5 }), json!({ "rawId": "!", "type": "public-key", "response": {} })] {
            finish(&api, &credential).await.problem(422, "invalid_fields");
            keep(&api, &access, &credential).await.problem(422, "invalid_fields");
        }
        for body in [json!({}), json!({ "credential": "x" }), json!({ "credential": null })] {
            api.post("/auth/passkey/finish", None, body).await.problem(422, "invalid_fields");
        }
        let mut device = Authenticator::es256();
        let mut created = device.create(&creation_options(&api, &access).await);
        created["type"] = json!("password");
        keep(&api, &access, &created).await.problem(401, "passkey_invalid");
        created["type"] = json!("public-key");
        created["rawId"] = json!(encode("another"));
        keep(&api, &access, &created).await.problem(401, "passkey_invalid");
        let long = json!({ "credential": created, "name": "x".repeat(65) });
        api.post("/users/me/passkeys/finish", Some(&access), long).await.problem(422, "invalid_fields");
    }

    async fn a_counter_that_does_not_go_up_is_refused_and_noted(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup(ADA).await;
        let mut device = Authenticator::es256();
        device.counter = 5;
        enrol(&api, &tokens.access, &mut device).await.is(201);
        log_in(&api, &mut device).await.is(200);
        log_in(&api, &mut device).await.is(200);
        // A copy that was made before.
        device.counter = 5;
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
        // One that stands still.
        device.counter = 6;
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
        device.counter = 0;
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
        let noted: Vec<(String,)> = api.rows(query("SELECT data FROM events WHERE kind = 'passkey.counter_regressed'")).await;
        assert_eq!(noted.len(), 3);
        device.counter = 7;
        log_in(&api, &mut device).await.is(200);
    }

    async fn one_with_a_passkey_takes_two_steps_with_the_password(place: &Place) {
        let api = Api::on(place).await;
        let (_, mut device) = with_passkey(&api, ADA).await;
        let due = api.guess(ADA, PASSWORD).await;
        assert_eq!(due.problem(401, "mfa_required")["factors"], json!(["passkey", "recovery_code"]));
        let token = mfa_token(&due);
        let options = request_options(&api, json!({ "mfa_token": token })).await;
        assert_eq!(options["publicKey"]["allowCredentials"][0]["id"], json!(encode(&device.credential_id)));
        // In the second step it need not verify who uses it, nor say whose it is.
        device.verifies = false;
        let mut answer = device.get(&options);
        answer["response"].as_object_mut().unwrap().remove("userHandle");
        // Alone it is nothing.
        finish(&api, &answer).await.problem(401, "passkey_invalid");
        let second = async |token: &str, answer: &Value| {
            api.post("/auth/passkey/finish", None, json!({ "mfa_token": token, "credential": answer })).await
        };
        // Another's passkey is no second factor here.
        let (_, mut eves) = with_passkey(&api, "eve@example.org").await;
        second(&token, &eves.get(&options)).await.problem(401, "passkey_invalid");
        let answer = second(&token, &answer).await.is(200);
        let tokens = Tokens::of(&answer);
        assert!(api.sessions(&tokens.access).await.iter().any(|one| one["method"] == "password+passkey"));
        second(&token, &device.get(&options)).await.problem(401, "mfa_expired");
        // Nor does it end another login that is half way.
        let (one, other) = (half_way(&api, ADA).await, half_way(&api, "eve@example.org").await);
        let options = request_options(&api, json!({ "mfa_token": one })).await;
        second(&other, &device.get(&options)).await.problem(401, "passkey_invalid");
        second_step(&api, &one, "123456").await.problem(401, "mfa_invalid");
    }

    async fn one_that_verifies_nobody_is_a_second_factor_only(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup(ADA).await;
        let mut device = Authenticator::es256();
        device.verifies = false;
        let kept = enrol(&api, &tokens.access, &mut device).await.is(201).json();
        assert_eq!(kept["passkey"]["signs_in_alone"], false);
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
        half_way(&api, ADA).await;
    }

    async fn who_must_have_a_second_factor_may_make_a_passkey_at_login(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.required_for = vec!["*".to_owned()]).await;
        let due = api.post("/auth/signup", None, json!({ "email": ADA, "password": PASSWORD })).await;
        assert_eq!(due.problem(401, "mfa_required")["set_up"], json!(["totp", "passkey"]));
        let token = mfa_token(&due);
        let options = api.post("/auth/mfa/passkey/begin", None, json!({ "mfa_token": token })).await.is(200).json();
        let mut device = Authenticator::es256();
        let body = json!({ "mfa_token": token, "credential": device.create(&options), "name": "Key" });
        let answer = api.post("/auth/mfa/passkey/finish", None, body.clone()).await.is(200);
        assert_eq!(texts(&answer.json()["recovery_codes"]).len(), 10);
        api.post("/auth/mfa/passkey/finish", None, body).await.problem(401, "mfa_expired");
        // Alone it shows two factors, so that nothing more is due.
        let tokens = Tokens::of(&log_in(&api, &mut device).await.is(200));
        let id = list(&api, &tokens.access).await[0]["id"].as_str().unwrap().to_owned();
        api.delete(&format!("/users/me/passkeys/{id}"), Some(&tokens.access), Value::Null).await.problem(409, "second_factor_required");
        assert_eq!(list(&api, &tokens.access).await.len(), 1);
    }

    async fn a_passkey_proves_again_who_one_is(place: &Place) {
        let api = configured(place, |settings| settings.tokens.access_lifetime = Period::minutes(120)).await;
        let (tokens, mut device) = with_passkey(&api, ADA).await;
        api.test.advance(std::time::Duration::from_secs(601));
        api.post("/users/me/passkeys/begin", Some(&tokens.access), Value::Null).await.problem(401, "fresh_proof_required");
        let options = api.post("/auth/reauthenticate/passkey/begin", Some(&tokens.access), Value::Null).await.is(200).json();
        let body = json!({ "credential": device.get(&options) });
        let eve = with_passkey(&api, "eve@example.org").await.0;
        api.post("/auth/reauthenticate/passkey/finish", Some(&eve.access), body.clone()).await.problem(401, "passkey_invalid");
        api.post("/auth/reauthenticate/passkey/finish", Some(&tokens.access), body.clone()).await.is(204);
        api.post("/auth/reauthenticate/passkey/finish", Some(&tokens.access), body).await.problem(401, "passkey_invalid");
        api.post("/users/me/passkeys/begin", Some(&tokens.access), Value::Null).await.is(200);
        let bob = api.signup("bob@example.org").await;
        api.post("/auth/reauthenticate/passkey/begin", Some(&bob.access), Value::Null).await.problem(404, "not_found");
    }

    async fn passkeys_are_listed_named_and_removed(place: &Place) {
        let api = Api::on(place).await;
        let (tokens, mut device) = with_passkey(&api, ADA).await;
        let options = creation_options(&api, &tokens.access).await;
        assert_eq!(options["publicKey"]["excludeCredentials"][0]["id"], json!(encode(&device.credential_id)));
        // The same credential twice is none.
        keep(&api, &tokens.access, &device.create(&options)).await.problem(401, "passkey_invalid");
        let mut key = Authenticator::eddsa();
        key.backup_eligible = false;
        key.backed_up = false;
        api.test.advance(std::time::Duration::from_secs(1));
        let kept = enrol(&api, &tokens.access, &mut key).await.is(201).json();
        assert_eq!(kept["recovery_codes"], json!([]));
        let id = kept["passkey"]["id"].as_str().unwrap().to_owned();
        let path = format!("/users/me/passkeys/{id}");
        api.patch(&path, Some(&tokens.access), json!({ "name": " Key ring " })).await.is(204);
        let named: Vec<_> = list(&api, &tokens.access).await.iter().map(|one| (one["name"].clone(), one["backed_up"].clone())).collect();
        assert_eq!(named, [(json!("My phone"), json!(true)), (json!("Key ring"), json!(false))]);
        for name in ["", "  ", "a\nb"] {
            api.patch(&path, Some(&tokens.access), json!({ "name": name })).await.problem(422, "invalid_fields");
        }
        // Others' are none of mine.
        let eve = api.signup("eve@example.org").await;
        api.patch(&path, Some(&eve.access), json!({ "name": "x" })).await.problem(404, "not_found");
        api.delete(&path, Some(&eve.access), Value::Null).await.problem(404, "not_found");
        api.delete("/users/me/passkeys/x", Some(&tokens.access), Value::Null).await.problem(404, "not_found");
        api.delete(&path, Some(&tokens.access), Value::Null).await.is(204);
        api.delete(&path, Some(&tokens.access), Value::Null).await.problem(404, "not_found");
        log_in(&api, &mut key).await.problem(401, "passkey_invalid");
        log_in(&api, &mut device).await.is(200);
        // With the last one the second step goes, and the recovery codes with it.
        let last = list(&api, &tokens.access).await[0]["id"].as_str().unwrap().to_owned();
        api.delete(&format!("/users/me/passkeys/{last}"), Some(&tokens.access), Value::Null).await.is(204);
        api.login(ADA).await;
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM recovery_codes")).await, [(0,)]);
    }

    async fn nobody_has_more_passkeys_than_the_settings_say(place: &Place) {
        let api = configured(place, |settings| settings.passkeys.max_per_user = 2).await;
        let (tokens, _) = with_passkey(&api, ADA).await;
        let options = creation_options(&api, &tokens.access).await;
        let late = Authenticator::es256().create(&options);
        enrol(&api, &tokens.access, &mut Authenticator::es256()).await.is(201);
        api.post("/users/me/passkeys/begin", Some(&tokens.access), Value::Null).await.problem(403, "forbidden");
        keep(&api, &tokens.access, &late).await.problem(403, "forbidden");
    }

    /// Some browsers do not say that the key can be found again; that it was, says so.
    async fn a_passkey_that_logged_in_alone_is_a_way_in(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup(ADA).await;
        let mut device = Authenticator::es256();
        device.tells = false;
        enrol(&api, &tokens.access, &mut device).await.is(201);
        assert_eq!(list(&api, &tokens.access).await[0]["signs_in_alone"], false);
        log_in(&api, &mut device).await.is(200);
        assert_eq!(list(&api, &tokens.access).await[0]["signs_in_alone"], true);
    }


    async fn the_last_way_in_stays(place: &Place) {
        let api = Api::on(place).await;
        let (_, tokens) = without_password(&api, ADA).await;
        let mut phone = Authenticator::es256();
        enrol(&api, &tokens.access, &mut phone).await.is(201);
        let mut key = Authenticator::es256();
        key.verifies = false;
        api.test.advance(std::time::Duration::from_secs(1));
        enrol(&api, &tokens.access, &mut key).await.is(201);
        let ids: Vec<String> = list(&api, &tokens.access).await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        let remove = async |id: &str| api.delete(&format!("/users/me/passkeys/{id}"), Some(&tokens.access), Value::Null).await;
        // The key would be left, but lets nobody in alone.
        remove(&ids[0]).await.problem(409, "last_way_in");
        remove(&ids[1]).await.is(204);
        remove(&ids[0]).await.problem(409, "last_way_in");
        log_in(&api, &mut phone).await.is(200);
    }

    async fn of_sixteen_who_remove_the_last_two_ways_in_none_removes_both(place: &Place) {
        let api = std::sync::Arc::new(Api::on(place).await);
        let (_, tokens) = without_password(&api, ADA).await;
        for _ in 0..2 {
            enrol(&api, &tokens.access, &mut Authenticator::es256()).await.is(201);
        }
        let ids: Vec<String> = list(&api, &tokens.access).await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        let answers = contend(16, |number| {
            let (api, access, id) = (api.clone(), tokens.access.clone(), ids[number % 2].clone());
            async move { api.delete(&format!("/users/me/passkeys/{id}"), Some(&access), Value::Null).await }
        })
        .await;
        assert_eq!(count(&answers, 204), 1, "{answers:?}");
        assert_eq!(list(&api, &tokens.access).await.len(), 1);
        assert!(answers.iter().all(|answer| [204, 404, 409].contains(&answer.status.as_u16())), "{answers:?}");
    }

    async fn of_an_app_and_a_passkey_each_may_go(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let mut device = Authenticator::es256();
        let kept = enrol(&api, &app.tokens.access, &mut device).await.is(201).json();
        assert_eq!(kept["recovery_codes"], json!([]));
        assert_eq!(api.guess(ADA, PASSWORD).await.problem(401, "mfa_required")["factors"], json!(["totp", "passkey", "recovery_code"]));
        api.delete("/users/me/totp", Some(&app.tokens.access), Value::Null).await.is(204);
        assert_eq!(api.guess(ADA, PASSWORD).await.problem(401, "mfa_required")["factors"], json!(["passkey", "recovery_code"]));
    }

    async fn a_disabled_account_is_told_so_by_its_passkey_only(place: &Place) {
        let api = Api::on(place).await;
        let (_, mut device) = with_passkey(&api, ADA).await;
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().set_user_active(user.id, false).await.unwrap();
        log_in(&api, &mut device).await.problem(403, "account_disabled");
        device.origin = "https://evil.example".to_owned();
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
    }

    async fn a_passkey_ends_with_its_account(place: &Place) {
        let api = Api::on(place).await;
        let (tokens, mut device) = with_passkey(&api, ADA).await;
        api.delete("/users/me", Some(&tokens.access), json!({ "password": PASSWORD })).await.is(204);
        log_in(&api, &mut device).await.problem(401, "passkey_invalid");
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM passkey_handles")).await, [(0,)]);
    }

    async fn an_operator_can_make_an_account_that_has_only_a_passkey(place: &Place) {
        let api = Api::on(place).await;
        let new = NewUser { email: Some(tokenhouse::Email::parse(ADA).unwrap()), ..NewUser::default() };
        api.house().create_user(&new, None).await.unwrap();
        // No password is a password.
        api.guess(ADA, "").await.problem(401, "invalid_credentials");
        let (_, tokens) = without_password(&api, "bob@example.org").await;
        let mut device = Authenticator::es256();
        enrol(&api, &tokens.access, &mut device).await.is(201);
        log_in(&api, &mut device).await.is(200);
    }

    async fn an_application_with_doors_of_its_own_cannot_skip_the_second_step(place: &Place) {
        let api = Api::on(place).await;
        with_passkey(&api, ADA).await;
        let login = tokenhouse::Login { identifier: ADA.to_owned(), password: Secret::from(PASSWORD), scope: None };
        let step = api.house().log_in_with_password(login, &tokenhouse::Origin::default()).await.unwrap();
        assert!(matches!(step, tokenhouse::Step::Need(_)));
        let error = step.done().unwrap_err();
        assert_eq!(error.code(), tokenhouse::Code::MfaRequired);
        assert!(error.members().get("mfa_token").is_some());
        let form = format!("username={}&password={}", ADA.replace('@', "%40"), PASSWORD.replace(' ', "+"));
        api.form("/auth/login", &form).await.problem(401, "mfa_required");
    }
}
