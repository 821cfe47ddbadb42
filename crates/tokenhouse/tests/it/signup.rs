//! Opening an account.

use serde_json::json;
use tokenhouse::testing::PASSWORD;

use crate::on_both_engines;
use crate::support::api::Api;

on_both_engines! {
    async fn a_new_user_is_logged_in_at_once(place: &Place) {
        let api = Api::on(place).await;
        let body = json!({ "email": "Ada@Example.org", "password": PASSWORD, "username": "ada", "profile": { "plan": "free" } });
        let answer = api.post("/auth/signup", None, body).await.is(201);
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(900)));
        let mut user = body["user"].clone();
        let id = user["id"].take();
        assert_eq!(
            user,
            json!({
                "id": null, "email": "Ada@Example.org", "email_verified": false, "username": "ada", "is_active": true,
                "is_superuser": false, "roles": [], "profile": { "plan": "free" }, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z", "last_login_at": "2026-01-01T00:00:00Z"
            })
        );
        let me = api.me(body["access_token"].as_str().unwrap()).await.is(200).json();
        assert_eq!(me["id"], id);
    }
}
