//! Staying logged in, and logging out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenhouse::SessionId;
use tokenhouse::base::store::query;
use tokenhouse::kernel::session::{Presented, RefreshTokens};
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens, claims, contend, count, faults};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// What makes the refresh tokens of this house.
fn forge(api: &Api) -> RefreshTokens {
    RefreshTokens::under(&api.test.root_key().derive("refresh tokens"))
}

async fn next(api: &Api, refresh: &str) -> Tokens {
    Tokens::of(&api.refresh(refresh).await.is(200))
}

fn session_of(tokens: &Tokens) -> SessionId {
    claims(&tokens.access)["sid"].as_str().unwrap().parse().unwrap()
}

on_both_engines! {
    async fn a_clock_that_jumps_ahead_and_returns_revives_no_logged_out_token(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        api.logout(&ada.access).await.is(204);
        api.test.advance(Duration::from_secs(180));
        api.test.follow().await;
        api.test.advance(Duration::from_secs(3600));
        api.test.follow().await;
        api.test.set_back(Duration::from_secs(3600));
        api.test.follow().await;
        api.me(&ada.access).await.problem(401, "token_revoked");
    }

    async fn a_shorter_lifetime_in_the_settings_revives_no_logged_out_token(place: &Place) {
        let long = Api::with(place, |builder| {
            builder.configure(|settings| settings.tokens.access_lifetime = Period::days(1))
        })
        .await;
        let ada = long.signup("ada@example.org").await;
        let short = Api::on(place).await;
        short.logout(&ada.access).await.is(204);
        short.test.advance(Duration::from_secs(17 * 60));
        short.test.follow().await;
        short.me(&ada.access).await.problem(401, "token_revoked");
    }

    async fn logging_out_ends_the_bearers_session_whatever_refresh_token_comes_along(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        api.post("/auth/logout", Some(&ada.access), json!({ "refresh_token": "thr_stale" })).await.is(204);
        api.me(&ada.access).await.problem(401, "token_revoked");
        let (first, second) = (api.login("ada@example.org").await, api.login("ada@example.org").await);
        api.post("/auth/logout", Some(&first.access), json!({ "refresh_token": second.refresh })).await.is(204);
        api.me(&first.access).await.problem(401, "token_revoked");
        api.me(&second.access).await.problem(401, "token_revoked");
    }

    async fn one_failing_sweep_does_not_stop_the_rotation_of_keys(place: &Place) {
        let api = Api::on(place).await;
        api.house().tend().await.unwrap();
        api.test.advance(Duration::from_secs(91 * 86_400));
        api.change(query("ALTER TABLE brakes RENAME TO gone")).await;
        assert!(api.house().tend().await.is_err());
        assert!(api.house().keys().iter().any(|key| key.state == "retired"));
    }

    async fn a_refresh_token_works_once_and_its_replay_gets_the_same_successor(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = next(&api, &first.refresh).await;
        assert_ne!(first.refresh, second.refresh);
        let replayed = next(&api, &first.refresh).await;
        assert_eq!(replayed.refresh, second.refresh);
        api.me(&second.access).await.is(200);
        api.test.advance(31 * SECOND);
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
        api.refresh(&second.refresh).await.problem(401, "refresh_invalid");
        api.me(&second.access).await.problem(401, "token_revoked");
    }

    async fn the_grace_ends_after_its_last_microsecond(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = next(&api, &first.refresh).await;
        api.test.advance(30 * SECOND);
        assert_eq!(next(&api, &first.refresh).await.refresh, second.refresh);
        api.test.advance(Duration::from_micros(1));
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
        let events: Vec<(String,)> = api.rows(query("SELECT kind FROM events WHERE kind = 'session.refresh_reused'")).await;
        assert_eq!(events.len(), 1);
    }

    async fn a_replay_does_not_lengthen_the_grace(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        next(&api, &first.refresh).await;
        for _ in 0..3 {
            api.test.advance(10 * SECOND);
            next(&api, &first.refresh).await;
        }
        api.test.advance(SECOND);
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
    }

    async fn a_token_two_behind_ends_the_session_even_within_the_grace(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = next(&api, &first.refresh).await;
        let third = next(&api, &second.refresh).await;
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
        for token in [&first, &second, &third] {
            api.refresh(&token.refresh).await.problem(401, "refresh_invalid");
            api.me(&token.access).await.problem(401, "token_revoked");
        }
    }

    async fn without_a_grace_a_replay_ends_the_session(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.sessions.refresh_grace = Period::seconds(0))).await;
        let first = api.signup("ada@example.org").await;
        next(&api, &first.refresh).await;
        api.test.advance(Duration::from_micros(1));
        api.refresh(&first.refresh).await.problem(401, "refresh_reused");
    }

    async fn an_honest_client_stays_logged_in_until_the_absolute_end(place: &Place) {
        let api = Api::on(place).await;
        let mut tokens = api.signup("ada@example.org").await;
        for _ in 0..12 {
            api.test.advance(30 * DAY - SECOND);
            tokens = next(&api, &tokens.refresh).await;
            api.me(&tokens.access).await.is(200);
        }
        // 360 days less 12 seconds are over.
        api.test.advance(5 * DAY + 11 * SECOND);
        let last = api.refresh(&tokens.refresh).await.is(200);
        assert_eq!(last.json()["expires_in"], 1, "an access token does not outlive its session");
        let last = Tokens::of(&last);
        api.test.advance(SECOND);
        api.refresh(&last.refresh).await.problem(401, "refresh_expired");
        api.test.advance(10 * SECOND);
        api.me(&last.access).await.problem(401, "token_expired");
        assert!(api.sessions(&api.login("ada@example.org").await.access).await.len() == 1);
    }

    async fn a_session_that_is_not_used_is_over(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        api.test.advance(30 * DAY);
        api.refresh(&tokens.refresh).await.problem(401, "refresh_expired");
        api.test.set_back(Duration::from_micros(1));
        api.refresh(&tokens.refresh).await.is(200);
    }

    async fn no_access_token_outlives_an_idle_session(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.sessions.idle_lifetime = Period::minutes(5))).await;
        let answer = api.post("/auth/signup", None, json!({ "email": "ada@example.org", "password": PASSWORD })).await.is(201);
        assert_eq!(answer.json()["expires_in"], 300);
        let tokens = Tokens::of(&answer);
        api.test.advance(Duration::from_secs(290));
        let refreshed = api.refresh(&tokens.refresh).await.is(200);
        assert_eq!(refreshed.json()["expires_in"], 300);
        api.test.advance(Duration::from_secs(20));
        let replayed = api.refresh(&tokens.refresh).await.is(200);
        assert_eq!(replayed.json()["expires_in"], 280, "a replay uses the session no further");
    }

    async fn a_token_of_a_generation_to_come_is_refused_and_ends_nothing(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let session = session_of(&tokens);
        assert_eq!(forge(&api).make(Presented { session, generation: 0 }).expose(), tokens.refresh);
        for generation in [1, 2, 1000, i64::MAX, i64::MIN, -1] {
            let token = forge(&api).make(Presented { session, generation });
            let answer = api.refresh(token.expose()).await;
            assert_eq!(answer.status, 401, "{generation}: {answer:?}");
            if generation > 0 {
                answer.problem(401, "refresh_invalid");
                api.me(&tokens.access).await.is(200);
            }
        }
        let unknown = forge(&api).make(Presented { session: SessionId(uuid::Uuid::nil()), generation: 0 });
        api.refresh(unknown.expose()).await.problem(401, "refresh_invalid");
    }

    async fn a_forged_token_does_not_reach_the_database(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let foreign = RefreshTokens::under(&[7; 32]).make(Presented { session: session_of(&tokens), generation: 0 });
        let mutated = |position: usize| {
            let mut bytes = tokens.refresh.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        // From here on whatever asks the database is answered 503.
        api.house().close().await;
        api.refresh(&tokens.refresh).await.problem(503, "unavailable");
        for token in [
            foreign.expose().to_owned(),
            mutated(4),
            mutated(30),
            mutated(50),
            mutated(tokens.refresh.len() - 1),
            tokens.refresh.to_uppercase(),
            format!("{}=", tokens.refresh),
            format!(" {}", tokens.refresh),
            tokens.refresh[..tokens.refresh.len() - 1].to_owned(),
            tokens.refresh.replacen("thr_", "", 1),
            tokens.access.clone(),
            String::new(),
            "\u{0}".to_owned(),
            "thr_".to_owned(),
            "é".repeat(40),
        ] {
            api.refresh(&token).await.problem(401, "refresh_invalid");
            api.post("/auth/logout", None, json!({ "refresh_token": token })).await.problem(401, "refresh_invalid");
        }
    }

    async fn one_kind_of_token_does_not_do_for_the_other(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        api.me(&tokens.refresh).await.problem(401, "token_invalid");
        api.post("/auth/logout/all", Some(&tokens.refresh), Value::Null).await.problem(401, "token_invalid");
        api.logout(&tokens.refresh).await.problem(401, "token_invalid");
        api.refresh(&tokens.access).await.problem(401, "refresh_invalid");
        api.me(&tokens.access).await.is(200);
        api.refresh(&tokens.refresh).await.is(200);
    }

    async fn a_refresh_is_taken_as_json_and_as_a_form(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let form = format!("grant_type=refresh_token&refresh_token={}&client_id=app", tokens.refresh);
        let answer = api.form("/auth/refresh", &form).await.is(200);
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
        assert_eq!(answer.json()["token_type"], "Bearer");
        assert_eq!(answer.json()["user"], Value::Null);
        next(&api, &Tokens::of(&answer).refresh).await;
        assert_eq!(faults(&api.post("/auth/refresh", None, json!({})).await), [("/refresh_token".to_owned(), "missing".to_owned())]);
        assert_eq!(faults(&api.form("/auth/refresh", "refresh_token=").await), [("/refresh_token".to_owned(), "missing".to_owned())]);
    }

    async fn sixteen_who_present_one_token_get_one_successor(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let mut tokens = api.signup("ada@example.org").await;
        for round in 1..=5 {
            let answers = contend(16, |_| {
                let (api, token) = (Arc::clone(&api), tokens.refresh.clone());
                async move { api.refresh(&token).await }
            })
            .await;
            assert_eq!(count(&answers, 200), 16, "{answers:?}");
            let successors: HashSet<String> = answers.iter().map(|answer| Tokens::of(answer).refresh).collect();
            assert_eq!(successors.len(), 1);
            tokens = Tokens::of(&answers[0]);
            let generation: Vec<(i64,)> = api.rows(query("SELECT generation FROM sessions")).await;
            assert_eq!(generation, [(round,)]);
        }
    }

    async fn a_logout_among_sixteen_refreshes_wins(place: &Place) {
        let api = Arc::new(Api::on(place).await);
        let tokens = api.signup("ada@example.org").await;
        let answers = contend(16, |number| {
            let (api, tokens) = (Arc::clone(&api), tokens.clone());
            async move {
                match number {
                    8 => api.logout(&tokens.access).await.is(204),
                    _ => api.refresh(&tokens.refresh).await,
                }
            }
        })
        .await;
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let late = Tokens::of(answer);
            api.me(&late.access).await.problem(401, "token_revoked");
            api.refresh(&late.refresh).await.problem(401, "refresh_invalid");
        }
        assert_eq!(count(&answers, 200) + count(&answers, 401), 15);
    }

    async fn logging_out_takes_a_body_that_is_announced_and_empty(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let request = http::Request::post("/auth/logout")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", tokens.access));
        api.send(request.body(axum::body::Body::empty()).unwrap()).await.is(204);
        api.me(&tokens.access).await.problem(401, "token_revoked");
    }

    async fn logging_out_ends_the_session_at_once(place: &Place) {
        let api = Api::on(place).await;
        let tokens = api.signup("ada@example.org").await;
        let other = api.login("ada@example.org").await;
        api.me(&tokens.access).await.is(200);
        assert!(api.logout(&tokens.access).await.is(204).body.is_empty());
        api.me(&tokens.access).await.problem(401, "token_revoked");
        api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        api.logout(&tokens.access).await.problem(401, "token_revoked");
        api.me(&other.access).await.is(200);
        api.refresh(&other.refresh).await.is(200);
    }

    async fn logging_out_works_with_a_refresh_token_however_old(place: &Place) {
        let api = Api::on(place).await;
        let first = api.signup("ada@example.org").await;
        let second = next(&api, &first.refresh).await;
        let out = |token: &str| api.post("/auth/logout", None, json!({ "refresh_token": token }));
        out(&first.refresh).await.is(204);
        api.me(&second.access).await.problem(401, "token_revoked");
        api.refresh(&second.refresh).await.problem(401, "refresh_invalid");
        out(&second.refresh).await.is(204);
        api.post("/auth/logout", None, Value::Null).await.problem(401, "token_missing");
        api.post("/auth/logout", None, json!({})).await.problem(401, "token_missing");
        // Whose access token has expired can still log out.
        let late = api.login("ada@example.org").await;
        api.test.advance(2 * DAY);
        let answer = api.post("/auth/logout", Some(&late.access), json!({ "refresh_token": late.refresh })).await;
        answer.is(204);
        api.refresh(&late.refresh).await.problem(401, "refresh_invalid");
    }

    async fn logging_out_everywhere_ends_every_session_of_this_user_only(place: &Place) {
        let api = Api::on(place).await;
        let mut all = vec![api.signup("ada@example.org").await];
        for _ in 0..3 {
            all.push(api.login("ada@example.org").await);
        }
        let eve = api.signup("eve@example.org").await;
        api.post("/auth/logout/all", Some(&all[1].access), Value::Null).await.is(204);
        for tokens in &all {
            api.me(&tokens.access).await.problem(401, "token_revoked");
            api.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        }
        api.me(&eve.access).await.is(200);
        api.me(&api.login("ada@example.org").await.access).await.is(200);
    }

    async fn devices_are_listed_the_last_used_first_and_this_one_marked(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let answer = api.post_from("192.0.2.1", "/auth/signup", body).await.is(201);
        let phone = Tokens::of(&answer);
        api.test.advance(60 * SECOND);
        let laptop = api.login("ada@example.org").await;
        api.test.advance(60 * SECOND);
        let listed = api.sessions(&laptop.access).await;
        let order: Vec<_> = listed.iter().map(|one| (one["id"].clone(), one["current"].clone())).collect();
        let id = |tokens: &Tokens| json!(session_of(tokens).to_string());
        assert_eq!(order, [(id(&laptop), json!(true)), (id(&phone), json!(false))]);
        assert_eq!(
            listed[1],
            json!({
                "id": id(&phone), "current": false, "method": "password", "address": "192.0.2.1", "user_agent": null,
                "created_at": "2026-01-01T00:00:00Z", "last_used_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z"
            })
        );
        next(&api, &phone.refresh).await;
        let listed = api.sessions(&phone.access).await;
        assert_eq!((&listed[0]["id"], &listed[0]["current"], &listed[0]["last_used_at"]), (&id(&phone), &json!(true), &json!("2026-01-01T00:02:00Z")));
        // What has expired is not listed.
        api.test.advance(30 * DAY - 60 * SECOND);
        assert_eq!(api.sessions(&api.login("ada@example.org").await.access).await.len(), 2);
    }

    async fn a_device_is_logged_out_by_its_id_and_nobody_elses(place: &Place) {
        let api = Api::on(place).await;
        let (here, there) = (api.signup("ada@example.org").await, api.login("ada@example.org").await);
        let eve = api.signup("eve@example.org").await;
        let path = |tokens: &Tokens| format!("/users/me/sessions/{}", session_of(tokens));
        api.delete(&path(&here), Some(&eve.access), Value::Null).await.problem(404, "not_found");
        api.delete(&path(&here), None, Value::Null).await.problem(401, "token_missing");
        api.me(&here.access).await.is(200);
        api.delete(&path(&there), Some(&here.access), Value::Null).await.is(204);
        api.me(&there.access).await.problem(401, "token_revoked");
        api.delete(&path(&there), Some(&here.access), Value::Null).await.problem(404, "not_found");
        assert_eq!(api.sessions(&here.access).await.len(), 1);
        for nonsense in ["x", "%ff", "%00", "%2e%2e", "00000000-0000-0000-0000-000000000000", "'%20OR%201=1--"] {
            let path = format!("/users/me/sessions/{nonsense}");
            api.delete(&path, Some(&here.access), Value::Null).await.problem(404, "not_found");
        }
        api.delete(&path(&here), Some(&here.access), Value::Null).await.is(204);
        api.me(&here.access).await.problem(401, "token_revoked");
    }

    async fn one_session_too_many_ends_the_one_longest_unused(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.sessions.max_per_user = 3)).await;
        let mut all = vec![api.signup("ada@example.org").await];
        for _ in 0..2 {
            api.test.advance(SECOND);
            all.push(api.login("ada@example.org").await);
        }
        api.test.advance(SECOND);
        all[0] = next(&api, &all[0].refresh).await;
        let eve = api.signup("eve@example.org").await;
        api.login("ada@example.org").await;
        api.me(&all[1].access).await.problem(401, "token_revoked");
        for tokens in [&all[0], &all[2], &eve] {
            api.me(&tokens.access).await.is(200);
        }
        assert_eq!(api.sessions(&all[0].access).await.len(), 3);
    }

    async fn sixteen_logins_at_once_keep_to_the_most_sessions(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| {
            settings.sessions.max_per_user = 1;
            settings.rate_limit.account_enabled = false;
        })).await;
        let api = Arc::new(api);
        api.signup("ada@example.org").await;
        let answers = contend(16, |_| {
            let api = Arc::clone(&api);
            async move { api.guess("ada@example.org", PASSWORD).await }
        })
        .await;
        assert_eq!(count(&answers, 200), 16);
        let mut alive = 0;
        for answer in &answers {
            alive += usize::from(api.me(&Tokens::of(answer).access).await.status == 200);
        }
        assert_eq!(alive, 1);
    }

    async fn what_one_house_ends_another_refuses(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let tokens = one.signup("ada@example.org").await;
        other.me(&tokens.access).await.is(200);
        one.logout(&tokens.access).await.is(204);
        other.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        other.test.follow().await;
        other.me(&tokens.access).await.problem(401, "token_revoked");
        // A house that starts later knows it from the start, and after everything was swept.
        one.house().tend().await.unwrap();
        Api::on(place).await.me(&tokens.access).await.problem(401, "token_revoked");
    }

    async fn what_one_house_refreshed_another_knows(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let first = one.signup("ada@example.org").await;
        let second = next(&one, &first.refresh).await;
        assert_eq!(next(&other, &first.refresh).await.refresh, second.refresh);
        let third = next(&other, &second.refresh).await;
        one.refresh(&first.refresh).await.problem(401, "refresh_reused");
        other.refresh(&third.refresh).await.problem(401, "refresh_invalid");
        other.test.follow().await;
        other.me(&third.access).await.problem(401, "token_revoked");
    }

    async fn a_restart_forgets_nothing(place: &Place) {
        let api = Api::on(place).await;
        let (stays, goes) = (api.signup("ada@example.org").await, api.login("ada@example.org").await);
        let second = next(&api, &stays.refresh).await;
        api.logout(&goes.access).await.is(204);
        api.house().close().await;
        let api = Api::on(place).await;
        api.me(&stays.access).await.is(200);
        api.me(&goes.access).await.problem(401, "token_revoked");
        assert_eq!(next(&api, &stays.refresh).await.refresh, second.refresh);
        next(&api, &second.refresh).await;
        api.refresh(&stays.refresh).await.problem(401, "refresh_reused");
    }

    async fn sweeping_takes_what_is_over_and_nothing_else(place: &Place) {
        let api = Api::on(place).await;
        let (old, used) = (api.signup("ada@example.org").await, api.login("ada@example.org").await);
        api.test.advance(20 * DAY);
        let used = next(&api, &used.refresh).await;
        api.test.advance(15 * DAY);
        api.house().tend().await.unwrap();
        assert_eq!(api.rows::<(i64,)>(query("SELECT COUNT(*) FROM sessions")).await, [(1,)]);
        api.refresh(&old.refresh).await.problem(401, "refresh_invalid");
        next(&api, &used.refresh).await;
    }

    async fn an_ended_session_stays_ended_when_the_clock_was_wrong(place: &Place) {
        let api = Api::on(place).await;
        let hour = Duration::from_secs(3600);
        api.test.advance(hour);
        let tokens = api.signup("ada@example.org").await;
        api.test.set_back(hour);
        api.post("/auth/logout", None, json!({ "refresh_token": tokens.refresh })).await.is(204);
        // Until the last access token has expired, nothing that is swept may bring it back.
        for _ in 0..75 {
            api.test.advance(Duration::from_secs(60));
            api.house().tend().await.unwrap();
            api.test.follow().await;
            assert_eq!(api.me(&tokens.access).await.status, 401);
        }
    }
}
