//! The second step of a login: authenticator apps, recovery codes, and proving again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::features::totp::code_of_app;
use tokenhouse::settings::{Period, Settings};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Code, Error, Secret};

use crate::on_both_engines;
use crate::passkeys::enrol;
use crate::password_reset::rows_of;
use crate::support::Place;
use crate::support::api::{Answer, Api, Letter, Tokens, claims, contend, count};
use crate::support::authenticator::Authenticator;

const ADA: &str = "ada@example.org";
const HALF_MINUTE: Duration = Duration::from_secs(30);

/// An account with an authenticator app.
pub struct App {
    pub secret: Secret,
    pub recovery_codes: Vec<String>,
    pub tokens: Tokens,
}

impl App {
    /// What it shows now.
    pub fn code(&self, api: &Api) -> String {
        code_of_app(&self.secret, api.house().clock().now())
    }

    /// A code that nobody has used: that of the next half minute.
    pub fn fresh_code(&self, api: &Api) -> String {
        api.test.advance(HALF_MINUTE);
        self.code(api)
    }
}

/// Signs somebody up and sets up an authenticator app.
pub async fn with_app(api: &Api, email: &str) -> App {
    let tokens = api.signup(email).await;
    set_up_app(api, tokens).await
}

pub async fn set_up_app(api: &Api, tokens: Tokens) -> App {
    let begun = api
        .post("/users/me/totp", Some(&tokens.access), Value::Null)
        .await
        .is(200)
        .json();
    let secret = Secret::from(begun["secret"].as_str().unwrap());
    let code = code_of_app(&secret, api.house().clock().now());
    let confirmed = api
        .post(
            "/users/me/totp/confirm",
            Some(&tokens.access),
            json!({ "code": code }),
        )
        .await
        .is(200)
        .json();
    App {
        secret,
        recovery_codes: texts(&confirmed["recovery_codes"]),
        tokens,
    }
}

