//! Whoever may not come in any more, may not by any door: one gate, asked by all of them.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokenhouse::base::store::query;
use tokenhouse::testing::PASSWORD;
use tokenhouse::{AccessToken, CurrentUser, MaybeUser, Origin, Secret, Tokenhouse};
use tower::ServiceExt;

use crate::on_both_engines;
use crate::support::api::{Api, Tokens};
use crate::support::doors::Door;

const NEW: &str = "another long password";

/// Why somebody's session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Disabled,
    Deleted,
    DeletedByThemselves,
    PasswordChanged,
    PasswordSetByTheOperator,
    LoggedOut,
    LoggedOutByRefreshToken,
    LoggedOutElsewhere,
    LoggedOutEverywhere,
    TokenReplayed,
    TooManySessions,
}

impl Why {
    const ALL: [Self; 11] = [
        Self::Disabled,
        Self::Deleted,
        Self::DeletedByThemselves,
        Self::PasswordChanged,
        Self::PasswordSetByTheOperator,
        Self::LoggedOut,
        Self::LoggedOutByRefreshToken,
        Self::LoggedOutElsewhere,
        Self::LoggedOutEverywhere,
        Self::TokenReplayed,
        Self::TooManySessions,
    ];

    /// What the password of before is answered from then on.
    fn login(self) -> (u16, Option<&'static str>) {
        match self {
            Self::Disabled => (403, Some("account_disabled")),
            Self::Deleted
            | Self::DeletedByThemselves
            | Self::PasswordChanged
            | Self::PasswordSetByTheOperator => (401, Some("invalid_credentials")),
            _ => (200, None),
        }
    }

    async fn happen(self, api: &Api, email: &str, here: &[Tokens; 3], there: &Tokens) {
        let house = api.house();
        let user = house.user_by_name(email).await.unwrap().unwrap();
        let [oldest, _, here] = here;
        match self {
            Self::Disabled => drop(house.set_user_active(user.id, false).await.unwrap()),
            Self::Deleted => house.delete_user(user.id, &Origin::default()).await.unwrap(),
            Self::DeletedByThemselves => {
                let body = serde_json::json!({ "password": PASSWORD });
                drop(api.delete("/users/me", Some(&there.access), body).await.is(204));
            }
            Self::PasswordChanged => {
                drop(api.change_password(&there.access, PASSWORD, NEW).await.is(204));
            }
            Self::PasswordSetByTheOperator => {
                house.set_password(&user, &Secret::from(NEW)).await.unwrap();
            }
            Self::LoggedOut => drop(api.logout(&here.access).await.is(204)),
            Self::LoggedOutByRefreshToken => {
                let body = serde_json::json!({ "refresh_token": here.refresh });
                drop(api.post("/auth/logout", None, body).await.is(204));
            }
            Self::LoggedOutElsewhere => {
                let sid = crate::support::api::claims(&here.access)["sid"].clone();
                let path = format!("/users/me/sessions/{}", sid.as_str().unwrap());
                drop(api.delete(&path, Some(&there.access), Value::Null).await.is(204));
            }
            Self::LoggedOutEverywhere => {
                let answer = api
                    .post("/auth/logout/all", Some(&there.access), Value::Null)
                    .await;
                drop(answer.is(204));
            }
            Self::TokenReplayed => {
                api.refresh(&oldest.refresh).await.problem(401, "refresh_reused");
            }
            Self::TooManySessions => {
                for _ in 0..2 {
                    api.test.advance(Duration::from_secs(1));
                    api.login(email).await;
                }
            }
        }
    }
}

/// An application with a route behind each extractor.
fn application(house: &Tokenhouse) -> Router {
    Router::new()
        .route("/current", get(async |_: CurrentUser| "in"))
        .route("/maybe", get(async |_: MaybeUser| "in"))
        .route("/token", get(async |_: AccessToken| "in"))
        .route("/perhaps-a-token", get(async |_: Option<AccessToken>| "in"))
        .with_state(house.clone())
}

