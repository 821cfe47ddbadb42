//! Several houses on one database: what one revokes the others refuse, and none trusts what it does not know.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokenhouse::base::store::query;
use tokenhouse::settings::Period;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Api, Tokens, claims};

const SECOND: Duration = Duration::from_secs(1);
/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

async fn with_staleness(place: &Place, staleness: Period) -> Api {
    Api::with(place, |builder| {
        builder.configure(|settings| {
            settings.sessions.revocation_staleness = staleness;
            settings.sessions.refresh_grace = Period::seconds(0);
            settings.rate_limit.account_enabled = false;
        })
    })
    .await
}

/// Whatever ends a session, done on this node.
async fn each_way_to_end_a_session(here: &Api) -> Vec<(&'static str, Tokens)> {
    let mut ended = Vec::new();

    let left = here.signup("left@example.org").await;
    here.logout(&left.access).await.is(204);
    ended.push(("logged out", left));

    let disabled = here.signup("disabled@example.org").await;
    let user = here
        .house()
        .user_by_name("disabled@example.org")
        .await
        .unwrap()
        .unwrap();
    here.house().set_user_active(user.id, false).await.unwrap();
    ended.push(("disabled", disabled));

    let other = here.signup("changed@example.org").await;
    let changed = here.login("changed@example.org").await;
    here.change_password(&changed.access, PASSWORD, "another correct horse")
        .await
        .is(204);
    ended.push(("changed the password elsewhere", other));

    let copied = here.signup("copied@example.org").await;
    let thief = Tokens::of(&here.refresh(&copied.refresh).await.is(200));
    here.refresh(&copied.refresh).await.problem(401, "refresh_reused");
    ended.push(("a copy was used", copied));
    ended.push(("the copy", thief));

    let everywhere = here.signup("everywhere@example.org").await;
    let asks = here.login("everywhere@example.org").await;
    here.post("/auth/logout/all", Some(&asks.access), Value::Null)
        .await
        .is(204);
    ended.push(("logged out everywhere", everywhere));

    let device = here.signup("device@example.org").await;
    let asks = here.login("device@example.org").await;
    let id = claims(&device.access)["sid"].as_str().unwrap().to_owned();
    here.delete(
        &format!("/users/me/sessions/{id}"),
        Some(&asks.access),
        Value::Null,
    )
    .await
    .is(204);
    ended.push(("that device", device));
    ended
}

