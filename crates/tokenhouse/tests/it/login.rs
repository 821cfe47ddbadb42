//! Logging in with a password.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::base::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Email, NewUser, Origin, Secret, UserId, Username};

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, claims, faults};

/// Ada, who has an address and a name.
async fn with_ada(place: &Place) -> Api {
    let api = Api::on(place).await;
    let body = json!({ "email": "Ada@example.org", "username": "Countess", "password": PASSWORD });
    api.post("/auth/signup", None, body).await.is(201);
    api
}

async fn login(api: &Api, body: Value) -> Answer {
    api.post("/auth/login", None, body).await
}

fn new_user(email: &str) -> NewUser {
    NewUser {
        email: Some(Email::parse(email).unwrap()),
        ..NewUser::default()
    }
}

async fn stored_hash(api: &Api, user: UserId) -> String {
    let rows: Vec<(String,)> = api
        .rows(query("SELECT hash FROM passwords WHERE user_id = $1").bind(user))
        .await;
    rows.into_iter().next().unwrap().0
}

/// The answer without what is different each time.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").to_owned();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let body = String::from_utf8(answer.body.clone()).unwrap().replace(&id, "…");
    (answer.status.as_u16(), headers, body)
}

on_both_engines! {
    async fn with_address_or_username_in_any_spelling(place: &Place) {
        let api = with_ada(place).await;
        for (field, name) in [
            ("email", "ada@example.org"),
            ("email", " ADA@EXAMPLE.ORG "),
            ("username", "countess"),
            ("username", "COUNTESS"),
            ("login", "ada@example.org"),
            ("login", "Countess"),
            ("login", "ｃｏｕｎｔｅｓｓ"),
        ] {
            let answer = login(&api, json!({ field: name, "password": PASSWORD })).await.is(200);
            assert_eq!(answer.json()["user"]["email"], "Ada@example.org");
            assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
            api.me(&Tokens::of(&answer).access).await.is(200);
        }
    }

    async fn with_the_form_that_oauth_clients_send(place: &Place) {
        let api = with_ada(place).await;
        let password = PASSWORD.replace(' ', "+");
        for name in ["ada%40example.org", "countess"] {
            let form = format!("grant_type=password&username={name}&password={password}&scope=&client_id=docs&client_secret=");
            api.form("/auth/login", &form).await.is(200);
        }
        api.form("/auth/login", &format!("username=countess&password={password}")).await.is(200);
        let answer = api.form("/auth/login", &format!("grant_type=client_credentials&username=a&password={password}")).await;
        assert_eq!(faults(&answer), [("/grant_type".to_owned(), "grant_type_invalid".to_owned())]);
        api.form("/auth/login", "username=countess&username=eve&password=x").await.problem(400, "malformed_body");
    }

    async fn with_exactly_one_name(place: &Place) {
        let api = with_ada(place).await;
        let fault = |code: &str| vec![("/login".to_owned(), code.to_owned())];
        assert_eq!(faults(&login(&api, json!({ "password": PASSWORD })).await), fault("missing"));
        let both = json!({ "email": "ada@example.org", "username": "countess", "password": PASSWORD });
        assert_eq!(faults(&login(&api, both).await), fault("ambiguous"));
        let answer = login(&api, json!({ "email": "ada@example.org", "password": PASSWORD, "remember": true })).await;
        assert_eq!(faults(&answer), [("/remember".to_owned(), "unknown_field".to_owned())]);
    }

    async fn an_unknown_user_and_a_wrong_password_are_answered_alike(place: &Place) {
        let api = with_ada(place).await;
        let wrong = api.guess("ada@example.org", "wrong password").await;
        wrong.problem(401, "invalid_credentials");
        assert_eq!(wrong.header("www-authenticate"), "Bearer realm=\"tokenhouse\"");
        let unknown = api.guess("eve@example.org", "wrong password").await;
        assert_eq!(comparable(&wrong), comparable(&unknown));
        // Somebody without a password, too.
        api.house().create_user(&new_user("bob@example.org"), None).await.unwrap();
        assert_eq!(comparable(&wrong), comparable(&api.guess("bob@example.org", "wrong password").await));
        assert_eq!(comparable(&wrong), comparable(&api.guess("bob@example.org", "").await));
    }

    async fn that_an_account_is_disabled_is_told_only_to_its_owner(place: &Place) {
        let api = with_ada(place).await;
        let ada = api.house().user_by_name("countess").await.unwrap().unwrap();
        api.house().set_user_active(ada.id, false).await.unwrap();
        let wrong = api.guess("ada@example.org", "wrong password").await;
        wrong.problem(401, "invalid_credentials");
        assert_eq!(comparable(&wrong), comparable(&api.guess("eve@example.org", "wrong password").await));
        api.guess("ada@example.org", PASSWORD).await.problem(403, "account_disabled");
        assert!(api.rows::<(uuid::Uuid,)>(query("SELECT id FROM sessions WHERE revoked_at IS NULL")).await.is_empty());
        api.house().set_user_active(ada.id, true).await.unwrap();
        api.login("ada@example.org").await;
    }

    async fn a_password_longer_than_any_is_simply_wrong(place: &Place) {
        let api = with_ada(place).await;
        for length in [129, 1024, 1025, 60_000] {
            let answer = api.guess("ada@example.org", &"x".repeat(length)).await;
            assert_eq!(comparable(&answer), comparable(&api.guess("eve@example.org", "x").await), "{length}");
        }
    }

    async fn the_last_byte_of_a_password_counts(place: &Place) {
        let api = Api::on(place).await;
        let long = format!("{}1", "a long password ".repeat(7));
        let body = json!({ "email": "ada@example.org", "password": long });
        api.post("/auth/signup", None, body).await.is(201);
        api.guess("ada@example.org", &long.replace('1', "2")).await.problem(401, "invalid_credentials");
        api.guess("ada@example.org", &long).await.is(200);
    }

    async fn one_password_in_two_unicode_spellings_is_one(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": "caf\u{e9} au lait" });
        api.post("/auth/signup", None, body).await.is(201);
        api.guess("ada@example.org", "cafe\u{301} au lait").await.is(200);
        api.guess("ada@example.org", "cafe au lait").await.problem(401, "invalid_credentials");
    }

    async fn the_user_says_when_they_last_logged_in(place: &Place) {
        let api = with_ada(place).await;
        api.test.advance(Duration::from_secs(90));
        let answer = login(&api, json!({ "login": "countess", "password": PASSWORD })).await.is(200);
        assert_eq!(answer.json()["user"]["last_login_at"], "2026-01-01T00:01:30Z");
        assert_eq!(answer.json()["user"]["updated_at"], "2026-01-01T00:00:00Z");
        api.test.advance(Duration::from_secs(5));
        api.guess("ada@example.org", "wrong password").await.is(401);
        let me = api.me(&Tokens::of(&answer).access).await.json();
        assert_eq!(me["last_login_at"], "2026-01-01T00:01:30Z");
    }

    async fn a_scope_is_granted_where_the_settings_do(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.tokens.scope = "read write".to_owned())).await;
        api.signup("ada@example.org").await;
        let ask = |scope: &str| login(&api, json!({ "email": "ada@example.org", "password": PASSWORD, "scope": scope }));
        let answer = ask("read").await.is(200);
        assert_eq!(answer.json()["scope"], "read");
        let tokens = Tokens::of(&answer);
        assert_eq!(claims(&tokens.access)["scope"], "read");
        // A refresh does not widen it.
        let answer = api.refresh(&tokens.refresh).await.is(200);
        assert_eq!((answer.json()["scope"].as_str(), claims(&Tokens::of(&answer).access)["scope"].as_str()), (Some("read"), Some("read")));
        assert_eq!(ask("write read").await.is(200).json()["scope"], "write read");
        for scope in ["admin", "read admin", "READ", "read,write"] {
            assert_eq!(faults(&ask(scope).await), [("/scope".to_owned(), "scope_invalid".to_owned())]);
        }
        let answer = login(&api, json!({ "email": "ada@example.org", "password": PASSWORD })).await.is(200);
        assert_eq!(answer.json()["scope"], "read write");
    }

    async fn foreign_hashes_are_taken_and_replaced_by_ours(place: &Place) {
        let api = Api::on(place).await;
        let bcrypt = bcrypt::hash("correct horse", 4).unwrap();
        let salted = {
            let salt = "pepper$1";
            let hash = bcrypt::hash(format!("correct horse{salt}"), 4).unwrap();
            tokenhouse::base::hashing::foreign::salted_bcrypt(&hash, salt).unwrap()
        };
        for (number, hash) in [
            bcrypt.as_str(),
            salted.as_str(),
            "pbkdf2_sha256$1000$seasalt123$KuEnssc6S4MzVSS8Tu48m1RDSrTAn7j3CfgvvjkvfWA=",
            "$argon2id$v=19$m=64,t=1,p=2$MDEyMzQ1Njc4OWFiY2RlZg$voQDpD+sYPaW8jE747xdIyIqWQX6hQKyhBsyt5EJ+Qg",
            "scrypt:1024:8:1$XwMnwiKDiTsrt06m$6defdade464b002445ae77b15694e45248f0905a81dcf11523126d93dd8c36fc9cfd407bb49911407965e3261f2eb8b7968eba3c309930aba74448bd0a8863b4",
            "$pbkdf2-sha256$1000$CIHw/l9rLaU0ZgxhDAEgJA$IlEP5kLm3jM9eHezvBAPiz9JA1XhR06p6TcHpjNqmpU",
        ]
        .iter()
        .enumerate()
        {
            let email = format!("user{number}@example.org");
            let user = api.house().create_user(&new_user(&email), Some(hash)).await.unwrap();
            api.guess(&email, "wrong horse").await.problem(401, "invalid_credentials");
            assert_eq!(stored_hash(&api, user.id).await, *hash, "a wrong password changes nothing");
            api.guess(&email, "correct horse").await.is(200);
            let ours = stored_hash(&api, user.id).await;
            assert!(ours.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{ours}");
            api.guess(&email, "correct horse").await.is(200);
            assert_eq!(stored_hash(&api, user.id).await, ours, "ours is not made again");
            api.guess(&email, "wrong horse").await.problem(401, "invalid_credentials");
        }
        let refused = api.house().create_user(&new_user("eve@example.org"), Some("plain text")).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "invalid_fields");
    }

    async fn what_bcrypt_never_read_does_not_become_part_of_a_better_hash(place: &Place) {
        let api = Api::on(place).await;
        // passlib's hash("y" * 80); bcrypt reads 72 bytes.
        let hash = "$2b$04$NV1KOOCm0YIRol63SlqxV.u8b6fMBwqOpA7zPlnfmG9FR.pWNUzi6";
        let user = api.house().create_user(&new_user("ada@example.org"), Some(hash)).await.unwrap();
        let other_end = format!("{}another end", "y".repeat(72));
        api.guess("ada@example.org", &other_end).await.is(200);
        assert_eq!(stored_hash(&api, user.id).await, hash);
        api.guess("ada@example.org", &"y".repeat(80)).await.is(200);
    }

    async fn an_account_must_have_a_name(place: &Place) {
        let api = Api::on(place).await;
        let refused = api.house().create_user(&NewUser::default(), None).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "invalid_fields");
    }

    async fn an_account_made_by_the_operator_is_as_it_was_asked_for(place: &Place) {
        let api = Api::on(place).await;
        let new = NewUser {
            username: Some(Username::parse("root", 3..=32).unwrap()),
            roles: vec!["ops".to_owned()],
            is_superuser: true,
            email_verified: true,
            ..new_user("root@example.org")
        };
        let root = api.house().create_user(&new, None).await.unwrap();
        assert!(root.is_superuser && root.email_verified && root.has_role("anything"));
        api.house().set_password(&root, &Secret::from(PASSWORD)).await.unwrap();
        let answer = login(&api, json!({ "login": "root", "password": PASSWORD })).await.is(200);
        assert_eq!(answer.json()["user"]["roles"], json!(["ops"]));
        assert_eq!(claims(&Tokens::of(&answer).access)["roles"], json!(["ops"]));
        assert_eq!(api.house().create_user(&new_user("ROOT@example.org"), None).await.unwrap_err().code().as_str(), "email_taken");
    }

    async fn a_login_that_began_before_a_change_of_password_does_not_end_after_it(place: &Place) {
        overtaken(place, |api, ada| async move {
            let user = api.house().user(ada).await.unwrap().unwrap();
            api.house().set_password(&user, &Secret::from("another long password")).await.unwrap();
        })
        .await
        .problem(401, "invalid_credentials");
    }

    async fn a_login_that_began_before_the_account_was_disabled_does_not_end_after_it(place: &Place) {
        overtaken(place, |api, ada| async move {
            api.house().set_user_active(ada, false).await.unwrap();
        })
        .await
        .problem(401, "invalid_credentials");
    }

    async fn not_even_where_it_was_enabled_again(place: &Place) {
        overtaken(place, |api, ada| async move {
            api.house().set_user_active(ada, false).await.unwrap();
            api.house().set_user_active(ada, true).await.unwrap();
        })
        .await
        .problem(401, "invalid_credentials");
    }

    async fn a_login_that_began_before_the_account_was_deleted_does_not_end_after_it(place: &Place) {
        overtaken(place, |api, ada| async move {
            api.house().delete_user(ada, &Origin::default()).await.unwrap();
        })
        .await
        .problem(401, "invalid_credentials");
    }
}