const EXTRACTORS: [&str; 4] = ["/current", "/maybe", "/token", "/perhaps-a-token"];

async fn enter(application: &Router, path: &str, token: &str) -> (u16, String) {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    let answer = application
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await;
    let (parts, body) = answer.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let said = serde_json::from_str::<Value>(&text).map_or(text, |problem| problem["code"].to_string());
    (parts.status.as_u16(), said)
}

async fn try_every_door(api: &Api, all: &[Tokens; 3], what: &str) {
    let application = application(api.house());
    for tokens in all {
        for door in Door::of_access_tokens() {
            let answer = api.send(door.request(&tokens.access, tokens)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["code"].as_str()),
                (401, Some("token_revoked")),
                "{what} at {}",
                door.name()
            );
        }
        for path in EXTRACTORS {
            let expected = (401, "\"token_revoked\"".to_owned());
            assert_eq!(
                enter(&application, path, &tokens.access).await,
                expected,
                "{what} at {path}"
            );
        }
        // Also the one that is answered again within the grace, while its session lives.
        let answer = api.refresh(&tokens.refresh).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (401, Some("refresh_invalid")),
            "{what}"
        );
    }
}

on_both_engines! {
    async fn who_may_not_come_in_may_not_by_any_door(place: &Place) {
        let three = |builder: tokenhouse::Builder| builder.configure(|settings| settings.sessions.max_per_user = 2);
        let (api, other) = (Api::with(place, three).await, Api::with(place, three).await);
        for why in Why::ALL {
            let email = format!("{why:?}@example.org");
            let first = api.signup(&email).await;
            let second = Tokens::of(&api.refresh(&first.refresh).await.is(200));
            let third = Tokens::of(&api.refresh(&second.refresh).await.is(200));
            let there = api.login(&email).await;
            let all = [first, second, third];
            // Both houses have verified all of them, and remember.
            for tokens in &all {
                for house in [&api, &other] {
                    house.me(&tokens.access).await.is(200);
                    let application = application(house.house());
                    for path in EXTRACTORS {
                        assert_eq!(enter(&application, path, &tokens.access).await, (200, "in".to_owned()), "{why:?} {path}");
                    }
                }
            }
            why.happen(&api, &email, &all, &there).await;
            try_every_door(&api, &all, &format!("{why:?}")).await;
            other.test.follow().await;
            try_every_door(&other, &all, &format!("{why:?}, next door")).await;
            let restarted = Api::with(place, three).await;
            try_every_door(&restarted, &all, &format!("{why:?}, restarted")).await;

            let live = || query("SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email_key = $1 AND s.revoked_at IS NULL").bind(email.to_lowercase());
            let before = api.rows::<(uuid::Uuid,)>(live()).await.len();
            let form = format!("grant_type=password&username={}&password={}", email.replace('@', "%40"), PASSWORD.replace(' ', "+"));
            for answer in [api.guess(&email, PASSWORD).await, api.form("/auth/login", &form).await, other.form("/auth/login", &form).await] {
                assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), why.login(), "{why:?}: {answer:?}");
            }
            if why.login().0 != 200 {
                assert_eq!(api.rows::<(uuid::Uuid,)>(live()).await.len(), before, "{why:?} opened a session");
            }
            if matches!(why, Why::PasswordChanged | Why::PasswordSetByTheOperator) {
                api.guess(&email, NEW).await.is(200);
            }
            if why == Why::Disabled {
                assert_eq!(before, 0);
                // Enabling the account again brings none of its sessions back.
                let user = api.house().user_by_name(&email).await.unwrap().unwrap();
                api.house().set_user_active(user.id, true).await.unwrap();
                try_every_door(&api, &all, "enabled again").await;
                api.login(&email).await;
            }
            // Whoever comes in anew does not wake what was over.
            try_every_door(&api, &all, &format!("{why:?}, afterwards")).await;
        }
    }
}
