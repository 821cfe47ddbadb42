//! Opening an account.

use std::sync::Arc;

use serde_json::{Value, json};
use tokenhouse::settings::Settings;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, contend, count, faults};

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

async fn signup(api: &Api, body: Value) -> Answer {
    api.post("/auth/signup", None, body).await
}

fn at_fault(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

on_both_engines! {
    async fn a_new_user_is_logged_in_at_once(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "Ada@Example.org", "password": PASSWORD, "username": "ada", "profile": { "plan": "free" } });
        let answer = signup(&api, body).await.is(201);
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(900)));
        assert_eq!(body["scope"], "");
        let mut user = body["user"].clone();
        let id = user["id"].take();
        assert_eq!(
            user,
            json!({
                "id": null, "email": "Ada@Example.org", "email_verified": false, "username": "ada", "is_active": true,
                "is_superuser": false, "roles": [], "profile": { "plan": "free" }, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z", "last_login_at": "2026-01-01T00:00:00Z"
            })
        );
        let me = api.me(body["access_token"].as_str().unwrap()).await.is(200).json();
        assert_eq!(me["id"], id);
        assert_eq!(uuid::Uuid::parse_str(id.as_str().unwrap()).unwrap().get_version_num(), 7);
    }

    async fn an_address_is_taken_in_every_spelling(place: &Place) {
        let api = Api::on(place).await;
        api.signup("café@example.org").await;
        for email in ["café@example.org", "CAFÉ@EXAMPLE.ORG", "cafe\u{301}@example.org", " café@example.org "] {
            signup(&api, json!({ "email": email, "password": PASSWORD })).await.problem(409, "email_taken");
        }
        signup(&api, json!({ "email": "cafe@example.org", "password": PASSWORD })).await.is(201);
    }

    async fn a_username_is_taken_whatever_its_case(place: &Place) {
        let api = Api::on(place).await;
        let body = |email: &str, username: &str| json!({ "email": email, "username": username, "password": PASSWORD });
        signup(&api, body("ada@example.org", "Ada")).await.is(201);
        signup(&api, body("eve@example.org", "aDA")).await.problem(409, "username_taken");
        signup(&api, body("eve@example.org", "eve")).await.is(201);
    }

    async fn of_sixteen_with_one_address_one_gets_it(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let answers = contend(16, |number| {
            let api = Arc::clone(&api);
            async move {
                let email = if number % 2 == 0 { "ada@example.org" } else { "ADA@example.org" };
                signup(&api, json!({ "email": email, "password": PASSWORD })).await
            }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 15));
        for answer in answers.iter().filter(|answer| answer.status == 409) {
            answer.problem(409, "email_taken");
        }
        assert_eq!(api.house().users(None, 10).await.unwrap().len(), 1);
    }

    async fn of_sixteen_with_one_username_one_gets_it(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let answers = contend(16, |number| {
            let api = Arc::clone(&api);
            async move {
                let email = format!("user{number}@example.org");
                signup(&api, json!({ "email": email, "username": "ada", "password": PASSWORD })).await
            }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 15));
        for answer in answers.iter().filter(|answer| answer.status == 409) {
            answer.problem(409, "username_taken");
        }
    }

    async fn every_field_at_fault_is_named_at_once(place: &Place) {
        let api = Api::on(place).await;
        let answer = signup(
            &api,
            json!({ "email": "no address", "password": "short", "username": "a b", "profile": "text", "is_superuser": true }),
        )
        .await;
        let expected = [
            ("/email", "email_invalid"),
            ("/is_superuser", "unknown_field"),
            ("/password", "password_too_short"),
            ("/profile", "not_an_object"),
            ("/username", "username_invalid"),
        ];
        let expected: Vec<_> = expected.iter().map(|(at, code)| ((*at).to_owned(), (*code).to_owned())).collect();
        assert_eq!(faults(&answer), expected);

        let answer = signup(&api, json!({})).await;
        assert_eq!(faults(&answer), [at_fault("/email", "missing"), at_fault("/password", "missing")].concat());
        let answer = signup(&api, json!({ "email": null, "password": 12_345_678 })).await;
        assert_eq!(faults(&answer), [at_fault("/email", "missing"), at_fault("/password", "not_a_string")].concat());
        assert!(api.house().users(None, 10).await.unwrap().is_empty());
    }

    async fn bad_passwords_are_refused_with_the_reason(place: &Place) {
        let api = Api::on(place).await;
        for (password, code) in [
            ("1234567", "password_too_short"),
            ("", "password_too_short"),
            ("password123", "password_breached"),
            ("Ada.Lovelace1", "password_resembles_account"),
            ("Tokenhouse2026!", "password_forbidden_word"),
            ("localhost1", "password_forbidden_word"),
            ("nul\u{0}in the middle", "password_has_nul"),
            (&"x".repeat(129), "password_too_long"),
            (&"x".repeat(20_000), "password_too_long"),
        ] {
            let answer = signup(&api, json!({ "email": "ada.lovelace@example.org", "password": password })).await;
            assert!(faults(&answer).contains(&("/password".to_owned(), code.to_owned())), "{code}: {answer:?}");
            assert!(password.is_empty() || !String::from_utf8_lossy(&answer.body).contains(password), "{code}");
        }
        let longest = "é".repeat(128);
        signup(&api, json!({ "email": "ada@example.org", "password": longest })).await.is(201);
        api.guess("ada@example.org", &longest).await.is(200);
        api.guess("ada@example.org", &"é".repeat(127)).await.problem(401, "invalid_credentials");
    }

    async fn words_that_everybody_here_thinks_of_are_refused_at_every_door(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.public_url = "https://login.violet-kettles.example".to_owned();
                settings.branding.name = "Violet Kettles".to_owned();
                settings.passwords.forbidden_words = vec!["Steamboat".to_owned()];
            })
        })
        .await;
        let tokens = api.signup("ada@example.org").await;
        for password in ["VioletKettles1", "violet kettles", "!!violet-kettles.example2026", "Steamboat2026!", "login.violet-kettles.example"] {
            let refused = ("/password".to_owned(), "password_forbidden_word".to_owned());
            let answer = signup(&api, json!({ "email": "eve@example.org", "password": password })).await;
            assert_eq!(faults(&answer), [refused], "{password}");
            let answer = api.change_password(&tokens.access, PASSWORD, password).await;
            assert_eq!(faults(&answer), [("/new_password".to_owned(), "password_forbidden_word".to_owned())], "{password}");
        }
        signup(&api, json!({ "email": "eve@example.org", "password": "the steamboat of violet kettles" })).await.is(201);
    }

    async fn nobody_gives_themselves_rights(place: &Place) {
        let api = Api::on(place).await;
        for name in ["is_superuser", "is_active", "roles", "id", "email_verified", "epoch", "created_at", "scope", "user_id"] {
            let answer = signup(&api, json!({ "email": "ada@example.org", "password": PASSWORD, name: true })).await;
            assert_eq!(faults(&answer), at_fault(&format!("/{name}"), "unknown_field"));
        }
        // A form may carry fields that nobody knows; they do nothing.
        let answer = api
            .form("/auth/signup", "email=ada%40example.org&password=correct+horse+battery&is_superuser=true&roles=admin&email_verified=true")
            .await
            .is(201);
        let user = &answer.json()["user"];
        assert_eq!((&user["is_superuser"], &user["roles"], &user["email_verified"]), (&json!(false), &json!([]), &json!(false)));
    }

    async fn sign_up_need_not_tell_what_is_taken(place: &Place) {
        let api = configured(place, |settings| settings.signup.reveal_taken = false).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let first = signup(&api, body.clone()).await.is(202);
        let second = signup(&api, body).await.is(202);
        assert_eq!(first.body, second.body);
        let shown = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("x-request-id");
            headers
        };
        assert_eq!(shown(&first), shown(&second));
        // Who signs up again does not change what is there.
        signup(&api, json!({ "email": "ada@example.org", "password": "another long password" })).await.is(202);
        api.guess("ada@example.org", "another long password").await.problem(401, "invalid_credentials");
        assert_eq!(api.sessions(&api.login("ada@example.org").await.access).await.len(), 1);
    }

    async fn sign_up_can_be_closed(place: &Place) {
        let api = configured(place, |settings| settings.signup.mode = tokenhouse::settings::SignupMode::Closed).await;
        signup(&api, json!({ "email": "ada@example.org", "password": PASSWORD })).await.problem(403, "signup_closed");
        assert!(api.house().users(None, 10).await.unwrap().is_empty());
    }

    async fn the_settings_say_what_an_account_is_named_by(place: &Place) {
        use tokenhouse::settings::Identifier::{Both, Either, Email, Username};
        let (email, username) = (json!("ada@example.org"), json!("ada"));
        for (identifier, name, at) in [
            (Email, ("username", &username), "/email"),
            (Username, ("email", &email), "/username"),
            (Both, ("email", &email), "/username"),
            (Both, ("username", &username), "/email"),
            (Either, ("profile", &json!({})), "/email"),
        ] {
            let api = configured(place, |settings| settings.accounts.identifier = identifier).await;
            let answer = signup(&api, json!({ name.0: name.1, "password": PASSWORD })).await;
            assert_eq!(faults(&answer), at_fault(at, "missing"), "{identifier:?}");
        }
        let api = configured(place, |settings| settings.accounts.identifier = Either).await;
        let by_name = signup(&api, json!({ "username": "eve", "password": PASSWORD })).await.is(201);
        assert_eq!(by_name.json()["user"]["email"], Value::Null);
        api.post("/auth/login", None, json!({ "username": "EVE", "password": PASSWORD })).await.is(200);
        // Somebody without an address changes the password and goes all the same.
        let eve = Tokens::of(&by_name);
        api.change_password(&eve.access, PASSWORD, "another long password").await.is(204);
        api.delete("/users/me", Some(&eve.access), json!({ "password": "another long password" })).await.is(204);
        signup(&api, json!({ "email": "ada@example.org", "password": PASSWORD })).await.is(201);
    }

    async fn no_username_can_be_taken_for_an_address(place: &Place) {
        let api = Api::on(place).await;
        for username in ["eve@example.org", "eve＠example.org", "＠＠＠", "@eve"] {
            let answer = signup(&api, json!({ "email": "ada@example.org", "username": username, "password": PASSWORD })).await;
            assert_eq!(faults(&answer), at_fault("/username", "username_invalid"));
        }
        // Not even where the application lets everything through.
        let api = Api::with(place, |builder| builder.username_rule(|_| Ok(()))).await;
        for username in ["eve@example.org", "eve＠example.org", "", "  ", "a\u{0}b", "a\r\nb", &"x".repeat(257)] {
            let answer = signup(&api, json!({ "email": "ada@example.org", "username": username, "password": PASSWORD })).await;
            assert_eq!(faults(&answer), at_fault("/username", "username_invalid"), "{username:?}");
        }
    }

    async fn a_name_that_grows_when_it_is_compared_is_refused_and_breaks_nothing(place: &Place) {
        let api = Api::with(place, |builder| builder.username_rule(|_| Ok(()))).await;
        // One character of three bytes that NFKC writes as eighteen of thirty-three, amid others that do not compress.
        let long: String = (0..42_u32).flat_map(|number| ['\u{fdfa}', char::from_u32(0x4e00 + number * 97).unwrap()]).collect();
        let answer = signup(&api, json!({ "email": "ada@example.org", "username": long, "password": PASSWORD })).await;
        assert_eq!(faults(&answer), at_fault("/username", "username_invalid"));
    }

    async fn an_address_that_only_looks_like_another_is_refused(place: &Place) {
        let api = Api::on(place).await;
        for email in [
            "ada\u{200b}@example.org",
            "ada@exam\u{200d}ple.org",
            "\u{202e}gro.elpmaxe@ada",
            "ada\u{202e}@example.org",
            "ada@example.org\u{feff}",
            "a\u{ad}da@example.org",
            "ada\u{0}@example.org",
            "ada@example.org\r\nBcc: eve@example.org",
            "ada\u{2028}@example.org",
        ] {
            let answer = signup(&api, json!({ "email": email, "password": PASSWORD })).await;
            assert_eq!(faults(&answer), at_fault("/email", "email_invalid"), "{email:?}");
        }
    }

    async fn a_profile_has_a_limit(place: &Place) {
        let api = Api::on(place).await;
        let body = |text: String| json!({ "email": "ada@example.org", "password": PASSWORD, "profile": { "a": text } });
        // {"a":"…"} takes eight bytes around the text.
        let answer = signup(&api, body("x".repeat(16_384 - 7))).await;
        assert_eq!(faults(&answer), at_fault("/profile", "profile_too_large"));
        let answer = signup(&api, body("x".repeat(16_384 - 8))).await.is(201);
        let tokens = Tokens::of(&answer);
        let answer = api.patch("/users/me", Some(&tokens.access), json!({ "profile": { "a": "x".repeat(16_384 - 7) } })).await;
        assert_eq!(faults(&answer), at_fault("/profile", "profile_too_large"));
    }

    async fn a_profile_comes_back_as_it_was_given(place: &Place) {
        let api = Api::on(place).await;
        let profile = json!({
            "nul\u{0}": "\u{0}", "emoji": "👩‍💻", "right to left": "\u{202e}שלום", "zero width": "\u{200b}", "": "",
            "numbers": [0, -1, 1.5, 9_007_199_254_740_993_i64, u64::MAX], "nested": { "a": [{ "b": null }] },
            "sql": "'; DROP TABLE users; --", "lines": "\r\n\t\u{2028}", "proto": { "__proto__": { "admin": true } }
        });
        let answer = signup(&api, json!({ "email": "ada@example.org", "password": PASSWORD, "profile": profile })).await.is(201);
        let tokens = Tokens::of(&answer);
        assert_eq!(api.me(&tokens.access).await.json()["profile"], profile);
    }
}
