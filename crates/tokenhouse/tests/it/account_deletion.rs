//! Closing an account.

use std::sync::Arc;

use serde_json::{Value, json};
use tokenhouse::base::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Origin, SessionId};
use uuid::Uuid;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens, claims, faults};

on_both_engines! {
    async fn needs_the_password(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await.access;
        api.delete("/users/me", Some(&ada), json!({ "password": "wrong password" })).await.problem(401, "invalid_credentials");
        assert_eq!(faults(&api.delete("/users/me", Some(&ada), json!({})).await), [("/password".to_owned(), "missing".to_owned())]);
        assert_eq!(faults(&api.delete("/users/me", Some(&ada), Value::Null).await), [("/password".to_owned(), "missing".to_owned())]);
        api.delete("/users/me", None, json!({ "password": PASSWORD })).await.problem(401, "token_missing");
        api.me(&ada).await.is(200);
    }

    async fn takes_everything_with_it(place: &Place) {
        let api = Api::on(place).await;
        let here = api.signup("ada@example.org").await;
        let there = api.login("ada@example.org").await;
        let eve = api.signup("eve@example.org").await;
        api.delete("/users/me", Some(&here.access), json!({ "password": PASSWORD })).await.is(204);
        for tokens in [&here, &there] {
            api.me(&tokens.access).await.problem(401, "token_revoked");
            api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
            api.post("/auth/logout", None, json!({ "refresh_token": tokens.refresh })).await.is(204);
        }
        api.guess("ada@example.org", PASSWORD).await.problem(401, "invalid_credentials");
        for count in [
            query("SELECT COUNT(*) FROM users"),
            query("SELECT COUNT(*) FROM sessions"),
            query("SELECT COUNT(*) FROM passwords"),
        ] {
            assert_eq!(api.rows::<(i64,)>(count).await, [(1,)], "only Eve is left");
        }
        api.me(&eve.access).await.is(200);
        assert!(api.mails().await.iter().any(|mail| mail.kind == "account_deleted" && mail.to == "ada@example.org"));
        // The address is free again, for a new account with nothing of the old one.
        let again = api.signup("ada@example.org").await;
        assert_ne!(claims(&again.access)["sub"], claims(&here.access)["sub"]);
        api.me(&here.access).await.problem(401, "token_revoked");
    }

    /// A session that is opened while the account is being deleted must die with it, access tokens included.
    async fn takes_a_session_with_it_that_is_being_opened_meanwhile(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let tokens = api.signup("ada@example.org").await;
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        // What a login does, halted before its commit.
        let late = Uuid::from_u128(7);
        let mut tx = api.house().store().write().await.unwrap();
        query("UPDATE users SET last_login_at = 1 WHERE id = $1").bind(ada.id).execute(&mut tx).await.unwrap();
        query(
            "INSERT INTO sessions (id, user_id, scope, method, generation, created_at, rotated_at, expires_at)
             SELECT $1, user_id, scope, method, 0, created_at, rotated_at, expires_at FROM sessions WHERE user_id = $2",
        )
        .bind(late)
        .bind(ada.id)
        .execute(&mut tx)
        .await
        .unwrap();
        let deletion = tokio::spawn({
            let api = Arc::clone(&api);
            async move { api.house().delete_user(ada.id, &Origin::default()).await }
        });
        until_it_waits(&api, place).await;
        tx.commit().await.unwrap();
        deletion.await.unwrap().unwrap();
        let revoked: Vec<(Uuid,)> = api.rows(query("SELECT id FROM revocations ORDER BY id")).await;
        let first: SessionId = claims(&tokens.access)["sid"].as_str().unwrap().parse().unwrap();
        assert_eq!(revoked, [(late,), (first.0,)]);
        assert!(api.house().verifier().revocations().is_revoked(late.into_bytes().into()));
    }

    async fn by_sixteen_at_once_happens_once(place: &Place) {
        let api = Arc::new(Api::unbraked(place).await);
        let tokens: Tokens = api.signup("ada@example.org").await;
        let answers = crate::support::api::contend(16, |_| {
            let (api, token) = (Arc::clone(&api), tokens.access.clone());
            async move { api.delete("/users/me", Some(&token), json!({ "password": PASSWORD })).await }
        })
        .await;
        assert_eq!(crate::support::api::count(&answers, 204), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| [204, 401, 404].contains(&answer.status.as_u16())), "{answers:?}");
    }
}

/// Until somebody waits for what this test holds: a lock in PostgreSQL, the writer's turn in SQLite.
async fn until_it_waits(api: &Api, place: &crate::support::Place) {
    use tokenhouse::base::store::EngineKind;
    loop {
        let waits = match place.engine() {
            EngineKind::Sqlite => api.house().store().status().waiting > 0,
            EngineKind::Postgres => {
                let waiting = query(
                    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
                );
                api.rows::<(i64,)>(waiting).await != [(0,)]
            }
        };
        if waits {
            return;
        }
        tokio::task::yield_now().await;
    }
}