on_both_engines! {
    async fn nodes_share_everything_but_memory(place: &Place) {
        let (one, two, three) = (Api::on(place).await, Api::on(place).await, Api::on(place).await);
        let signed_up = one.signup("ada@example.org").await;
        let logged_in = two.login("ada@example.org").await;
        let refreshed = Tokens::of(&three.refresh(&logged_in.refresh).await.is(200));
        for api in [&one, &two, &three] {
            for tokens in [&signed_up, &logged_in, &refreshed] {
                api.me(&tokens.access).await.is(200);
            }
        }
        assert_eq!(three.sessions(&signed_up.access).await.len(), 2);
    }

    /// Nothing follows here: no notice, no poll. What is left is that a node knows how old its knowledge is.
    async fn a_node_that_does_not_follow_asks_before_it_accepts(place: &Place) {
        let (one, other) = (with_staleness(place, Period::seconds(1)).await, with_staleness(place, Period::seconds(1)).await);
        let ended = each_way_to_end_a_session(&one).await;
        let kept = one.signup("kept@example.org").await;
        // Still within the second: this is what the setting grants.
        other.me(&ended[0].1.access).await.is(200);
        other.test.advance(SECOND + Duration::from_millis(1));
        for (how, tokens) in &ended {
            let answer = other.me(&tokens.access).await;
            assert_eq!(answer.problem(401, "token_revoked")["code"], "token_revoked", "{how}");
            other.refresh(&tokens.refresh).await.problem(401, "refresh_invalid");
        }
        other.me(&kept.access).await.is(200);
    }

    async fn without_any_staleness_each_check_asks(place: &Place) {
        let (one, other) = (with_staleness(place, Period::seconds(0)).await, with_staleness(place, Period::seconds(0)).await);
        let ada = one.signup("ada@example.org").await;
        other.me(&ada.access).await.is(200);
        one.logout(&ada.access).await.is(204);
        other.me(&ada.access).await.problem(401, "token_revoked");
    }

    async fn without_its_database_a_node_accepts_nobody_and_says_when_to_come_again(place: &Place) {
        let here = with_staleness(place, Period::seconds(1)).await;
        let patient = with_staleness(place, Period::minutes(60)).await;
        let ada = here.signup("ada@example.org").await;
        for api in [&here, &patient] {
            api.house().store().close().await;
            assert!(api.house().authenticate(&ada.access).await.is_ok(), "within the second");
            api.test.advance(2 * SECOND);
        }
        let refused = here.me(&ada.access).await;
        refused.problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), "1");
        for error in [
            here.house().authenticate(&ada.access).await.unwrap_err(),
            here.house().verify(&ada.access).unwrap_err(),
        ] {
            assert_eq!(error.code().as_str(), "unavailable");
        }
        // What is certain is still said, and what needs no database is still answered.
        here.me("forged").await.problem(401, "token_invalid");
        here.get("/users/me", None).await.problem(401, "token_missing");
        here.get("/health/live", None).await.is(200);
        here.get("/.well-known/jwks.json", None).await.is(200);
        here.get("/health/ready", None).await.problem(503, "unavailable");
        // Who would rather take tokens through an outage can say so.
        assert!(patient.house().authenticate(&ada.access).await.is_ok());
        assert!(patient.house().verify(&ada.access).is_ok());
    }

    /// It had been read while the clock was an hour ahead; what was revoked in that hour is read all the same.
    async fn a_clock_that_was_ahead_hides_no_revocation(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let ada = one.signup("ada@example.org").await;
        other.test.advance(3600 * SECOND);
        other.test.follow().await;
        other.test.set_back(3600 * SECOND);
        one.logout(&ada.access).await.is(204);
        other.test.follow().await;
        other.me(&ada.access).await.problem(401, "token_revoked");
    }

    /// Setting the clock back does not make old knowledge new.
    async fn a_clock_set_back_makes_nothing_recent(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let ada = one.signup("ada@example.org").await;
        other.test.advance(2 * SECOND);
        other.test.set_back(2 * SECOND);
        one.logout(&ada.access).await.is(204);
        other.me(&ada.access).await.problem(401, "token_revoked");
    }

    async fn a_key_that_another_node_signs_with_is_found_by_each_of_two_in_a_second(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        for _ in 0..4 {
            one.house().rotate_keys().await.unwrap();
            one.house().rotate_keys().await.unwrap();
            let ada = one.house().clone();
            let tokens = one.signup(&format!("{}@example.org", ada.keys().len())).await;
            // A forged name of a key has just been looked for.
            other.me("eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJ0eXAiOiJhdCtqd3QifQ.e30.AAAA").await.problem(401, "token_invalid");
            other.me(&tokens.access).await.is(200);
        }
    }
}

/// Nodes of the version before go on while the tables are brought up to date: what they could not live with is named so.
#[test]
fn a_migration_that_old_nodes_cannot_live_with_says_so() {
    let breaks = |text: &str| {
        let text = text.to_uppercase();
        let adds_what_old_nodes_leave_out = text.split(';').any(|statement| {
            statement.contains("ADD COLUMN")
                && statement.contains("NOT NULL")
                && !statement.contains("DEFAULT")
        });
        adds_what_old_nodes_leave_out
            || [
                "DROP ",
                "RENAME ",
                "ALTER COLUMN",
                "ADD CONSTRAINT",
                "CREATE UNIQUE INDEX",
            ]
            .iter()
            .any(|word| text.contains(word))
    };
    assert!(breaks("ALTER TABLE users ADD COLUMN age BIGINT NOT NULL"));
    assert!(breaks("alter table users drop column age"));
    assert!(!breaks(
        "ALTER TABLE users ADD COLUMN age BIGINT NOT NULL DEFAULT 0; CREATE TABLE ages (a BIGINT NOT NULL)"
    ));
    // The first made the tables.
    for migration in &tokenhouse::MIGRATIONS[1..] {
        let says_so = migration.name.split('_').nth(1) == Some("contract");
        assert!(
            says_so || !(breaks(migration.sqlite) || breaks(migration.postgres)),
            "{} is to be named NNNN_contract_…, and to come a release after the code stopped needing what it takes away",
            migration.name
        );
    }
}

