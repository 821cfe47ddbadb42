//! A user's own account.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::store::query;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::api::{Api, contend, count, faults};

on_both_engines! {
    async fn only_whoever_is_logged_in_has_one(place: &Place) {
        let api = Api::on(place).await;
        let problem = api.get("/users/me", None).await;
        problem.problem(401, "token_missing");
        assert_eq!(problem.header("www-authenticate"), "Bearer realm=\"tokenhouse\"");
        let tokens = api.signup("ada@example.org").await;
        let answer = api.me(&tokens.access).await.is(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["email"], "ada@example.org");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.contains("epoch") && !body.contains("hash") && !body.contains("argon2"), "{body}");
    }

    async fn what_is_named_changes_and_the_rest_stays(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await.access;
        api.test.advance(Duration::from_secs(60));
        let user = api.patch("/users/me", Some(&ada), json!({ "username": "ada" })).await.is(200).json();
        assert_eq!((user["username"].as_str(), user["updated_at"].as_str()), (Some("ada"), Some("2026-01-01T00:01:00Z")));
        let user = api.patch("/users/me", Some(&ada), json!({ "profile": { "a": { "b": 1 } } })).await.is(200).json();
        assert_eq!((&user["username"], &user["profile"]), (&json!("ada"), &json!({ "a": { "b": 1 } })));
        // The whole profile is replaced, so that something can be taken out of it.
        let user = api.patch("/users/me", Some(&ada), json!({ "profile": {}, "username": null })).await.is(200).json();
        assert_eq!((&user["username"], &user["profile"]), (&json!("ada"), &json!({})));
        assert_eq!(api.me(&ada).await.json(), user);
        // One's own name in another spelling is not taken.
        let user = api.patch("/users/me", Some(&ada), json!({ "username": "ADA" })).await.is(200).json();
        assert_eq!(user["username"], "ADA");
    }

    async fn another_name_to_log_in_by_needs_a_fresh_proof_and_is_told(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.tokens.access_lifetime = tokenhouse::settings::Period::minutes(120))
        })
        .await;
        let ada = api.signup("ada@example.org").await.access;
        api.mails().await;
        let rename = async |name: &str| api.patch("/users/me", Some(&ada), json!({ "username": name, "profile": { "a": name } })).await;
        rename("ada").await.is(200);
        api.mail("username_changed", "ada@example.org").await;
        api.test.advance(std::time::Duration::from_secs(11 * 60));
        rename("eve").await.problem(401, "fresh_proof_required");
        let me = api.me(&ada).await.json();
        assert_eq!((&me["username"], &me["profile"]), (&json!("ada"), &json!({ "a": "ada" })), "nothing of it was changed");
        // What is no other name needs none, and nobody is told of it.
        rename("ada").await.is(200);
        assert!(api.mails().await.is_empty());
        api.post("/auth/reauthenticate/password", Some(&ada), json!({ "password": PASSWORD })).await.is(204);
        rename("eve").await.is(200);
        api.mail("username_changed", "ada@example.org").await;
        api.guess("eve", PASSWORD).await.is(200);
        let kinds: Vec<(String,)> = api.rows(query("SELECT kind FROM events WHERE kind IN ('username.changed', 'user.updated') ORDER BY kind")).await;
        assert_eq!(kinds, ["user.updated", "username.changed", "username.changed"].map(|kind| (kind.to_owned(),)));
    }

    async fn nothing_else_can_be_changed(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await.access;
        let before = api.me(&ada).await.json();
        for name in ["id", "email", "email_verified", "is_active", "is_superuser", "roles", "created_at", "password", "epoch"] {
            let answer = api.patch("/users/me", Some(&ada), json!({ name: true })).await;
            assert_eq!(faults(&answer), [(format!("/{name}"), "unknown_field".to_owned())]);
        }
        let answer = api.patch("/users/me", Some(&ada), json!({ "username": "x", "profile": [] })).await;
        assert_eq!(faults(&answer).len(), 2);
        assert_eq!(api.me(&ada).await.json(), before);
    }

    async fn of_sixteen_who_want_one_name_one_gets_it(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let mut tokens = Vec::new();
        for number in 0..16 {
            tokens.push(api.signup(&format!("user{number}@example.org")).await.access);
        }
        let answers = contend(16, |number| {
            let (api, token) = (Arc::clone(&api), tokens[number].clone());
            async move { api.patch("/users/me", Some(&token), json!({ "username": "ada" })).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 15));
        for answer in answers.iter().filter(|answer| answer.status == 409) {
            answer.problem(409, "username_taken");
        }
    }

    async fn somebody_who_was_disabled_has_none(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_active(ada.id, false).await.unwrap();
        api.me(&tokens.access).await.problem(401, "token_revoked");
        api.patch("/users/me", Some(&tokens.access), json!({})).await.problem(401, "token_revoked");
        api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        // What was over stays over.
        api.house().set_user_active(ada.id, true).await.unwrap();
        api.me(&tokens.access).await.problem(401, "token_revoked");
        api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        api.login("ada@example.org").await;
    }

    async fn rights_are_as_the_database_has_them_now(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_rights(ada.id, true, &["admin".to_owned()]).await.unwrap();
        let me = api.me(&tokens.access).await.json();
        assert_eq!((&me["is_superuser"], &me["roles"]), (&json!(true), &json!(["admin"])));
        let signup = json!({ "email": "eve@example.org", "password": PASSWORD });
        let eve = api.post("/auth/signup", None, signup).await.is(201).json();
        assert_eq!(eve["user"]["roles"], Value::Array(Vec::new()));
    }
}
