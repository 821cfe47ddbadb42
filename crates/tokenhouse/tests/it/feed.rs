//! What verifiers elsewhere are told: where things are, and what was revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tokenhouse::SessionId;
use tokenhouse::base::store::query;
use tokenhouse::settings::Period;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tower::ServiceExt;
use uuid::Uuid;

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Answer, Api, Tokens, claims};

const FEED: &str = "/.well-known/revocations.json";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const SECOND: Duration = Duration::from_secs(1);
const START: u64 = 1_767_225_600;
/// How long an id is told: the lifetime of a token, the leeway, a minute.
const TOLD: u64 = 900 + 5 + 60;

fn sid(tokens: &Tokens) -> String {
    claims(&tokens.access)["sid"].as_str().unwrap().to_owned()
}

async fn feed(api: &Api) -> Value {
    api.get(FEED, None).await.is(200).json()
}

async fn told(api: &Api) -> BTreeSet<String> {
    let feed = feed(api).await;
    let ids = feed["revoked"].as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

async fn ask_again(api: &Api, tags: &str) -> Answer {
    let request = Request::get(FEED).header("if-none-match", tags);
    api.send(request.body(Body::empty()).unwrap()).await
}

on_both_engines! {
    async fn whatever_ends_a_session_is_told(place: &Place) {
        let api = Api::unbraked(place).await;
        assert_eq!(feed(&api).await, json!({ "as_of": START, "revoked": [] }));
        let mut ended = BTreeSet::new();

        let left = api.signup("left@example.org").await;
        api.logout(&left.access).await.is(204);
        ended.insert(sid(&left));
        assert_eq!(told(&api).await, ended, "logged out");

        let by_refresh = api.login("left@example.org").await;
        api.post("/auth/logout", None, json!({ "refresh_token": by_refresh.refresh })).await.is(204);
        ended.insert(sid(&by_refresh));
        assert_eq!(told(&api).await, ended, "logged out by the refresh token");

        let device = api.login("left@example.org").await;
        let here = api.login("left@example.org").await;
        api.delete(&format!("/users/me/sessions/{}", sid(&device)), Some(&here.access), Value::Null).await.is(204);
        ended.insert(sid(&device));
        assert_eq!(told(&api).await, ended, "one device");

        let there = api.login("left@example.org").await;
        api.post("/auth/logout/all", Some(&here.access), Value::Null).await.is(204);
        ended.extend([sid(&here), sid(&there)]);
        assert_eq!(told(&api).await, ended, "everywhere");

        let disabled = api.signup("disabled@example.org").await;
        let user = api.house().user_by_name("disabled@example.org").await.unwrap().unwrap();
        api.house().set_user_active(user.id, false).await.unwrap();
        ended.insert(sid(&disabled));
        assert_eq!(told(&api).await, ended, "disabled");

        let copied = api.signup("copied@example.org").await;
        api.refresh(&copied.refresh).await.is(200);
        api.test.advance(31 * SECOND);
        assert_eq!(told(&api).await, ended, "refreshed");
        api.refresh(&copied.refresh).await.problem(401, "refresh_reused");
        ended.insert(sid(&copied));
        assert_eq!(told(&api).await, ended, "a copy was used");

        let changed = api.signup("changed@example.org").await;
        let other = api.login("changed@example.org").await;
        api.change_password(&changed.access, PASSWORD, "another correct horse").await.is(204);
        ended.insert(sid(&other));
        assert_eq!(told(&api).await, ended, "changed the password: all but here");

        let deleted = api.signup("deleted@example.org").await;
        api.delete("/users/me", Some(&deleted.access), json!({ "password": PASSWORD })).await.is(204);
        ended.insert(sid(&deleted));
        assert_eq!(told(&api).await, ended, "deleted");
    }

    async fn an_id_is_told_as_long_as_a_token_of_it_can_live_anywhere(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        api.test.advance(7 * SECOND);
        api.logout(&ada.access).await.is(204);
        let until = START + 7 + TOLD;
        let listed = json!([{ "id": sid(&ada), "until": until }]);
        assert_eq!(feed(&api).await, json!({ "as_of": START + 7, "revoked": listed }));
        api.test.advance(Duration::from_secs(TOLD - 1));
        assert_eq!(feed(&api).await, json!({ "as_of": until - 1, "revoked": listed }));
        api.test.advance(SECOND);
        assert_eq!(feed(&api).await, json!({ "as_of": until, "revoked": [] }));
        // The table has it still, and a clock set back finds it there.
        assert_eq!(api.rows::<(Uuid,)>(query("SELECT id FROM revocations")).await.len(), 1);
        api.test.set_back(SECOND);
        assert_eq!(feed(&api).await["revoked"], listed);
    }

    async fn a_long_life_of_tokens_is_a_long_life_in_the_feed(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.tokens.access_lifetime = Period::days(3))).await;
        let ada = api.signup("ada@example.org").await;
        api.logout(&ada.access).await.is(204);
        let until = START + 3 * 86_400 + 65;
        assert_eq!(feed(&api).await["revoked"], json!([{ "id": sid(&ada), "until": until }]));
        api.test.advance(Duration::from_secs(3 * 86_400 + 4));
        assert_eq!(told(&api).await.len(), 1);
    }

    async fn another_node_tells_it_once_it_knows_it(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        let ada = one.signup("ada@example.org").await;
        one.logout(&ada.access).await.is(204);
        assert!(told(&other).await.is_empty(), "it knows what was revoked a second ago, and asks nobody");
        other.test.follow().await;
        assert_eq!(told(&other).await, [sid(&ada)].into());
        assert_eq!(other.get(FEED, None).await.header("etag"), one.get(FEED, None).await.header("etag"));
    }

    async fn who_knows_it_is_not_told_again(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let first = api.get(FEED, None).await.is(200);
        assert_eq!(first.header("cache-control"), "public, max-age=1");
        assert_eq!(first.header("content-type"), "application/json");
        let tag = first.header("etag").to_owned();
        // Time goes on, the list does not.
        api.test.advance(SECOND);
        for tags in [tag.clone(), tag[2..].to_owned(), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = ask_again(&api, &tags).await.is(304);
            assert!(answer.body.is_empty());
            assert_eq!((answer.header("etag"), answer.header("cache-control")), (tag.as_str(), "public, max-age=1"));
        }
        for tags in ["\"x\"", "", "W/"] {
            ask_again(&api, tags).await.is(200);
        }
        api.logout(&ada.access).await.is(204);
        let second = ask_again(&api, &tag).await.is(200);
        assert_eq!(second.json()["revoked"][0]["id"], sid(&ada));
        ask_again(&api, second.header("etag")).await.is(304);
        // It has expired: the list is the first one again.
        api.test.advance(Duration::from_secs(TOLD));
        ask_again(&api, second.header("etag")).await.is(200);
        ask_again(&api, &tag).await.is(304);
    }

    async fn nothing_else_is_told(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let stays = api.login("ada@example.org").await;
        api.logout(&ada.access).await.is(204);
        let user = api.house().user_by_name("ada@example.org").await.unwrap().unwrap();
        let text = api.get(FEED, None).await.json().to_string();
        for secret in [user.id.to_string(), sid(&stays), "ada@example.org".to_owned(), claims(&ada.access)["jti"].as_str().unwrap().to_owned()] {
            assert!(!text.contains(&secret), "{text}");
        }
        let feed = feed(&api).await;
        assert_eq!(feed.as_object().unwrap().keys().collect::<Vec<_>>(), ["as_of", "revoked"]);
        assert_eq!(feed["revoked"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "until"]);
    }

    async fn the_last_to_matter_come_first(place: &Place) {
        let api = Api::on(place).await;
        // A day and five seconds are what the table adds to what the feed tells.
        let forget = i64::try_from(START).unwrap() * 1_000_000 + 86_405_000_000;
        for number in 0..5_i64 {
            let id = SessionId(Uuid::from_u128(u128::try_from(number).unwrap()));
            api.change(query("INSERT INTO revocations (id, revoked_at, forget_at) VALUES ($1, $2, $3)").bind(id).bind(0_i64).bind(forget + number / 2 * 1_000_000)).await;
        }
        api.house().tend().await.unwrap();
        let feed = feed(&api).await;
        let order: Vec<_> = feed["revoked"].as_array().unwrap().iter().map(|one| (one["until"].as_u64().unwrap() - START - TOLD, one["id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128())).collect();
        assert_eq!(order, [(2, 4), (1, 3), (1, 2), (0, 1), (0, 0)]);
    }

    async fn an_operator_may_keep_it_to_himself(place: &Place) {
        let api = Api::with(place, |builder| builder.configure(|settings| settings.http.revocation_feed = false)).await;
        api.get(FEED, None).await.problem(404, "not_found");
        assert_eq!(api.get(METADATA, None).await.is(200).json().get("revocation_feed_uri"), None);
        let openapi = api.get("/openapi.json", None).await.json();
        assert_eq!(openapi["paths"].get(FEED), None);
    }
}

#[tokio::test]
async fn the_metadata_says_where_things_are_and_nothing_untrue() {
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    let answer = api.get(METADATA, None).await.is(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(
        answer.json(),
        json!({
            "issuer": "http://localhost:8080",
            "jwks_uri": "http://localhost:8080/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": [],
            "revocation_feed_uri": "http://localhost:8080/.well-known/revocations.json"
        })
    );
    let ada = api.signup("ada@example.org").await;
    assert_eq!(claims(&ada.access)["iss"], answer.json()["issuer"]);
}

#[tokio::test]
async fn the_metadata_of_nested_routes_begins_with_the_public_url() {
    let test = TestHouse::with(|builder| {
        builder.configure(|settings| {
            settings.public_url = "https://example.org/accounts/".to_owned();
            settings.tokens.issuer = Some("https://id.example.org".to_owned());
        })
    })
    .await;
    let outer: Router = Router::new().nest("/accounts", test.house.router());
    let read = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = outer.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        axum::body::to_bytes(response.into_body(), 10_000).await.unwrap()
    };
    let metadata: Value =
        serde_json::from_slice(&read("/accounts/.well-known/oauth-authorization-server").await).unwrap();
    assert_eq!(metadata["issuer"], "https://id.example.org");
    for name in ["jwks_uri", "revocation_feed_uri"] {
        let path = metadata[name]
            .as_str()
            .unwrap()
            .strip_prefix("https://example.org")
            .unwrap();
        read(path).await;
    }
}

/// A hundred thousand and one, in one statement that only SQLite reads.
#[tokio::test]
async fn it_is_bounded() {
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    let many = "
        WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
        INSERT INTO revocations (id, revoked_at, forget_at)
        SELECT randomblob(16), 0, $1 + n * 1000000 FROM numbers";
    let start = i64::try_from(START).unwrap() * 1_000_000;
    api.change(query(many).bind(start + 86_400_000_000)).await;
    api.house().tend().await.unwrap();
    let feed = api.house().revocation_feed().await.unwrap();
    assert_eq!(feed.revoked.len(), 100_000);
    let until: Vec<u64> = feed.revoked.iter().map(|one| one.until).collect();
    assert_eq!(
        (until[0], until[99_999]),
        (START + 100_000 + TOLD - 5, START + 1 + TOLD - 5),
        "the last to matter"
    );
}

/// A node that cannot know what was revoked says so, and its followers know that they do not know.
#[tokio::test]
async fn what_is_not_known_is_not_told() {
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    let ada = api.signup("ada@example.org").await;
    api.logout(&ada.access).await.is(204);
    api.house().store().close().await;
    assert_eq!(told(&api).await, [sid(&ada)].into(), "known a moment ago");
    api.test.advance(2 * SECOND);
    api.get(FEED, None).await.problem(503, "unavailable");
}

/// However many follow: the database is not asked.
#[tokio::test]
async fn a_crowd_of_followers_costs_the_database_nothing() {
    let place = Place::sqlite();
    let api = Api::with(&place, |builder| {
        builder.configure(|settings| settings.sessions.revocation_staleness = Period::minutes(1))
    })
    .await;
    for number in 0..1100_u128 {
        api.house()
            .verifier()
            .revocations()
            .revoke(*Uuid::from_u128(number).as_bytes(), START + 90_000);
    }
    api.house().store().close().await;
    let one = api.get(FEED, None).await.is(200);
    for _ in 0..100 {
        assert_eq!(api.get(FEED, None).await.is(200).body, one.body);
    }
    // A long list is made once a second, a short one at every change.
    api.house()
        .verifier()
        .revocations()
        .revoke(*Uuid::from_u128(7000).as_bytes(), START + 90_000);
    assert_eq!(api.get(FEED, None).await.is(200).body, one.body);
    api.test.advance(SECOND);
    assert_eq!(told(&api).await.len(), 1101);
}
