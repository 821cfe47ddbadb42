//! Guessing becomes slow: per account, and per address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};
use tokenhouse::settings::{Period, Settings};
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, contend, count};

const ADA: &str = "ada@example.org";
const WRONG: &str = "wrong password";
const MINUTE: Duration = Duration::from_secs(60);

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

async fn guess_from(api: &Api, address: &str, password: &str) -> Answer {
    api.post_from(
        address,
        "/auth/login",
        json!({ "email": ADA, "password": password }),
    )
    .await
}

/// A login through a proxy at `peer`, which says whom it is for.
async fn forwarded(api: &Api, peer: &str, forwarded_for: &str) -> u16 {
    let request = Request::post("/auth/login")
        .header("content-type", "application/json")
        .header("x-forwarded-for", forwarded_for)
        .extension(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
    let body = json!({ "email": "nobody@example.org", "password": WRONG }).to_string();
    api.send(request.body(Body::from(body)).unwrap())
        .await
        .status
        .as_u16()
}

on_both_engines! {
    async fn a_stranger_keeps_the_owner_out_of_few_new_networks(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        for _ in 0..10 {
            guess_from(&api, "198.51.100.1", WRONG).await;
        }
        guess_from(&api, "198.51.100.1", PASSWORD).await.problem(429, "account_locked");
        let mut free = 0;
        for network in 0..32 {
            let answer = guess_from(&api, &format!("203.0.{network}.9"), PASSWORD).await;
            if answer.status == 200 {
                free += 1;
            } else {
                answer.problem(429, "account_locked");
            }
        }
        // Which of the four lanes a network is in is chance: three of four are not the stranger's.
        assert!((12..32).contains(&free), "{free} of 32");
    }

    async fn it_does_not_tell_which_names_belong_together(place: &Place) {
        let api = Api::on(place).await;
        let ada = json!({ "email": ADA, "username": "countess", "password": PASSWORD });
        api.post("/auth/signup", None, ada).await.is(201);
        for _ in 0..12 {
            api.guess(ADA, WRONG).await;
        }
        let login = async |name: &str| {
            api.post("/auth/login", None, json!({ "login": name, "password": WRONG })).await.status
        };
        assert_eq!(login("countess").await, login("somebody").await);
    }

    async fn ten_wrong_passwords_and_then_one_a_minute(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        for _ in 0..10 {
            api.guess(ADA, WRONG).await.problem(401, "invalid_credentials");
        }
        let locked = api.guess(ADA, PASSWORD).await;
        let problem = locked.problem(429, "account_locked");
        assert_eq!((locked.header("retry-after"), &problem["retry_after"]), ("60", &json!(60)));
        api.test.advance(MINUTE - Duration::from_millis(500));
        assert_eq!(api.guess(ADA, WRONG).await.header("retry-after"), "1");
        api.test.advance(Duration::from_millis(500));
        api.guess(ADA, WRONG).await.problem(401, "invalid_credentials");
        api.guess(ADA, WRONG).await.problem(429, "account_locked");
        // What was refused was not counted: the wait is no longer for it.
        api.test.advance(MINUTE);
        api.guess(ADA, PASSWORD).await.is(200);
    }

    async fn a_right_password_clears_the_count(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        for _ in 0..3 {
            for _ in 0..9 {
                api.guess(ADA, WRONG).await.problem(401, "invalid_credentials");
            }
            api.login(ADA).await;
        }
    }

    async fn a_name_in_another_spelling_is_the_same_account(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": ADA, "username": "countess", "password": PASSWORD });
        api.post("/auth/signup", None, body).await.is(201);
        for number in 0..10 {
            let name = ["ada@example.org", "ADA@Example.org", " Ada@example.ORG "][number % 3];
            let body = json!({ "login": name, "password": WRONG });
            api.post("/auth/login", None, body).await.problem(401, "invalid_credentials");
        }
        api.guess(ADA, PASSWORD).await.problem(429, "account_locked");
    }

    async fn an_account_that_does_not_exist_is_braked_alike(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        let mut answers = Vec::new();
        for name in [ADA, "nobody@example.org"] {
            let mut statuses = Vec::new();
            for _ in 0..12 {
                statuses.push(api.guess(name, WRONG).await.status);
            }
            let last = api.guess(name, WRONG).await;
            answers.push((statuses, last.status, last.header("retry-after").to_owned()));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].1, 429);
    }

    async fn a_hundred_parallel_guesses_stay_at_the_limit(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let second = Arc::new(Api::on(place).await);
        api.signup(ADA).await;
        let before = (api.test.hashing().completed, second.test.hashing().completed);
        let answers = contend(100, |number| {
            let api = Arc::clone(if number % 2 == 0 { &api } else { &second });
            async move { api.guess(ADA, WRONG).await }
        })
        .await;
        assert_eq!((count(&answers, 401), count(&answers, 429)), (10, 90));
        let judged = api.test.hashing().completed - before.0 + second.test.hashing().completed - before.1;
        assert_eq!(judged, 10, "no more passwords were looked at");
    }

    async fn a_hundred_parallel_right_passwords_all_get_in(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let logins = (0..100).map(|_| guess_from(&api, "192.0.2.1", PASSWORD));
        let answers = futures_util::future::join_all(logins).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{:?}", answers.iter().find(|answer| answer.status != 200));
        assert_eq!(guess_from(&api, "192.0.2.1", "wrong").await.status, 401);
    }

    async fn it_is_kept_over_a_restart(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        for _ in 0..10 {
            api.guess(ADA, WRONG).await.is(401);
        }
        api.house().close().await;
        Api::on(place).await.guess(ADA, PASSWORD).await.problem(429, "account_locked");
    }

    async fn a_stranger_does_not_lock_the_owner_out(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": ADA, "password": PASSWORD });
        api.post_from("192.0.2.1", "/auth/signup", body).await.is(201);
        for _ in 0..10 {
            guess_from(&api, "198.51.100.7", WRONG).await.is(401);
        }
        guess_from(&api, "198.51.100.7", PASSWORD).await.problem(429, "account_locked");
        guess_from(&api, "192.0.2.1", PASSWORD).await.is(200);
        // There is a brake for the known address too.
        for _ in 0..10 {
            guess_from(&api, "192.0.2.1", WRONG).await.is(401);
        }
        guess_from(&api, "192.0.2.1", PASSWORD).await.problem(429, "account_locked");
    }

    async fn the_password_that_is_asked_for_again_counts_too(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup(ADA).await.access;
        for number in 0..10 {
            let answer = if number % 2 == 0 {
                api.change_password(&ada, WRONG, "another long password").await
            } else {
                api.delete("/users/me", Some(&ada), json!({ "password": WRONG })).await
            };
            answer.problem(401, "invalid_credentials");
        }
        api.change_password(&ada, PASSWORD, "another long password").await.problem(429, "account_locked");
        api.delete("/users/me", Some(&ada), json!({ "password": PASSWORD })).await.problem(429, "account_locked");
        api.guess(ADA, PASSWORD).await.problem(429, "account_locked");
        // Whoever is logged in stays so.
        api.me(&ada).await.is(200);
        api.test.advance(MINUTE);
        api.change_password(&ada, PASSWORD, "another long password").await.is(204);
        api.guess(ADA, "another long password").await.is(200);
    }

    async fn it_can_be_switched_off(place: &Place) {
        let api = configured(place, |settings| settings.rate_limit.account_enabled = false).await;
        api.signup(ADA).await;
        for _ in 0..15 {
            api.guess(ADA, WRONG).await.is(401);
        }
        api.login(ADA).await;
    }

    async fn it_is_as_long_as_the_settings_say(place: &Place) {
        let api = configured(place, |settings| {
            settings.rate_limit.account_burst = 1;
            settings.rate_limit.account_interval = Period::seconds(10);
        })
        .await;
        api.signup(ADA).await;
        api.guess(ADA, WRONG).await.is(401);
        assert_eq!(api.guess(ADA, PASSWORD).await.header("retry-after"), "10");
        api.test.advance(Duration::from_secs(10));
        api.login(ADA).await;
    }

    async fn a_clock_set_back_locks_nobody_out_for_long(place: &Place) {
        let api = Api::on(place).await;
        api.signup(ADA).await;
        api.test.advance(Duration::from_secs(3600));
        for _ in 0..11 {
            api.guess(ADA, WRONG).await;
        }
        api.test.set_back(Duration::from_secs(3600));
        api.guess(ADA, WRONG).await.problem(401, "invalid_credentials");
        api.login(ADA).await;
        // And a clock far ahead does not either.
        api.test.advance(Duration::from_secs(10 * 365 * 86_400));
        api.login(ADA).await;
    }

    async fn what_no_longer_brakes_is_swept(place: &Place) {
        use tokenhouse::base::store::query;
        let api = Api::on(place).await;
        for number in 0..20 {
            api.guess(&format!("nobody{number}@example.org"), WRONG).await.is(401);
        }
        let brakes = || api.rows::<(i64,)>(query("SELECT COUNT(*) FROM brakes"));
        assert_eq!(brakes().await, [(20,)]);
        api.test.advance(2 * MINUTE);
        api.house().tend().await.unwrap();
        assert_eq!(brakes().await, [(0,)]);
    }

    async fn an_address_has_a_limit_of_its_own(place: &Place) {
        let api = configured(place, |settings| {
            settings.rate_limit.enabled = true;
            settings.rate_limit.burst = 3;
            settings.rate_limit.per_minute = 6;
            settings.rate_limit.account_enabled = false;
        })
        .await;
        for _ in 0..3 {
            guess_from(&api, "192.0.2.1", WRONG).await.problem(401, "invalid_credentials");
        }
        let limited = guess_from(&api, "192.0.2.1", WRONG).await;
        assert_eq!((limited.problem(429, "rate_limited")["retry_after"].as_u64(), limited.header("retry-after")), (Some(10), "10"));
        // Every door that takes credentials counts, and the others stay open.
        let signup = json!({ "email": ADA, "password": PASSWORD });
        api.post_from("192.0.2.1", "/auth/signup", signup).await.problem(429, "rate_limited");
        api.post_from("192.0.2.1", "/auth/refresh", json!({ "refresh_token": "x" })).await.problem(429, "rate_limited");
        api.get("/.well-known/jwks.json", None).await.is(200);
        guess_from(&api, "192.0.2.2", WRONG).await.is(401);
        guess_from(&api, "::ffff:192.0.2.1", WRONG).await.problem(429, "rate_limited");
        // One IPv6 network is one address.
        for host in 1..=3 {
            guess_from(&api, &format!("2001:db8::{host}"), WRONG).await.is(401);
        }
        guess_from(&api, "2001:db8::ffff:1", WRONG).await.problem(429, "rate_limited");
        guess_from(&api, "2001:db8:0:1::1", WRONG).await.is(401);
        api.test.advance(Duration::from_secs(10));
        guess_from(&api, "192.0.2.1", WRONG).await.is(401);
        guess_from(&api, "192.0.2.1", WRONG).await.is(429);
        api.test.set_back(Duration::from_secs(3600));
        guess_from(&api, "192.0.2.1", WRONG).await.is(401);
    }

    async fn only_a_trusted_proxy_says_whom_a_request_is_from(place: &Place) {
        let api = configured(place, |settings| {
            settings.rate_limit.enabled = true;
            settings.rate_limit.burst = 1;
            settings.rate_limit.per_minute = 1;
            settings.http.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
        })
        .await;
        // Through the proxy, each client is one; what it claims to the left is not believed.
        assert_eq!(forwarded(&api, "10.0.0.1", "192.0.2.1").await, 401);
        assert_eq!(forwarded(&api, "10.0.0.1", "192.0.2.1").await, 429);
        assert_eq!(forwarded(&api, "10.0.0.2", "203.0.113.5, 192.0.2.1").await, 429);
        assert_eq!(forwarded(&api, "10.0.0.2", "192.0.2.2, 10.0.0.9").await, 401);
        assert_eq!(forwarded(&api, "10.0.0.2", "192.0.2.2").await, 429);
        // A stranger's header is nothing.
        assert_eq!(forwarded(&api, "198.51.100.1", "192.0.2.77").await, 401);
        assert_eq!(forwarded(&api, "198.51.100.1", "192.0.2.78").await, 429);
        assert_eq!(forwarded(&api, "198.51.100.1", "10.0.0.1").await, 429);
    }

    async fn the_address_of_a_session_is_the_clients(place: &Place) {
        let api = configured(place, |settings| settings.http.trusted_proxies = vec!["10.0.0.1".to_owned()]).await;
        let request = Request::post("/auth/signup")
            .header("content-type", "application/json")
            .header("x-forwarded-for", "192.0.2.1")
            .header("user-agent", format!("Browser\u{e9}{}", "x".repeat(500)))
            .extension(ConnectInfo(SocketAddr::new("10.0.0.1".parse().unwrap(), 1)));
        let body = json!({ "email": ADA, "password": PASSWORD }).to_string();
        let answer = api.send(request.body(Body::from(body)).unwrap()).await.is(201);
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let listed = api.sessions(&token).await;
        assert_eq!(listed[0]["address"], "192.0.2.1");
        let agent = listed[0]["user_agent"].as_str().unwrap();
        assert!(agent.starts_with("Browser") && agent.chars().count() == 200, "{agent}");
        assert_ne!(listed[0]["user_agent"], Value::Null);
    }
}