pub fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// The `mfa_token` of a login that has come half way.
#[track_caller]
pub fn mfa_token(answer: &Answer) -> String {
    answer.problem(401, "mfa_required")["mfa_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub async fn half_way(api: &Api, email: &str) -> String {
    mfa_token(&api.guess(email, PASSWORD).await)
}

pub async fn second_step(api: &Api, token: &str, code: &str) -> Answer {
    api.post("/auth/mfa", None, json!({ "mfa_token": token, "code": code }))
        .await
}

async fn with_recovery_code(api: &Api, token: &str, code: &str) -> Answer {
    api.post(
        "/auth/mfa",
        None,
        json!({ "mfa_token": token, "recovery_code": code }),
    )
    .await
}

async fn events(api: &Api, kind: &'static str) -> Vec<Value> {
    let rows: Vec<(String,)> = api
        .rows(query("SELECT data FROM events WHERE kind = $1 ORDER BY id").bind(kind))
        .await;
    rows.iter()
        .map(|(data,)| serde_json::from_str(data).unwrap())
        .collect()
}

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

fn stale(api: &Api) {
    api.test.advance(Duration::from_secs(11 * 60));
}

/// Somebody has shown that mail to Ada arrives.
async fn verified(api: &Api) {
    api.change(query("UPDATE users SET email_verified_at = 0 WHERE email_key = $1").bind(ADA))
        .await;
}

/// Ada, whose address is verified.
async fn with_address(api: &Api) -> Tokens {
    let ada = api.signup(ADA).await;
    verified(api).await;
    api.mails().await;
    ada
}

/// Follows the link of the mail that told of the first factor.
async fn undo(api: &Api, letter: &Letter) -> Answer {
    api.post("/auth/factors/undo", None, json!({ "token": letter.token }))
        .await
}

/// The code in the last mail of this kind.
pub async fn mailed_code(api: &Api, kind: &str) -> String {
    let mails = api.test.mails().await;
    let mail = mails
        .iter()
        .rev()
        .find(|mail| mail.kind == kind)
        .unwrap_or_else(|| panic!("no {kind} in {mails:?}"));
    let words: Vec<&str> = mail.text.split_whitespace().collect();
    let is_half = |word: &str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let pair = words.windows(2).find(|pair| is_half(pair[0]) && is_half(pair[1]));
    let pair = pair.unwrap_or_else(|| panic!("no code in {}", mail.text));
    format!("{} {}", pair[0], pair[1])
}

on_both_engines! {
    async fn a_login_with_an_app_takes_two_steps(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        assert_eq!(app.recovery_codes.len(), 10);
        let due = api.guess(ADA, PASSWORD).await;
        let problem = due.problem(401, "mfa_required");
        assert_eq!(problem["factors"], json!(["totp", "recovery_code"]));
        assert_eq!(problem["expires_in"], 600);
        assert!(problem["access_token"].is_null() && problem["user"].is_null());
        let code = app.fresh_code(&api);
        let answer = second_step(&api, &mfa_token(&due), &code).await.is(200);
        assert_eq!(answer.json()["user"]["email"], ADA);
        let tokens = Tokens::of(&answer);
        api.me(&tokens.access).await.is(200);
        let sessions = api.sessions(&tokens.access).await;
        assert_eq!(sessions.iter().filter(|one| one["method"] == "password+totp").count(), 1);
        api.refresh(&tokens.refresh).await.is(200);
        assert_eq!(events(&api, "login.second_factor_due").await, [json!({ "method": "password" })]);
        assert_eq!(events(&api, "factor.added").await, [json!({ "factor": "totp" })]);
    }

    async fn nothing_counts_before_a_code_came_back(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup(ADA).await;
        let confirm = async |code: &str| {
            api.post("/users/me/totp/confirm", Some(&tokens.access), json!({ "code": code })).await
        };
        confirm("000000").await.problem(404, "not_found");
        let begun = api.post("/users/me/totp", Some(&tokens.access), Value::Null).await.is(200).json();
        let secret = Secret::from(begun["secret"].as_str().unwrap());
        assert!(begun["otpauth_uri"].as_str().unwrap().contains(secret.expose()));
        assert!(begun["qr_svg"].as_str().unwrap().starts_with("<svg "));
        api.login(ADA).await;
        let wrong = code_of_app(&secret, "2020-01-01T00:00:00Z".parse().unwrap());
        confirm(&wrong).await.problem(401, "mfa_invalid");
        api.login(ADA).await;
        // A second begin takes the place of the first.
        let again = api.post("/users/me/totp", Some(&tokens.access), Value::Null).await.is(200).json();
        confirm(&code_of_app(&secret, api.house().clock().now())).await.problem(401, "mfa_invalid");
        let secret = Secret::from(again["secret"].as_str().unwrap());
        api.test.advance(Duration::from_secs(1801));
        api.post("/auth/reauthenticate/password", Some(&api.login(ADA).await.access), json!({ "password": PASSWORD })).await.is(204);
        let tokens = api.login(ADA).await;
        let late = api.post("/users/me/totp/confirm", Some(&tokens.access), json!({ "code": code_of_app(&secret, api.house().clock().now()) })).await;
        late.problem(404, "not_found");
        api.house().tend().await.unwrap();
        assert!(api.rows::<(i64,)>(query("SELECT expires_at FROM totp_enrolments")).await.is_empty());
        api.login(ADA).await;
    }

    async fn each_code_works_once(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        // The one that confirmed it is spent.
        second_step(&api, &half_way(&api, ADA).await, &app.code(&api)).await.problem(401, "mfa_invalid");
        let code = app.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(401, "mfa_invalid");
        // Nor does an older one, though a clock that is behind would still show it.
        let older = code_of_app(&app.secret, api.house().clock().now() - HALF_MINUTE);
        second_step(&api, &half_way(&api, ADA).await, &older).await.problem(401, "mfa_invalid");
        api.post("/auth/reauthenticate", Some(&app.tokens.access), json!({ "code": code })).await.problem(401, "mfa_invalid");
    }

    async fn sixteen_with_one_code_let_one_in(place: &Place) {
        let api = std::sync::Arc::new(configured(place, |settings| settings.rate_limit.account_enabled = false).await);
        let app = with_app(&api, ADA).await;
        let mut tokens = Vec::new();
        for _ in 0..16 {
            tokens.push(half_way(&api, ADA).await);
        }
        let code = app.fresh_code(&api);
        let answers = contend(16, |number| {
            let (api, code, token) = (api.clone(), code.clone(), tokens[number].clone());
            async move { second_step(&api, &token, &code).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    async fn sixteen_with_one_recovery_code_let_one_in(place: &Place) {
        let api = std::sync::Arc::new(configured(place, |settings| settings.rate_limit.account_enabled = false).await);
        let app = with_app(&api, ADA).await;
        let mut tokens = Vec::new();
        for _ in 0..16 {
            tokens.push(half_way(&api, ADA).await);
        }
        let answers = contend(16, |number| {
            let (api, code, token) = (api.clone(), app.recovery_codes[0].clone(), tokens[number].clone());
            async move { with_recovery_code(&api, &token, &code).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    async fn sixteen_with_one_mfa_token_open_one_session(place: &Place) {
        let api = std::sync::Arc::new(configured(place, |settings| settings.rate_limit.account_enabled = false).await);
        let app = with_app(&api, ADA).await;
        let token = half_way(&api, ADA).await;
        let answers = contend(5, |number| {
            let (api, token, code) = (api.clone(), token.clone(), app.recovery_codes[number].clone());
            async move { with_recovery_code(&api, &token, &code).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 4), "{answers:?}");
        // Who lost did not lose a code.
        let left = api.get("/users/me/factors", Some(&Tokens::of(answers.iter().find(|one| one.status == 200).unwrap()).access)).await.is(200);
        assert_eq!(left.json()["recovery_codes_left"], 9);
    }

    async fn a_recovery_code_stands_in_once(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let code = &app.recovery_codes[3];
        let typed = code.to_lowercase().replace('-', " ");
        let answer = with_recovery_code(&api, &half_way(&api, ADA).await, &typed).await.is(200);
        let tokens = Tokens::of(&answer);
        let factors = api.get("/users/me/factors", Some(&tokens.access)).await.is(200).json();
        assert_eq!(factors, json!({ "factors": ["totp"], "required": false, "recovery_codes_left": 9 }));
        assert_eq!(events(&api, "recovery_code.used").await, [json!({ "left": 9 })]);
        with_recovery_code(&api, &half_way(&api, ADA).await, code).await.problem(401, "mfa_invalid");
        // A code of one is nothing at the account of another.
        let eve = with_app(&api, "eve@example.org").await;
        with_recovery_code(&api, &half_way(&api, ADA).await, &eve.recovery_codes[0]).await.problem(401, "mfa_invalid");
        // A recovery code is no code, nor the other way round.
        second_step(&api, &half_way(&api, ADA).await, &app.recovery_codes[4]).await.problem(401, "mfa_invalid");
        let shown = app.fresh_code(&api);
        with_recovery_code(&api, &half_way(&api, ADA).await, &shown).await.problem(401, "mfa_invalid");
        // New ones end the old ones.
        let made = api.post("/users/me/recovery-codes", Some(&tokens.access), Value::Null).await.is(201).json();
        let fresh = texts(&made["recovery_codes"]);
        with_recovery_code(&api, &half_way(&api, ADA).await, &app.recovery_codes[5]).await.problem(401, "mfa_invalid");
        with_recovery_code(&api, &half_way(&api, ADA).await, &fresh[0]).await.is(200);
    }

    async fn the_database_holds_neither_secret_nor_codes(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let raw = data_encoding::BASE32_NOPAD.decode(app.secret.expose().as_bytes()).unwrap();
        let sealed: Vec<(Vec<u8>,)> = api.rows(query("SELECT sealed FROM totp")).await;
        assert_eq!(sealed.len(), 1);
        assert!(!sealed[0].0.windows(raw.len()).any(|window| window == raw));
        let digests: Vec<(Vec<u8>,)> = api.rows(query("SELECT digest FROM recovery_codes")).await;
        assert_eq!(digests.len(), 10);
        for code in &app.recovery_codes {
            let letters = code.replace('-', "");
            let bytes = data_encoding::BASE32_NOPAD.decode(letters.as_bytes()).unwrap();
            for (digest,) in &digests {
                assert!(!digest.windows(bytes.len()).any(|window| window == bytes));
            }
        }
        // A sealed secret that was moved to another account opens nothing there.
        let eve = with_app(&api, "eve@example.org").await;
        api.change(query("UPDATE totp SET sealed = (SELECT sealed FROM totp WHERE user_id <> (SELECT id FROM users WHERE email_key = $1)) WHERE user_id = (SELECT id FROM users WHERE email_key = $1)").bind(ADA)).await;
        let code = eve.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(500, "internal");
    }

    async fn the_mfa_token_is_nothing_but_the_way_to_the_second_step(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let token = half_way(&api, ADA).await;
        api.me(&token).await.problem(401, "token_invalid");
        api.refresh(&token).await.problem(401, "refresh_invalid");
        api.post("/auth/logout", None, json!({ "refresh_token": token })).await.problem(401, "refresh_invalid");
        // Nor is anything else the way there.
        for other in [&app.tokens.access, &app.tokens.refresh, &app.recovery_codes[0], "", "x"] {
            let code = app.fresh_code(&api);
            second_step(&api, other, &code).await.problem(401, "mfa_expired");
        }
        // It is good for one login.
        let code = app.fresh_code(&api);
        second_step(&api, &token, &code).await.is(200);
        let code = app.fresh_code(&api);
        second_step(&api, &token, &code).await.problem(401, "mfa_expired");
        // Not for ever.
        let token = half_way(&api, ADA).await;
        api.test.advance(Duration::from_secs(600));
        let code = app.fresh_code(&api);
        second_step(&api, &token, &code).await.problem(401, "mfa_expired");
        // It does not set anything up, since there is something to show.
        let token = half_way(&api, ADA).await;
        api.post("/auth/mfa/totp", None, json!({ "mfa_token": token })).await.problem(403, "forbidden");
        api.post("/auth/mfa/totp/confirm", None, json!({ "mfa_token": token, "code": "123456" })).await.problem(403, "forbidden");
    }

    async fn a_change_of_the_account_ends_what_was_half_way(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let token = half_way(&api, ADA).await;
        api.change_password(&app.tokens.access, PASSWORD, "another long password").await.is(204);
        let code = app.fresh_code(&api);
        second_step(&api, &token, &code).await.problem(401, "mfa_expired");
        let token = mfa_token(&api.guess(ADA, "another long password").await);
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().set_user_active(user.id, false).await.unwrap();
        second_step(&api, &token, &code).await.problem(403, "account_disabled");
        api.house().set_user_active(user.id, true).await.unwrap();
        second_step(&api, &token, &code).await.problem(401, "mfa_expired");
        let token = mfa_token(&api.guess(ADA, "another long password").await);
        api.house().delete_user(user.id, &tokenhouse::Origin::default()).await.unwrap();
        second_step(&api, &token, &code).await.problem(401, "mfa_expired");
    }

    async fn with_the_first_factor_whoever_came_without_is_out(place: &Place) {
        let api = Api::on(place).await;
        let before = api.signup(ADA).await;
        let enrolling = api.login(ADA).await;
        let app = set_up_app(&api, enrolling).await;
        api.refresh(&before.refresh).await.problem(401, "refresh_invalid");
        api.me(&before.access).await.problem(401, "token_revoked");
        api.me(&app.tokens.access).await.is(200);
        api.refresh(&app.tokens.refresh).await.is(200);
    }

    async fn guessing_codes_does_not_begin_anew_with_each_login(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let mut refused = 0;
        for _ in 0..4 {
            let token = half_way(&api, ADA).await;
            for _ in 0..5 {
                let answer = second_step(&api, &token, "00000x").await;
                match answer.status.as_u16() {
                    401 => { answer.problem(401, "mfa_invalid"); refused += 1; }
                    _ => { assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 600); answer.problem(429, "account_locked"); }
                }
            }
            // The ticket has no try left, whatever the brake says.
            second_step(&api, &token, "00000x").await.problem(401, "mfa_expired");
        }
        assert_eq!(refused, 10, "codes that were looked at");
        // The right one is not looked at either,
        let code = app.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(429, "account_locked");
        // but the owner is not locked out: a recovery code gets in,
        with_recovery_code(&api, &half_way(&api, ADA).await, &app.recovery_codes[0]).await.is(200);
        // and after ten minutes the next code.
        api.test.advance(Duration::from_secs(600));
        let code = app.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
        // Which does not forgive the wrong ones.
        let token = half_way(&api, ADA).await;
        second_step(&api, &token, "00000x").await.problem(401, "mfa_invalid");
        second_step(&api, &token, "00000x").await.problem(429, "account_locked");
        assert_eq!(events(&api, "login.second_factor_failed").await.len(), 11);
    }

    async fn a_thief_does_not_slow_the_owner_where_the_owner_has_been(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": ADA, "password": PASSWORD });
        let tokens = Tokens::of(&api.post_from("203.0.113.9", "/auth/signup", body.clone()).await.is(201));
        let app = set_up_app(&api, tokens).await;
        let from = async |address: &str, code: &str| {
            let token = mfa_token(&api.post_from(address, "/auth/login", body.clone()).await);
            api.post_from(address, "/auth/mfa", json!({ "mfa_token": token, "code": code })).await
        };
        for number in 0..12 {
            from(&format!("198.51.{number}.1"), "00000x").await;
        }
        from("192.0.2.1", "00000x").await.problem(429, "account_locked");
        let code = app.fresh_code(&api);
        from("203.0.113.9", &code).await.is(200);
    }

    async fn codes_that_are_right_are_not_counted(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        for _ in 0..15 {
            let code = app.fresh_code(&api);
            second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
        }
    }

    async fn changing_what_is_logged_in_with_needs_a_fresh_proof(place: &Place) {
        let api = configured(place, |settings| settings.tokens.access_lifetime = Period::minutes(120)).await;
        let tokens = api.signup(ADA).await;
        stale(&api);
        let answer = api.post("/users/me/totp", Some(&tokens.access), Value::Null).await;
        assert_eq!(answer.problem(401, "fresh_proof_required")["max_age"], 600);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("error=\"insufficient_user_authentication\"") && challenge.ends_with("max_age=\"600\""), "{challenge}");
        // A refresh proves nothing.
        let tokens = Tokens::of(&api.refresh(&tokens.refresh).await.is(200));
        api.post("/users/me/totp", Some(&tokens.access), Value::Null).await.problem(401, "fresh_proof_required");
        let again = async |password: &str| {
            api.post("/auth/reauthenticate/password", Some(&tokens.access), json!({ "password": password })).await
        };
        again("wrong password").await.problem(401, "invalid_credentials");
        api.post("/users/me/totp", Some(&tokens.access), Value::Null).await.problem(401, "fresh_proof_required");
        again(PASSWORD).await.is(204);
        let app = set_up_app(&api, tokens.clone()).await;
        // With a second factor that is what must be shown, for everything.
        stale(&api);
        let access = Some(tokens.access.as_str());
        again(PASSWORD).await.problem(401, "fresh_proof_required");
        let doors = async || {
            [
                api.post("/users/me/totp", access, Value::Null).await,
                api.post("/users/me/totp/confirm", access, json!({ "code": "123456" })).await,
                api.delete("/users/me/totp", access, Value::Null).await,
                api.post("/users/me/recovery-codes", access, Value::Null).await,
                api.change_password(&tokens.access, PASSWORD, "another long password").await,
                api.delete("/users/me", access, json!({ "password": PASSWORD })).await,
            ]
        };
        for answer in doors().await {
            answer.problem(401, "fresh_proof_required");
        }
        let prove = async |body: Value| api.post("/auth/reauthenticate", access, body).await;
        prove(json!({ "code": "00000x" })).await.problem(401, "mfa_invalid");
        prove(json!({})).await.problem(422, "invalid_fields");
        prove(json!({ "code": "1", "recovery_code": "2" })).await.problem(422, "invalid_fields");
        for answer in doors().await {
            answer.problem(401, "fresh_proof_required");
        }
        prove(json!({ "code": app.fresh_code(&api) })).await.is(204);
        api.post("/users/me/recovery-codes", access, Value::Null).await.is(201);
        stale(&api);
        api.post("/users/me/recovery-codes", access, Value::Null).await.problem(401, "fresh_proof_required");
        prove(json!({ "recovery_code": app.recovery_codes[0] })).await.problem(401, "mfa_invalid");
        assert_eq!(events(&api, "session.proven_again").await, [json!({ "method": "password" }), json!({ "method": "totp" })]);
    }

    async fn a_proof_is_of_one_session(place: &Place) {
        let api = Api::on(place).await;
        let (one, other) = (api.signup(ADA).await, api.login(ADA).await);
        stale(&api);
        api.post("/auth/reauthenticate/password", Some(&one.access), json!({ "password": PASSWORD })).await.is(204);
        api.post("/users/me/totp", Some(&other.access), Value::Null).await.problem(401, "fresh_proof_required");
        api.post("/users/me/totp", Some(&one.access), Value::Null).await.is(200);
    }

    async fn an_app_is_replaced_when_the_new_one_is_confirmed(place: &Place) {
        let api = Api::on(place).await;
        let old = with_app(&api, ADA).await;
        let other = {
            let code = old.fresh_code(&api);
            Tokens::of(&second_step(&api, &half_way(&api, ADA).await, &code).await.is(200))
        };
        let begun = api.post("/users/me/totp", Some(&other.access), Value::Null).await.is(200).json();
        let code = old.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
        let secret = Secret::from(begun["secret"].as_str().unwrap());
        let code = code_of_app(&secret, api.house().clock().now());
        let confirmed = api.post("/users/me/totp/confirm", Some(&other.access), json!({ "code": code })).await.is(200);
        assert_eq!(confirmed.json(), json!({ "recovery_codes": [] }));
        api.refresh(&old.tokens.refresh).await.is(200);
        let code = old.fresh_code(&api);
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(401, "mfa_invalid");
        let code = code_of_app(&secret, api.house().clock().now());
        second_step(&api, &half_way(&api, ADA).await, &code).await.is(200);
    }

    async fn without_its_app_an_account_is_as_before(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let half = half_way(&api, ADA).await;
        api.delete("/users/me/totp", Some(&app.tokens.access), Value::Null).await.is(204);
        api.delete("/users/me/totp", Some(&app.tokens.access), Value::Null).await.problem(404, "not_found");
        with_recovery_code(&api, &half, &app.recovery_codes[0]).await.problem(401, "mfa_expired");
        let tokens = api.login(ADA).await;
        api.post("/users/me/recovery-codes", Some(&tokens.access), Value::Null).await.problem(404, "not_found");
        assert_eq!(events(&api, "factor.removed").await, [json!({ "factor": "totp" })]);
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM recovery_codes")).await, [(0,)]);
    }

    async fn who_must_have_a_second_factor_sets_it_up_before_getting_in(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.required_for = vec!["editor".to_owned()]).await;
        let tokens = api.signup(ADA).await;
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().set_user_rights(user.id, false, &["editor".to_owned()]).await.unwrap();
        // Her session was opened without one.
        api.me(&tokens.access).await.problem(401, "token_revoked");
        api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        let due = api.guess(ADA, PASSWORD).await;
        let problem = due.problem(401, "mfa_required");
        assert_eq!(problem["factors"], json!([]));
        assert!(texts(&problem["set_up"]).contains(&"totp".to_owned()), "{problem}");
        let token = mfa_token(&due);
        // It opens nothing else.
        api.me(&token).await.problem(401, "token_invalid");
        second_step(&api, &token, "123456").await.problem(401, "mfa_invalid");
        let begun = api.post("/auth/mfa/totp", None, json!({ "mfa_token": token })).await.is(200).json();
        let confirm = async |code: &str| api.post("/auth/mfa/totp/confirm", None, json!({ "mfa_token": token, "code": code })).await;
        confirm("00000x").await.problem(401, "mfa_invalid");
        let secret = Secret::from(begun["secret"].as_str().unwrap());
        let answer = confirm(&code_of_app(&secret, api.house().clock().now())).await.is(200);
        assert_eq!(texts(&answer.json()["recovery_codes"]).len(), 10);
        let tokens = Tokens::of(&answer);
        api.me(&tokens.access).await.is(200);
        assert_eq!(api.sessions(&tokens.access).await.len(), 1);
        assert_eq!(api.sessions(&tokens.access).await[0]["method"], "password+totp");
        confirm("123456").await.problem(401, "mfa_expired");
        // And keeps it.
        api.delete("/users/me/totp", Some(&tokens.access), Value::Null).await.problem(409, "second_factor_required");
        api.test.advance(HALF_MINUTE);
        second_step(&api, &half_way(&api, ADA).await, &code_of_app(&secret, api.house().clock().now())).await.is(200);
        // Who has one stays logged in, whatever is granted.
        api.house().set_user_rights(user.id, true, &["editor".to_owned(), "admin".to_owned()]).await.unwrap();
        api.me(&tokens.access).await.is(200);
        // Others need none, and lose nothing by other rights.
        let bob = api.signup("bob@example.org").await;
        let id = api.house().user_by_name("bob@example.org").await.unwrap().unwrap().id;
        api.house().set_user_rights(id, false, &["reader".to_owned()]).await.unwrap();
        api.me(&bob.access).await.is(200);
        api.login("bob@example.org").await;
    }

    async fn no_login_under_way_slips_past_a_role_that_demands_a_second_factor(place: &Place) {
        let api = std::sync::Arc::new(
            configured(place, |settings| {
                settings.second_factors.required_for = vec!["editor".to_owned()];
                settings.rate_limit.account_enabled = false;
            })
            .await,
        );
        api.signup(ADA).await;
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap().id;
        let answers = contend(16, |number| {
            let api = api.clone();
            async move {
                if number == 7 {
                    api.house().set_user_rights(user, false, &["editor".to_owned()]).await.unwrap();
                    return 0;
                }
                api.guess(ADA, PASSWORD).await.status.as_u16()
            }
        })
        .await;
        assert!(answers.iter().all(|status| [0, 200, 401].contains(status)), "{answers:?}");
        // Whoever got in before is out, and nobody got in after.
        assert!(api.house().sessions(user).await.unwrap().is_empty());
    }

    async fn an_operator_removes_the_factors_of_somebody_who_lost_them(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let half = half_way(&api, ADA).await;
        let user = api.house().user_by_name(ADA).await.unwrap().unwrap();
        api.house().remove_factors(&user).await.unwrap();
        api.me(&app.tokens.access).await.problem(401, "token_revoked");
        with_recovery_code(&api, &half, &app.recovery_codes[0]).await.problem(401, "mfa_expired");
        // The password is still asked for, and is enough now.
        api.guess(ADA, "wrong password").await.problem(401, "invalid_credentials");
        let tokens = api.login(ADA).await;
        let factors = api.get("/users/me/factors", Some(&tokens.access)).await.is(200).json();
        assert_eq!(factors, json!({ "factors": [], "required": false, "recovery_codes_left": 0 }));
        assert_eq!(events(&api, "factors.removed_by_operator").await.len(), 1);
    }

    async fn an_application_is_asked_before_each_login_and_may_refuse(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.before_login(|tx, attempt| {
                Box::pin(async move {
                    // In the transaction of the login.
                    let seen: (i64,) = query("SELECT COUNT(*) FROM users WHERE id = $1").bind(attempt.user.id).one(tx).await?;
                    if attempt.user.profile.contains_key("unpaid") {
                        return Err(Error::new(Code::Forbidden, "pay the last bill first"));
                    }
                    let claims = json!({ "by": attempt.method, "seen": seen.0, "sub": "somebody else" });
                    Ok(claims.as_object().cloned().unwrap_or_default())
                })
            })
        })
        .await;
        let app = with_app(&api, ADA).await;
        assert_eq!(claims(&app.tokens.access)["by"], "password");
        let token = half_way(&api, ADA).await;
        let answer = second_step(&api, &token, &app.fresh_code(&api)).await.is(200);
        let tokens = Tokens::of(&answer);
        let said = claims(&tokens.access);
        assert_eq!((&said["by"], &said["seen"]), (&json!("password+totp"), &json!(1)));
        assert_ne!(said["sub"], "somebody else");
        // They stay with the session.
        let tokens = Tokens::of(&api.refresh(&tokens.refresh).await.is(200));
        assert_eq!(claims(&tokens.access)["by"], "password+totp");
        // Refused, whichever way: nothing is left of it, not even a used code.
        api.patch("/users/me", Some(&tokens.access), json!({ "profile": { "unpaid": true } })).await.is(200);
        let (sessions, code) = (api.sessions(&tokens.access).await.len(), app.fresh_code(&api));
        let token = half_way(&api, ADA).await;
        assert_eq!(second_step(&api, &token, &code).await.problem(403, "forbidden")["detail"], "pay the last bill first");
        assert_eq!(api.sessions(&tokens.access).await.len(), sessions);
        api.patch("/users/me", Some(&tokens.access), json!({ "profile": {} })).await.is(200);
        second_step(&api, &token, &code).await.is(200);
    }

    async fn an_application_is_asked_after_each_sign_up_and_may_refuse(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.after_sign_up(|tx, user| {
                Box::pin(async move {
                    if user.profile.contains_key("robot") {
                        return Err(Error::new(Code::Forbidden, "people only"));
                    }
                    query("UPDATE users SET roles = $1 WHERE id = $2").bind("[\"member\"]").bind(user.id).execute(tx).await?;
                    Ok(())
                })
            })
        })
        .await;
        let tokens = api.signup(ADA).await;
        assert_eq!(api.me(&tokens.access).await.is(200).json()["roles"], json!(["member"]));
        let robot = json!({ "email": "robot@example.org", "password": PASSWORD, "profile": { "robot": true } });
        api.post("/auth/signup", None, robot).await.problem(403, "forbidden");
        assert!(api.house().user_by_name("robot@example.org").await.unwrap().is_none());
    }

    async fn a_login_by_mail_takes_the_second_step_too(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.email_code = true).await;
        let app = with_app(&api, ADA).await;
        verified(&api).await;
        api.post("/auth/magic/request", None, json!({ "email": ADA })).await.is(202);
        let code = mailed_code(&api, "magic").await;
        let due = api.post("/auth/magic", None, json!({ "email": ADA, "code": code })).await;
        // A code by mail would show what the mail has shown.
        assert_eq!(due.problem(401, "mfa_required")["factors"], json!(["totp", "recovery_code"]));
        let token = mfa_token(&due);
        api.post("/auth/mfa/email", None, json!({ "mfa_token": token })).await.problem(403, "forbidden");
        let code = app.fresh_code(&api);
        let tokens = Tokens::of(&second_step(&api, &token, &code).await.is(200));
        assert!(api.sessions(&tokens.access).await.iter().any(|one| one["method"] == "magic+totp"));
    }

    async fn a_password_that_was_reset_is_no_second_factor(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        verified(&api).await;
        api.post("/auth/password/forgot", None, json!({ "email": ADA })).await.is(202);
        let code = mailed_code(&api, "reset").await;
        let body = json!({ "email": ADA, "code": code, "new_password": "another long password" });
        let answer = api.post("/auth/password/reset", None, body).await.is(204);
        assert!(answer.body.is_empty());
        let token = mfa_token(&api.guess(ADA, "another long password").await);
        let code = app.fresh_code(&api);
        second_step(&api, &token, &code).await.is(200);
    }

    async fn a_code_by_mail_stands_in_where_the_settings_let_it(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.email_code = true).await;
        let app = with_app(&api, ADA).await;
        let factors = async || api.guess(ADA, PASSWORD).await.problem(401, "mfa_required")["factors"].clone();
        // To an address that nobody has shown to be theirs none is sent.
        assert_eq!(factors().await, json!(["totp", "recovery_code"]));
        verified(&api).await;
        assert_eq!(factors().await, json!(["totp", "email_code", "recovery_code"]));
        let token = half_way(&api, ADA).await;
        api.post("/auth/mfa/email", None, json!({ "mfa_token": "x" })).await.problem(401, "mfa_expired");
        api.post("/auth/mfa/email", None, json!({ "mfa_token": token })).await.is(202);
        let first = mailed_code(&api, "second_step").await;
        api.post("/auth/mfa/email", None, json!({ "mfa_token": token })).await.is(202);
        let code = mailed_code(&api, "second_step").await;
        second_step(&api, &token, &first).await.problem(401, "mfa_invalid");
        let tokens = Tokens::of(&second_step(&api, &token, &code).await.is(200));
        second_step(&api, &half_way(&api, ADA).await, &code).await.problem(401, "mfa_invalid");
        // Not the code of another account, nor one for another purpose.
        let eve = api.signup("eve@example.org").await;
        drop(eve);
        api.post("/auth/magic/request", None, json!({ "email": ADA })).await.is(202);
        let magic = mailed_code(&api, "magic").await;
        second_step(&api, &half_way(&api, ADA).await, &magic).await.problem(401, "mfa_invalid");
        // And it proves again who one is.
        stale(&api);
        api.post("/users/me/recovery-codes", Some(&tokens.access), Value::Null).await.problem(401, "fresh_proof_required");
        api.post("/auth/reauthenticate/email", Some(&tokens.access), Value::Null).await.is(202);
        let code = mailed_code(&api, "second_step").await;
        api.post("/auth/reauthenticate", Some(&tokens.access), json!({ "code": code })).await.is(204);
        api.post("/users/me/recovery-codes", Some(&tokens.access), Value::Null).await.is(201);
        // It makes no second step due by itself.
        api.delete("/users/me/totp", Some(&tokens.access), Value::Null).await.is(204);
        api.login(ADA).await;
        drop(app);
    }

    /// A mailbox that chooses the password and then gets the code would be both factors.
    async fn a_password_that_was_chosen_by_mail_is_not_followed_by_a_code_by_mail(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.email_code = true).await;
        let app = set_up_app(&api, with_address(&api).await).await;
        let reset = async |new: &str| {
            api.mails().await;
            api.post("/auth/password/forgot", None, json!({ "email": ADA })).await.is(202);
            let letter = api.mail("reset", ADA).await;
            let body = json!({ "token": letter.token, "new_password": new });
            api.post("/auth/password/reset", None, body).await.is(204);
        };
        let factors = async |password: &str| {
            let answer = api.guess(ADA, password).await;
            (mfa_token(&answer), texts(&answer.json()["factors"]))
        };
        reset("another long password").await;
        let (half, offered) = factors("another long password").await;
        assert_eq!(offered, ["totp", "recovery_code"]);
        api.post("/auth/mfa/email", None, json!({ "mfa_token": half })).await.problem(403, "forbidden");
        // Logging in by mail with the app says nothing about the password.
        api.mails().await;
        api.post("/auth/magic/request", None, json!({ "email": ADA })).await.is(202);
        let letter = api.mail("magic", ADA).await;
        let half = mfa_token(&api.post("/auth/magic", None, json!({ "token": letter.token })).await);
        let code = app.fresh_code(&api);
        second_step(&api, &half, &code).await.is(200);
        let (half, offered) = factors("another long password").await;
        assert_eq!(offered, ["totp", "recovery_code"]);
        // Whoever knows the password and has the app is the owner; from then on the password is one again.
        let code = app.fresh_code(&api);
        let tokens = Tokens::of(&second_step(&api, &half, &code).await.is(200));
        let (half, offered) = factors("another long password").await;
        assert_eq!(offered, ["totp", "email_code", "recovery_code"]);
        api.post("/auth/mfa/email", None, json!({ "mfa_token": half })).await.is(202);
        // And so is one that was changed by somebody who was in.
        reset("a third long password").await;
        let (half, _) = factors("a third long password").await;
        with_recovery_code(&api, &half, &app.recovery_codes[0]).await.is(200);
        let (_, offered) = factors("a third long password").await;
        assert_eq!(offered, ["totp", "email_code", "recovery_code"]);
        drop(tokens);
    }

    async fn without_the_setting_no_code_is_mailed(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        verified(&api).await;
        let token = half_way(&api, ADA).await;
        api.post("/auth/mfa/email", None, json!({ "mfa_token": token })).await.problem(403, "forbidden");
        api.post("/auth/reauthenticate/email", Some(&app.tokens.access), Value::Null).await.problem(403, "forbidden");
        assert!(api.test.mails().await.iter().all(|mail| mail.kind != "second_step"));
    }

    async fn people_are_told_of_every_change(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let codes = api.post("/users/me/recovery-codes", Some(&app.tokens.access), Value::Null).await.is(201).json();
        let half = half_way(&api, ADA).await;
        with_recovery_code(&api, &half, &texts(&codes["recovery_codes"])[0]).await.is(200);
        api.delete("/users/me/totp", Some(&app.tokens.access), Value::Null).await.is(204);
        let told: Vec<_> = api.test.mails().await.iter().map(|mail| mail.kind.clone()).collect();
        for kind in ["factor_added", "recovery_codes", "recovery_code_used", "factor_removed"] {
            assert!(told.contains(&kind.to_owned()), "{kind}: {told:?}");
        }
    }

    /// A phished password, and then a second step of the thief's: no new password would let the owner in.
    async fn whoever_was_locked_out_by_a_first_factor_takes_it_back(place: &Place) {
        let api = Api::on(place).await;
        let ada = with_address(&api).await;
        let thief = set_up_app(&api, api.login(ADA).await).await;
        api.me(&ada.access).await.problem(401, "token_revoked");
        let letter = api.mail("first_factor", ADA).await;
        assert!(letter.link.starts_with("http://localhost:8080/account/factors/undo?token="), "{letter:?}");
        undo(&api, &letter).await.is(204);
        let reset = api.mail("reset", ADA).await;
        api.me(&thief.tokens.access).await.problem(401, "token_revoked");
        api.guess(ADA, PASSWORD).await.problem(401, "invalid_credentials");
        assert_eq!((rows_of(&api, "totp").await, rows_of(&api, "recovery_codes").await), (0, 0));
        undo(&api, &letter).await.problem(401, "ticket_invalid");
        let body = json!({ "token": reset.token, "new_password": "another long password" });
        api.post("/auth/password/reset", None, body).await.is(204);
        api.guess(ADA, "another long password").await.is(200);
    }

    /// A thief who moves the account to an address of their own and back has a link there that would take it once more.
    async fn a_first_factor_that_is_taken_back_leaves_no_other_way_back(place: &Place) {
        let api = Api::on(place).await;
        with_address(&api).await;
        let mut app = set_up_app(&api, api.login(ADA).await).await;
        let letter = api.mail("first_factor", ADA).await;
        let mut links = Vec::new();
        for (old, new) in [(ADA, "thief@example.org"), ("thief@example.org", ADA)] {
            let half = half_way(&api, old).await;
            let code = app.fresh_code(&api);
            app.tokens = Tokens::of(&second_step(&api, &half, &code).await.is(200));
            let body = json!({ "new_email": new, "password": PASSWORD });
            api.post("/users/me/email", Some(&app.tokens.access), body).await.is(202);
            let change = api.mail("change", new).await;
            if old != ADA {
                undo(&api, &letter).await.problem(401, "ticket_invalid");
            }
            api.post("/auth/email/change", Some(&app.tokens.access), json!({ "token": change.token })).await.is(204);
            links.push(api.mail("changed", old).await);
        }
        undo(&api, &letter).await.is(204);
        let back = json!({ "token": links[1].token });
        api.post("/auth/email/undo", None, back).await.problem(401, "ticket_invalid");
    }

    async fn the_link_against_a_first_factor_ends_after_three_days(place: &Place) {
        let api = Api::on(place).await;
        set_up_app(&api, with_address(&api).await).await;
        let letter = api.mail("first_factor", ADA).await;
        api.test.advance(Duration::from_secs(72 * 3600));
        undo(&api, &letter).await.problem(401, "ticket_invalid");
        assert_eq!(rows_of(&api, "totp").await, 1);
    }

    async fn only_the_first_factor_and_only_a_verified_address_has_the_link(place: &Place) {
        let api = Api::on(place).await;
        let app = with_app(&api, ADA).await;
        let told = api.mails().await;
        assert!(told.iter().any(|mail| mail.kind == "factor_added" && Letter::of(mail).link.is_empty()), "{told:?}");
        verified(&api).await;
        enrol(&api, &app.tokens.access, &mut Authenticator::es256()).await.is(201);
        assert_eq!(api.mail("factor_added", ADA).await.link, "");
    }

    async fn where_nothing_is_taken_back_there_is_no_such_link(place: &Place) {
        let api = configured(place, |settings| settings.links.undo = Period::seconds(0)).await;
        set_up_app(&api, with_address(&api).await).await;
        assert_eq!(api.mail("factor_added", ADA).await.link, "");
    }

    async fn of_sixteen_who_take_a_factor_back_one_does(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        set_up_app(&api, with_address(&api).await).await;
        let letter = api.mail("first_factor", ADA).await;
        let answers = contend(16, |_| {
            let (api, letter) = (Arc::clone(&api), letter.clone());
            async move { undo(&api, &letter).await }
        })
        .await;
        assert_eq!((count(&answers, 204), count(&answers, 401)), (1, 15), "{answers:?}");
    }

    async fn everybody_may_have_to(place: &Place) {
        let api = configured(place, |settings| settings.second_factors.required_for = vec!["*".to_owned()]).await;
        let body = json!({ "email": ADA, "password": PASSWORD });
        let answer = api.post("/auth/signup", None, body).await;
        let token = mfa_token(&answer);
        let begun = api.post("/auth/mfa/totp", None, json!({ "mfa_token": token })).await.is(200).json();
        let code = code_of_app(&Secret::from(begun["secret"].as_str().unwrap()), api.house().clock().now());
        api.post("/auth/mfa/totp/confirm", None, json!({ "mfa_token": token, "code": code })).await.is(200);
    }
}
