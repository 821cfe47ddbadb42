//! Staying logged in, and logging out.

use std::time::Duration;

use serde_json::Value;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens};

on_both_engines! {
    async fn a_refresh_token_works_once_and_its_replay_gets_the_same_successor(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = Tokens::of(&api.refresh(&first.refresh).await.is(200));
        assert_ne!(first.refresh, second.refresh);
        let replayed = Tokens::of(&api.refresh(&first.refresh).await.is(200));
        assert_eq!(replayed.refresh, second.refresh);
        api.me(&second.access).await.is(200);
        api.test.advance(Duration::from_secs(31));
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
        api.refresh(&second.refresh).await.problem(401, "refresh_invalid");
        api.me(&second.access).await.problem(401, "token_revoked");
    }

    async fn logging_out_ends_the_session_at_once(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        api.post("/auth/logout", Some(&tokens.access), Value::Null).await.is(204);
        api.me(&tokens.access).await.problem(401, "token_revoked");
        api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
    }
}
