//! "Download my data": everything that is kept of a person is in it, or is in the list of what is not, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokenhouse::base::store::EngineKind;
use tokenhouse::store::query;

use crate::on_both_engines;
use crate::passkeys::enrol;
use crate::second_factors::set_up_app;
use crate::support::api::{Api, Tokens};
use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;

const ADA: &str = "ada@example.org";

/// Each column of each table: where it is in the download (`/user/email`), or why it is not.
const KEPT: &[(&str, &[(&str, &str)])] = &[
    ("_migrations", &[("*", "of the house, of nobody")]),
    (
        "brakes",
        &[("*", "digests, from which nobody is told; over within hours")],
    ),
    ("leases", &[("*", "of the nodes, of nobody")]),
    ("signing_keys", &[("*", "of the house, of nobody")]),
    ("key_slots", &[("*", "of the house, of nobody")]),
    (
        "revocations",
        &[(
            "*",
            "ids of sessions, which are there themselves; gone when the last token has expired",
        )],
    ),
    (
        "users",
        &[
            ("id", "/user/id"),
            ("email", "/user/email"),
            ("email_key", "the address, as it is compared"),
            ("email_verified_at", "/address/verified_at"),
            ("username", "/user/username"),
            ("username_key", "the username, as it is compared"),
            ("is_superuser", "/user/is_superuser"),
            ("roles", "/user/roles"),
            ("profile", "/user/profile"),
            ("disabled_at", "whoever downloads is not disabled"),
            ("created_at", "/user/created_at"),
            ("updated_at", "/user/updated_at"),
            ("last_login_at", "/user/last_login_at"),
            ("epoch", "a counter of changes, which tells nothing"),
        ],
    ),
    (
        "sessions",
        &[
            ("id", "/sessions/0/id"),
            ("user_id", "/user/id"),
            ("client_id", "/sessions/0/client_id"),
            ("scope", "/sessions/0/scope"),
            ("method", "/sessions/0/method"),
            ("generation", "/sessions/0/refreshed"),
            ("created_at", "/sessions/0/created_at"),
            ("rotated_at", "/sessions/0/last_used_at"),
            ("expires_at", "/sessions/0/expires_at"),
            ("revoked_at", "/sessions/0/ended_at"),
            ("address", "/sessions/0/address"),
            ("network", "of the address, which is there"),
            ("user_agent", "/sessions/0/user_agent"),
            ("proved_at", "/sessions/0/proved_at"),
            ("claims", "/sessions/0/claims"),
        ],
    ),
    (
        "events",
        &[
            ("id", "/events/0/id"),
            ("at", "/events/0/at"),
            ("kind", "/events/0/kind"),
            ("user_id", "/user/id"),
            ("session_id", "/events/0/session_id"),
            ("address", "/events/0/address"),
            ("data", "/events/0/data"),
        ],
    ),
    (
        "passwords",
        &[
            ("user_id", "/user/id"),
            ("hash", "a secret"),
            ("changed_at", "/password/changed_at"),
            ("by_mail", "how it was set, which the events tell"),
        ],
    ),
    (
        "tickets",
        &[
            ("digest", "of a secret"),
            ("purpose", "/pending/0/purpose"),
            ("user_id", "/user/id"),
            (
                "subject",
                "the address, the session or the account, which are there",
            ),
            ("code_mac", "of a secret"),
            ("data", "/pending/0/data"),
            ("tries", "a counter that guards the secret"),
            ("created_at", "/pending/0/created_at"),
            ("expires_at", "/pending/0/expires_at"),
        ],
    ),
    (
        "outbox",
        &[
            ("id", "names the message, not the person"),
            ("kind", "/mails/0/kind"),
            ("address", "/user/email"),
            ("sealed", "a secret, and gone once it was sent"),
            ("state", "/mails/0/state"),
            ("attempts", "of the delivery"),
            ("created_at", "/mails/0/created_at"),
            ("due_at", "of the delivery"),
            ("give_up_at", "of the delivery"),
            ("ended_at", "/mails/0/ended_at"),
            ("error", "what a mail server said to the house"),
        ],
    ),
    (
        "totp",
        &[
            ("user_id", "/user/id"),
            ("sealed", "a secret"),
            (
                "last_step",
                "guards the secret; when a code was used is among the events",
            ),
            ("confirmed_at", "/totp/used_since"),
        ],
    ),
    (
        "totp_enrolments",
        &[
            ("user_id", "/user/id"),
            ("sealed", "a secret"),
            ("expires_at", "/totp/can_be_confirmed_until"),
        ],
    ),
    (
        "wrong_codes",
        &[
            ("user_id", "/user/id"),
            ("in_a_row", "of whoever guesses, until a right one"),
        ],
    ),
    (
        "recovery_codes",
        &[
            ("user_id", "/user/id"),
            ("digest", "of a secret"),
            ("created_at", "/second_step/recovery_codes/0/created_at"),
            ("used_at", "/second_step/recovery_codes/0/used_at"),
        ],
    ),
    (
        "passkey_handles",
        &[
            ("user_id", "/user/id"),
            ("handle", "a random number that only authenticators are told"),
        ],
    ),
    (
        "passkeys",
        &[
            ("id", "/passkey/0/id"),
            ("user_id", "/user/id"),
            (
                "credential_id",
                "a random number that only authenticators are told",
            ),
            ("public_key", "checks signatures, and tells nothing"),
            ("sign_count", "a counter of the authenticator's"),
            ("user_verified", "/passkey/0/signs_in_alone"),
            ("discoverable", "/passkey/0/signs_in_alone"),
            ("backup_eligible", "/passkey/0/backup_eligible"),
            ("backed_up", "/passkey/0/backed_up"),
            ("transports", "/passkey/0/transports"),
            ("aaguid", "/passkey/0/aaguid"),
            ("name", "/passkey/0/name"),
            ("created_at", "/passkey/0/created_at"),
            ("last_used_at", "/passkey/0/last_used_at"),
        ],
    ),
];

