//! Fifty who want the same thing at the same moment, again and again: one gets it.
//!
//! `TOKENHOUSE_TEST_ROUNDS` says how often.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::base::store::query;
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, claims, contend, count};

const CONTENDERS: usize = 50;

fn rounds(usual: u64) -> u64 {
    std::env::var("TOKENHOUSE_TEST_ROUNDS").map_or(usual, |text| text.parse().unwrap())
}

/// A house in which everybody waits for their turn, however long the queue is on a busy machine.
async fn house(place: &Place) -> Arc<Api> {
    let api = Api::with(place, |builder| {
        builder.configure(|settings| {
            settings.rate_limit.account_enabled = false;
            settings.database.acquire_timeout = Period::minutes(1);
            settings.passwords.queue = CONTENDERS * 4;
        })
    });
    Arc::new(api.await)
}

/// What each is answered who posts this.
async fn post(
    api: &Arc<Api>,
    path: &'static str,
    token: Option<&str>,
    body: impl Fn(usize) -> Value,
) -> Vec<Answer> {
    let token = token.map(str::to_owned);
    contend(CONTENDERS, |number| {
        let (api, token, body) = (Arc::clone(api), token.clone(), body(number));
        async move { api.post(path, token.as_deref(), body).await }
    })
    .await
}

/// One has this answer, all others have the other.
#[track_caller]
fn one_winner(answers: &[Answer], won: u16, lost: u16) {
    let counts = (count(answers, won), count(answers, lost));
    assert_eq!(counts, (1, CONTENDERS - 1), "{answers:?}");
}

