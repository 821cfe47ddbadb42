//! Fifty at once for what only one can have, on two nodes of one PostgreSQL and on the one node of an SQLite file.
//!
//! `TOKENHOUSE_TEST_ROUNDS` says how often.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokenhouse::base::store::{EngineKind, query};
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, contend, count};

pub const CONTENDERS: usize = 50;

pub fn rounds(usual: usize) -> usize {
    let wanted = std::env::var("TOKENHOUSE_TEST_ROUNDS").ok();
    wanted.map_or(usual, |text| text.parse().unwrap())
}

/// The nodes there can be on this database, and what each contender does with one of them.
pub struct Nodes(Vec<Arc<Api>>);

impl Nodes {
    pub async fn on(place: &Place, grace: Period) -> Self {
        let count = if place.engine() == EngineKind::Postgres {
            2
        } else {
            1
        };
        let mut nodes = Vec::new();
        for _ in 0..count {
            let node = Api::with(place, |builder| {
                builder.configure(|settings| {
                    settings.rate_limit.account_enabled = false;
                    settings.sessions.refresh_grace = grace;
                    // However long the queue is on a busy machine, everybody's turn comes.
                    settings.database.acquire_timeout = Period::minutes(1);
                })
            });
            nodes.push(Arc::new(node.await));
        }
        Self(nodes)
    }

    pub fn first(&self) -> &Api {
        &self.0[0]
    }

    pub async fn contend<F>(&self, act: impl Fn(Arc<Api>, usize) -> F) -> Vec<Answer>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        contend(CONTENDERS, |number| {
            act(Arc::clone(&self.0[number % self.0.len()]), number)
        })
        .await
    }
}