/// Logs in, and lets `change` happen after the account was read and before the session is opened, while a hash
/// is judged that takes long. Nothing may be left of the login.
async fn overtaken<F: Future<Output = ()> + Send>(
    place: &Place,
    change: impl FnOnce(Arc<Api>, UserId) -> F,
) -> Answer {
    let api = Arc::new(Api::on(place).await);
    api.signup("ada@example.org").await;
    let ada = api
        .house()
        .user_by_name("ada@example.org")
        .await
        .unwrap()
        .unwrap();
    api.house()
        .end_all_sessions(ada.id, None, &Origin::default())
        .await
        .unwrap();
    let slow = bcrypt::hash(PASSWORD, 12).unwrap();
    api.change(
        query("UPDATE passwords SET hash = $1 WHERE user_id = $2")
            .bind(slow)
            .bind(ada.id),
    )
    .await;
    let login = tokio::spawn({
        let api = Arc::clone(&api);
        async move { api.guess("ada@example.org", PASSWORD).await }
    });
    while api.test.hashing().busy == 0 {
        assert!(!login.is_finished());
        tokio::task::yield_now().await;
    }
    change(Arc::clone(&api), ada.id).await;
    assert!(!login.is_finished(), "the login was not overtaken");
    let answer = login.await.unwrap();
    let live = query("SELECT id FROM sessions WHERE revoked_at IS NULL");
    assert_eq!(api.rows::<(uuid::Uuid,)>(live).await, []);
    answer
}