on_both_engines! {
    async fn a_refresh_has_one_successor(place: &Place) {
        let api = house(place).await;
        let mut tokens = api.signup("ada@example.org").await;
        for _ in 0..rounds(200) {
            let body = json!({ "refresh_token": tokens.refresh });
            let answers = post(&api, "/auth/refresh", None, |_| body.clone()).await;
            assert_eq!(count(&answers, 200), CONTENDERS, "{answers:?}");
            let next: HashSet<String> = answers.iter().map(|answer| Tokens::of(answer).refresh).collect();
            assert_eq!(next.len(), 1);
            assert!(!next.contains(&tokens.refresh));
            tokens = Tokens::of(&answers[0]);
        }
        let generations: Vec<(i64,)> = api.rows(query("SELECT generation FROM sessions")).await;
        assert_eq!(generations, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    async fn a_stolen_refresh_token_ends_its_session_once(place: &Place) {
        let api = house(place).await;
        let rounds = rounds(200);
        api.signup("ada@example.org").await;
        for _ in 0..rounds {
            let first = api.login("ada@example.org").await;
            let mut last = first.clone();
            for _ in 0..2 {
                last = Tokens::of(&api.refresh(&last.refresh).await.is(200));
            }
            let body = json!({ "refresh_token": first.refresh });
            let answers = post(&api, "/auth/refresh", None, |_| body.clone()).await;
            assert_eq!(count(&answers, 401), CONTENDERS, "{answers:?}");
            api.refresh(&last.refresh).await.problem(401, "refresh_invalid");
        }
        let told: Vec<(i64,)> = api.rows(query("SELECT COUNT(*) FROM events WHERE kind = 'session.refresh_reused'")).await;
        assert_eq!(told, [(i64::try_from(rounds).unwrap(),)]);
    }

    async fn a_name_goes_to_one(place: &Place) {
        let api = house(place).await;
        for round in 0..rounds(200) {
            let email = format!("ada{round}@example.org");
            let answers = post(&api, "/auth/signup", None, |_| json!({ "email": email, "password": PASSWORD })).await;
            one_winner(&answers, 201, 409);
        }
        for round in 0..rounds(200).min(50) {
            let username = format!("grace{round}");
            let answers = post(&api, "/auth/signup", None, |number| {
                json!({ "email": format!("grace{round}.{number}@example.org"), "username": username, "password": PASSWORD })
            })
            .await;
            one_winner(&answers, 201, 409);
        }
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM users WHERE id NOT IN (SELECT user_id FROM passwords)")).await, [(0,)]);
    }

    async fn a_name_that_many_want_to_change_to_goes_to_one(place: &Place) {
        let api = house(place).await;
        let mut everybody = Vec::new();
        for number in 0..CONTENDERS {
            everybody.push(api.signup(&format!("user{number}@example.org")).await.access);
        }
        let everybody = Arc::new(everybody);
        for round in 0..rounds(200) {
            let answers = contend(CONTENDERS, |number| {
                let (api, everybody) = (Arc::clone(&api), Arc::clone(&everybody));
                async move { api.patch("/users/me", Some(&everybody[number]), json!({ "username": format!("ada{round}") })).await }
            })
            .await;
            one_winner(&answers, 200, 409);
        }
    }

    async fn a_password_is_changed_by_one(place: &Place) {
        let api = house(place).await;
        let ada = api.signup("ada@example.org").await;
        let mut current = PASSWORD.to_owned();
        for round in 0..rounds(200) {
            let next = |number: usize| format!("the {number}th password of round {round}");
            let answers = post(&api, "/users/me/password", Some(&ada.access), |number| {
                json!({ "current_password": current, "new_password": next(number) })
            })
            .await;
            one_winner(&answers, 204, 401);
            current = next(answers.iter().position(|answer| answer.status == 204).unwrap());
        }
        api.guess("ada@example.org", &current).await.is(200);
    }

    async fn a_session_is_ended_by_one(place: &Place) {
        let api = house(place).await;
        api.signup("ada@example.org").await;
        for _ in 0..rounds(200) {
            let tokens = api.login("ada@example.org").await;
            let session = claims(&tokens.access)["sid"].as_str().unwrap().parse().unwrap();
            let user = claims(&tokens.access)["sub"].as_str().unwrap().parse().unwrap();
            let ended = contend(CONTENDERS, |_| {
                let api = Arc::clone(&api);
                async move { api.house().end_session(user, session, &tokenhouse::Origin::default()).await.unwrap() }
            })
            .await;
            assert_eq!(ended.into_iter().filter(|ended| *ended).count(), 1);
        }
    }

    async fn an_account_is_deleted_by_one(place: &Place) {
        let api = house(place).await;
        for round in 0..rounds(200) {
            let ada = api.signup(&format!("ada{round}@example.org")).await;
            let answers = contend(CONTENDERS, |_| {
                let (api, token) = (Arc::clone(&api), ada.access.clone());
                async move { api.delete("/users/me", Some(&token), json!({ "password": PASSWORD })).await }
            })
            .await;
            // Whoever is too late has a token that is over, or finds the account gone.
            assert_eq!((count(&answers, 204), count(&answers, 401) + count(&answers, 404)), (1, CONTENDERS - 1), "{answers:?}");
        }
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM events WHERE kind = 'user.deleted'")).await, [(i64::try_from(rounds(200)).unwrap(),)]);
    }

    async fn keys_that_are_due_are_rotated_once(place: &Place) {
        let api = house(place).await;
        api.house().tend().await.unwrap();
        for _ in 0..rounds(200).min(20) {
            api.test.advance(Duration::from_secs(91 * 86_400));
            let before: HashSet<String> = api.house().keys().into_iter().map(|key| key.kid).collect();
            contend(CONTENDERS, |_| {
                let api = Arc::clone(&api);
                // Whoever comes second may be told so.
                async move { let _ = api.house().tend().await; }
            })
            .await;
            api.house().tend().await.unwrap();
            let keys = api.house().keys();
            let fresh = keys.iter().filter(|key| !before.contains(&key.kid)).count();
            let states = |state: &str| keys.iter().filter(|key| key.state == state).count();
            assert_eq!((fresh, states("active"), states("next")), (1, 1, 1), "{keys:?}");
        }
    }

    async fn no_more_guesses_get_through_than_an_account_bears(place: &Place) {
        let api = Arc::new(Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.database.acquire_timeout = Period::minutes(1);
                settings.passwords.queue = CONTENDERS * 4;
            })
        }).await);
        for round in 0..rounds(200).min(50) {
            let email = format!("ada{round}@example.org");
            let answers = post(&api, "/auth/login", None, |number| json!({ "email": email, "password": format!("guess no. {number}") })).await;
            assert_eq!((count(&answers, 401), count(&answers, 429)), (10, CONTENDERS - 10), "{answers:?}");
        }
    }
}