on_both_engines! {
    async fn one_refresh_has_one_successor(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        let mut tokens = nodes.first().signup("ada@example.org").await;
        for round in 0..rounds(200) {
            let answers = nodes.contend(|api, _| {
                let token = tokens.refresh.clone();
                async move { api.refresh(&token).await }
            }).await;
            assert_eq!(count(&answers, 200), CONTENDERS, "in round {round}: {answers:?}");
            let successors: BTreeSet<String> = answers.iter().map(|answer| Tokens::of(answer).refresh).collect();
            assert_eq!(successors.len(), 1);
            tokens = Tokens::of(&answers[0]);
        }
        let generation: Vec<(i64,)> = nodes.first().rows(query("SELECT generation FROM sessions")).await;
        assert_eq!(generation, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    /// Without any grace the second to come is a thief, and the session is over, once.
    async fn without_grace_one_refreshes_and_the_session_ends(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(0)).await;
        for round in 0..rounds(200) {
            let tokens = nodes.first().signup(&format!("{round}@example.org")).await;
            let answers = nodes.contend(|api, _| {
                let token = tokens.refresh.clone();
                async move { api.refresh(&token).await }
            }).await;
            assert_eq!((count(&answers, 200), count(&answers, 401)), (1, CONTENDERS - 1), "in round {round}: {answers:?}");
            for api in &nodes.0 {
                api.test.follow().await;
                api.me(&tokens.access).await.problem(401, "token_revoked");
            }
        }
        let told: Vec<(i64,)> = nodes.first().rows(query("SELECT COUNT(*) FROM events WHERE kind = 'session.refresh_reused'")).await;
        assert_eq!(told, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    async fn one_gets_the_name(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        for round in 0..rounds(200) {
            let answers = nodes.contend(|api, number| async move {
                let name = if number % 2 == 0 { "ada" } else { "ADA" };
                let body = json!({ "email": format!("{name}-{round}@example.org"), "password": PASSWORD });
                api.post("/auth/signup", None, body).await
            }).await;
            assert_eq!((count(&answers, 201), count(&answers, 409)), (1, CONTENDERS - 1), "in round {round}: {answers:?}");
        }
    }

    async fn one_changes_the_password(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        for round in 0..rounds(200) {
            let email = format!("{round}@example.org");
            let ada = nodes.first().signup(&email).await;
            let answers = nodes.contend(|api, number| {
                let token = ada.access.clone();
                async move { api.change_password(&token, PASSWORD, &format!("another password {number}")).await }
            }).await;
            assert_eq!((count(&answers, 204), count(&answers, 401)), (1, CONTENDERS - 1), "in round {round}: {answers:?}");
            let winner = answers.iter().position(|answer| answer.status == 204).unwrap();
            nodes.first().guess(&email, &format!("another password {winner}")).await.is(200);
        }
    }

    async fn a_session_ends_once(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        for round in 0..rounds(200) {
            let ada = nodes.first().signup(&format!("{round}@example.org")).await;
            let answers = nodes.contend(|api, _| {
                let token = ada.refresh.clone();
                async move { api.post("/auth/logout", None, json!({ "refresh_token": token })).await }
            }).await;
            assert_eq!(count(&answers, 204), CONTENDERS, "in round {round}: {answers:?}");
        }
        let told: Vec<(i64,)> = nodes.first().rows(query("SELECT COUNT(*) FROM events WHERE kind = 'session.ended'")).await;
        assert_eq!(told, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    async fn one_deletes_the_account(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        for round in 0..rounds(200) {
            let ada = nodes.first().signup(&format!("{round}@example.org")).await;
            let answers = nodes.contend(|api, _| {
                let token = ada.access.clone();
                async move { api.delete("/users/me", Some(&token), json!({ "password": PASSWORD })).await }
            }).await;
            let late = count(&answers, 401) + count(&answers, 404);
            assert_eq!((count(&answers, 204), late), (1, CONTENDERS - 1), "in round {round}: {answers:?}");
        }
    }

    /// The key that signs is handed on along one line: each rotation that says it was done retired exactly one.
    async fn keys_rotate_along_one_line(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        nodes.first().house().tend().await.unwrap();
        let states = async |state: &str| -> usize {
            nodes.first().test.follow().await;
            nodes.first().house().keys().iter().filter(|key| key.state == state).count()
        };
        for _ in 0..rounds(40) {
            let before = states("retired").await;
            let rotated = contend(CONTENDERS, |number| {
                let api = Arc::clone(&nodes.0[number % nodes.0.len()]);
                async move { api.house().rotate_keys().await.is_ok() }
            })
            .await;
            let done = rotated.into_iter().filter(|done| *done).count();
            assert!(done >= 1);
            assert_eq!((states("active").await, states("next").await, states("retired").await), (1, 1, before + done));
        }
    }

    async fn a_stolen_refresh_token_ends_its_session_once(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        nodes.first().signup("ada@example.org").await;
        for round in 0..rounds(200) {
            let first = nodes.first().login("ada@example.org").await;
            let mut last = first.clone();
            for _ in 0..2 {
                last = Tokens::of(&nodes.first().refresh(&last.refresh).await.is(200));
            }
            let answers = nodes.contend(|api, _| {
                let token = first.refresh.clone();
                async move { api.refresh(&token).await }
            }).await;
            assert_eq!(count(&answers, 401), CONTENDERS, "in round {round}: {answers:?}");
            nodes.first().refresh(&last.refresh).await.problem(401, "refresh_invalid");
        }
        let told: Vec<(i64,)> = nodes.first().rows(query("SELECT COUNT(*) FROM events WHERE kind = 'session.refresh_reused'")).await;
        assert_eq!(told, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    async fn one_gets_the_name_that_many_want_to_change_to(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        let mut everybody = Vec::new();
        for number in 0..CONTENDERS {
            everybody.push(nodes.first().signup(&format!("user{number}@example.org")).await.access);
        }
        for round in 0..rounds(200) {
            let answers = nodes.contend(|api, number| {
                let token = everybody[number].clone();
                async move { api.patch("/users/me", Some(&token), json!({ "username": format!("ada{round}") })).await }
            }).await;
            assert_eq!((count(&answers, 200), count(&answers, 409)), (1, CONTENDERS - 1), "in round {round}: {answers:?}");
        }
    }

    async fn keys_that_are_due_are_rotated_once(place: &Place) {
        let nodes = Nodes::on(place, Period::seconds(30)).await;
        nodes.first().house().tend().await.unwrap();
        for _ in 0..rounds(20) {
            for api in &nodes.0 {
                api.test.advance(Duration::from_secs(91 * 86_400));
            }
            let before: BTreeSet<String> = nodes.first().house().keys().into_iter().map(|key| key.kid).collect();
            contend(CONTENDERS, |number| {
                let api = Arc::clone(&nodes.0[number % nodes.0.len()]);
                // Whoever comes second may be told so.
                async move { let _ = api.house().tend().await; }
            })
            .await;
            nodes.first().house().tend().await.unwrap();
            nodes.first().test.follow().await;
            let keys = nodes.first().house().keys();
            let fresh = keys.iter().filter(|key| !before.contains(&key.kid)).count();
            let states = |state: &str| keys.iter().filter(|key| key.state == state).count();
            assert_eq!((fresh, states("active"), states("next")), (1, 1, 1), "{keys:?}");
        }
    }

    async fn no_more_guesses_get_through_than_an_account_bears(place: &Place) {
        let api = Arc::new(Api::with(place, |builder| {
            builder.configure(|settings| settings.database.acquire_timeout = Period::minutes(1))
        }).await);
        for round in 0..rounds(50) {
            let answers = contend(CONTENDERS, |number| {
                let api = Arc::clone(&api);
                async move { api.guess(&format!("ada{round}@example.org"), &format!("guess no. {number}")).await }
            }).await;
            assert_eq!((count(&answers, 401), count(&answers, 429)), (10, CONTENDERS - 10), "{answers:?}");
        }
    }
}