/// Two houses that hear of each other by notices alone: they read the tables every five seconds.
async fn two_that_listen(place: &Place) -> [Api; 2] {
    let listening = async || {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| {
                settings.sessions.revocation_poll = Period::seconds(5);
                settings.sessions.refresh_grace = Period::seconds(0);
                settings.rate_limit.account_enabled = false;
            })
        })
        .await;
        api.test.start_jobs();
        api
    };
    let both = [listening().await, listening().await];
    wait_for_listeners(&both[0], 2).await;
    both
}

/// A `SELECT` is what comes after `LISTEN`.
async fn wait_for_listeners(api: &Api, count: i64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let listening: Vec<(i64,)> = api
            .rows(query(
                "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE '%notices'
                   AND query LIKE 'SELECT %' AND state = 'idle'",
            ))
            .await;
        if listening == [(count,)] {
            return;
        }
        assert!(Instant::now() < until, "{listening:?} listen");
    }
}

/// How long until this node refuses the token.
async fn refused_after(api: &Api, tokens: &Tokens) -> Duration {
    let began = Instant::now();
    loop {
        let answer = api.me(&tokens.access).await;
        if answer.status == 401 {
            answer.problem(401, "token_revoked");
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_session_is_told_to_the_other_node_at_once() {
    let Some(place) = Place::postgres() else { return };
    let [one, other] = two_that_listen(&place).await;
    for (how, tokens) in each_way_to_end_a_session(&one).await {
        let waited = refused_after(&other, &tokens).await;
        assert!(waited < SECOND, "{how}: {waited:?}");
    }
}

/// Whoever reaches the database may tell anything: what they tell ends with the longest life of a token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_not_believed_for_ever() {
    let Some(place) = Place::postgres() else { return };
    let [one, other] = two_that_listen(&place).await;
    let told = tokenhouse::SessionId(uuid::Uuid::from_u128(7));
    let line = format!("revoked {told} {}", u64::MAX);
    let notify = query("SELECT pg_notify('tokenhouse', $1) IS NULL").bind(line);
    let _: Vec<(bool,)> = one.rows(notify).await;
    let began = Instant::now();
    let until = loop {
        let known = other.house().verifier().revocations().snapshot();
        if let Some((_, until)) = known.iter().find(|(id, _)| id.to_bytes() == told.0.into_bytes()) {
            break *until;
        }
        assert!(began.elapsed() < PATIENCE, "nobody heard");
        tokio::task::yield_now().await;
    };
    let now = u64::try_from(other.house().clock().now().as_second()).unwrap();
    assert!(until > now && until < now + 3 * 86_400, "{until}");
    other.get("/.well-known/revocations.json", None).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_told_to_the_other_node_at_once() {
    let Some(place) = Place::postgres() else { return };
    let [one, other] = two_that_listen(&place).await;
    let kids = |api: &Api| -> Vec<String> {
        let keys = api.house().keys();
        keys.into_iter()
            .map(|key| format!("{} {}", key.kid, key.state))
            .collect()
    };
    for _ in 0..5 {
        one.house().rotate_keys().await.unwrap();
        let began = Instant::now();
        while kids(&one) != kids(&other) {
            assert!(began.elapsed() < SECOND, "{:?}", kids(&other));
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_listening_is_cut_reads_the_tables_and_listens_again() {
    let Some(place) = Place::postgres() else { return };
    let usual = async || {
        let api = Api::on(&place).await;
        api.test.start_jobs();
        api
    };
    let [one, other] = [usual().await, usual().await];
    wait_for_listeners(&one, 2).await;
    let (first, second) = (
        one.signup("first@example.org").await,
        one.signup("second@example.org").await,
    );
    let cut = "
        SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE '%notices'";
    assert_eq!(one.rows::<(i64,)>(query(cut)).await, [(2,)]);
    one.logout(&first.access).await.is(204);
    let waited = refused_after(&other, &first).await;
    assert!(waited < 2 * SECOND, "{waited:?}");
    wait_for_listeners(&one, 2).await;
    one.logout(&second.access).await.is(204);
    assert!(refused_after(&other, &second).await < SECOND);
}
