//! Hashing is a bounded resource, and the same work for everybody.

use std::sync::Arc;

use serde_json::{Value, json};
use tokenhouse::testing::PASSWORD;
use tokenhouse::{Email, NewUser};
use tokio::task::JoinHandle;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api};

/// Every hashing thread is at work for some hundred milliseconds, and the queue is full.
async fn overloaded(place: &Place) -> (Arc<Api>, Vec<JoinHandle<Answer>>) {
    let api = Api::with(place, |builder| {
        builder.configure(|settings| settings.passwords.queue = 1)
    })
    .await;
    let api = Arc::new(api);
    api.signup("ada@example.org").await;
    let slow = bcrypt::hash("somebody", 12).unwrap();
    for number in 0..3 {
        let new = NewUser {
            email: Some(Email::parse(&format!("slow{number}@example.org")).unwrap()),
            ..NewUser::default()
        };
        api.house().create_user(&new, Some(&slow)).await.unwrap();
    }
    let mut busy = Vec::new();
    for number in 0..3 {
        let status = || {
            let status = api.test.hashing();
            status.busy + status.queued
        };
        let before = status();
        let task = Arc::clone(&api);
        busy.push(tokio::spawn(async move {
            task.guess(&format!("slow{number}@example.org"), "wrong password")
                .await
        }));
        while status() == before {
            tokio::task::yield_now().await;
        }
        // The two threads take theirs before the third waits.
        while number < 2 && api.test.hashing().queued > 0 {
            tokio::task::yield_now().await;
        }
    }
    (api, busy)
}

async fn work(api: &Api, body: Value) -> u64 {
    let before = api.test.hashing().work_kib;
    api.post("/auth/login", None, body).await;
    api.test.hashing().work_kib - before
}

on_both_engines! {
    async fn past_the_queue_the_answer_is_to_come_again(place: &Place) {
        let (api, busy) = overloaded(place).await;
        let ada = json!({ "email": "ada@example.org", "password": PASSWORD });
        let eve = json!({ "email": "eve@example.org", "password": PASSWORD });
        for (path, body) in [("/auth/login", &ada), ("/auth/login", &eve), ("/auth/signup", &eve)] {
            let answer = api.post(path, None, body.clone()).await;
            let wait = answer.problem(503, "overloaded")["retry_after"].as_u64().unwrap();
            assert!(wait >= 1 && answer.header("retry-after") == wait.to_string());
        }
        assert!(busy.iter().any(|task| !task.is_finished()), "it was full all the while");
        for task in busy {
            task.await.unwrap().problem(401, "invalid_credentials");
        }
        api.login("ada@example.org").await;
        api.signup("eve@example.org").await;
    }

    async fn a_password_that_was_not_looked_at_is_no_guess(place: &Place) {
        let (api, busy) = overloaded(place).await;
        for _ in 0..12 {
            api.guess("ada@example.org", PASSWORD).await.problem(503, "overloaded");
        }
        assert!(busy.iter().any(|task| !task.is_finished()), "it was full all the while");
        for task in busy {
            task.await.unwrap();
        }
        api.login("ada@example.org").await;
    }

    async fn whoever_is_logged_in_is_not_held_up(place: &Place) {
        let (api, busy) = overloaded(place).await;
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        assert_eq!(api.house().sessions(ada.id).await.unwrap().len(), 1);
        api.get("/health/ready", None).await.is(200);
        api.refresh("thr_nonsense").await.problem(401, "refresh_invalid");
        assert!(busy.iter().any(|task| !task.is_finished()), "it was full all the while");
        for task in busy {
            task.await.unwrap();
        }
    }

    async fn the_same_work_is_done_whether_there_is_an_account_or_not(place: &Place) {
        let api = Api::unbraked(place).await;
        api.signup("ada@example.org").await;
        let new = NewUser { email: Some(Email::parse("bob@example.org").unwrap()), ..NewUser::default() };
        api.house().create_user(&new, None).await.unwrap();
        let guess = |email: &str, password: &str| json!({ "email": email, "password": password });
        let wrong = work(&api, guess("ada@example.org", "wrong password")).await;
        assert!(wrong > 0);
        assert_eq!(work(&api, guess("nobody@example.org", "wrong password")).await, wrong, "nobody");
        assert_eq!(work(&api, guess("bob@example.org", "wrong password")).await, wrong, "without a password");
        assert_eq!(work(&api, guess("ada@example.org", PASSWORD)).await, wrong, "the right password");
        assert_eq!(work(&api, guess("nobody\u{0}@example.org", "wrong password")).await, wrong, "no name at all");
        let ada = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        api.house().set_user_active(ada.id, false).await.unwrap();
        assert_eq!(work(&api, guess("ada@example.org", "wrong password")).await, wrong, "disabled");
        // What no password can be long enough for costs nothing, whoever it is for.
        let long = "x".repeat(2000);
        assert_eq!(work(&api, guess("ada@example.org", &long)).await, work(&api, guess("nobody@example.org", &long)).await);
    }

    async fn a_taken_address_costs_a_sign_up_as_much_as_a_free_one(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.signup.reveal_taken = false)).await;
        let mut costs = Vec::new();
        for _ in 0..2 {
            let before = api.test.hashing().work_kib;
            api.post("/auth/signup", None, json!({ "email": "ada@example.org", "password": PASSWORD })).await.is(202);
            costs.push(api.test.hashing().work_kib - before);
        }
        assert!(costs[0] > 0);
        assert_eq!(costs[0], costs[1]);
    }
}