/// Somebody who has something in every table, with a browser.
async fn person(api: &Api) -> (Browser, Vec<String>) {
    let ada = api.signup(ADA).await;
    let letter = api.mail("verify", ADA).await;
    api.post("/auth/email/verify", None, json!({ "token": letter.token }))
        .await
        .is(204);
    let app = set_up_app(api, ada).await;
    enrol(api, &app.tokens.access, &mut Authenticator::es256()).await;
    let shown = json!({ "recovery_code": app.recovery_codes[0] });
    api.post("/auth/reauthenticate", Some(&app.tokens.access), shown)
        .await
        .is(204);
    api.post("/users/me/totp", Some(&app.tokens.access), Value::Null)
        .await
        .is(200);
    let body = json!({ "new_email": "new@example.org" });
    api.post("/users/me/email", Some(&app.tokens.access), body)
        .await
        .is(202);
    let half = api
        .guess(ADA, tokenhouse::testing::PASSWORD)
        .await
        .problem(401, "mfa_required");
    let answer = api
        .post(
            "/auth/mfa",
            None,
            json!({ "mfa_token": half["mfa_token"], "recovery_code": app.recovery_codes[1] }),
        )
        .await;
    let over = Tokens::of(&answer.is(200));
    api.logout(&over.access).await.is(204);
    let mut browser = Browser::new(api);
    let due = browser
        .sign_in(ADA, tokenhouse::testing::PASSWORD)
        .await
        .is(200)
        .html();
    let token = due
        .split_once("name=\"mfa_token\" value=\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let csrf = due
        .split_once("name=\"csrf\" value=\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let fields = [("mfa_token", &*token), ("recovery_code", &app.recovery_codes[2])];
    assert_eq!(
        browser
            .post_with("/account/second-step", &csrf, &fields)
            .await
            .leads_to(),
        "/account"
    );
    let mut secrets = app.recovery_codes.clone();
    secrets.push(app.secret.expose().to_owned());
    secrets.push(browser.cookies["tokenhouse"].clone());
    (browser, secrets)
}

on_both_engines! {
    async fn everything_that_is_kept_is_downloaded_or_has_a_reason_not_to_be(place: &Place) {
        let api = Api::on(place).await;
        let (mut browser, secrets) = person(&api).await;
        api.change(query("INSERT INTO wrong_codes (user_id, in_a_row) SELECT id, 1 FROM users")).await;
        let sql = match place.engine() {
            EngineKind::Sqlite => "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                                   WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
            EngineKind::Postgres => "SELECT table_name::text, column_name::text
                                     FROM information_schema.columns WHERE table_schema = 'public'",
        };
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (table, column) in api.rows::<(String, String)>(query(sql)).await {
            tables.entry(table).or_default().insert(column);
        }
        let download = browser.get("/account/data.json").await.is(200);
        let (text, all) = (download.html(), download.json());
        for (table, columns) in &tables {
            let kept = KEPT.iter().find(|(name, _)| name == table);
            let (_, known) = kept.unwrap_or_else(|| panic!("is {table} in the download, and if not, why?"));
            if known[0].0 == "*" {
                let of_a_person = ["user_id", "email", "address", "subject"];
                assert!(!of_a_person.iter().any(|name| columns.contains(*name)), "{table} is of persons");
                continue;
            }
            let named: BTreeSet<String> = known.iter().map(|(column, _)| (*column).to_owned()).collect();
            assert_eq!(*columns, named, "{table}: is it in the download, and if not, why?");
            for (column, place) in *known {
                if place.starts_with('/') {
                    assert!(all.pointer(place).is_some(), "{table}.{column} is not at {place}: {text}");
                }
            }
            // So that a member which is there is not there by chance.
            let (rows,) = api.rows::<(i64,)>(query(String::leak(format!("SELECT COUNT(*) FROM {table}")))).await[0];
            assert!(rows > 0, "nothing in {table}");
        }
        for secret in secrets {
            assert!(!text.contains(&secret), "{text}");
        }
        for word in ["argon2", "hash", "digest", "sealed", "mac", "new_email"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }

    /// It is much work for one request.
    async fn nobody_downloads_without_end(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up("eve@example.org").await;
        for _ in 0..5 {
            browser.get("/account/data.json").await.is(200);
        }
        let refused = browser.get("/account/data.json").await.is(429);
        assert_eq!(refused.header("retry-after"), "60");
        api.test.advance(std::time::Duration::from_secs(60));
        browser.get("/account/data.json").await.is(200);
    }

    async fn the_download_says_what_is(place: &Place) {
        let api = Api::on(place).await;
        Browser::new(&api).sign_up("eve@example.org").await;
        api.mails().await;
        let (mut browser, _) = person(&api).await;
        let all = browser.get("/account/data.json").await.is(200).json();
        assert_eq!(all["address"]["verified_at"], "2026-01-01T00:00:00Z");
        assert_eq!(all["second_step"]["factors"], json!(["totp", "passkey"]));
        assert_eq!(all["second_step"]["required"], false);
        let codes = all["second_step"]["recovery_codes"].as_array().unwrap();
        assert_eq!((codes.len(), codes.iter().filter(|code| code["used_at"].is_string()).count()), (10, 3));
        assert!(codes[0]["used_at"].is_string() && codes[9]["used_at"].is_null());
        assert_eq!(all["totp"]["used_since"], "2026-01-01T00:00:00Z");
        assert_eq!(all["sessions"].as_array().unwrap().len(), 3);
        let pending = all["pending"].as_array().unwrap();
        let change = pending.iter().find(|ticket| ticket["purpose"] == "email.change").unwrap();
        assert_eq!(change["data"]["new"], "new@example.org");
        let mails: Vec<&str> = all["mails"].as_array().unwrap().iter().map(|mail| mail["kind"].as_str().unwrap()).collect();
        assert!(mails.contains(&"verify") && mails.contains(&"factor_added") && !mails.contains(&"change"), "{mails:?}");
        assert!(!all.to_string().contains("eve@"));
    }

    /// What was sent to an address before may have been for somebody else.
    async fn mails_are_told_to_who_has_shown_to_read_them(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        api.mail("verify", ADA).await;
        assert_eq!(browser.get("/account/data.json").await.json()["mails"], json!([]));
        api.change(query("UPDATE users SET email_verified_at = 0")).await;
        assert_eq!(browser.get("/account/data.json").await.json()["mails"][0]["kind"], "verify");
    }

    async fn events_of_one_instant_stand_in_their_order(place: &Place) {
        let api = Api::on(place).await;
        let mut browser = Browser::new(&api);
        browser.sign_up(ADA).await;
        // Where the clock stands still everything is of one instant.
        for number in 0..12 {
            browser.post("/account/profile", "/account/profile", &[("profile.name", &format!("Ada {number}"))]).await.leads_to();
            let token = api.login(ADA).await;
            api.logout(&token.access).await.is(204);
        }
        let all = browser.get("/account/data.json").await.json();
        let kinds: Vec<&str> = all["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
        let (rounds, first) = kinds.split_at(36);
        for round in rounds.chunks(3) {
            assert_eq!(round, ["session.ended", "login.succeeded", "user.updated"], "{kinds:?}");
        }
        assert_eq!(first, ["login.succeeded", "user.signed_up"]);
    }
}
