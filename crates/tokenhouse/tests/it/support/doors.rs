//! The doors that take a token, as the committed description has them: one that is new is tested too.

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use serde_json::{Value, json};
use tokenhouse::testing::PASSWORD;

use super::api::{Tokens, claims};

/// Where a door looks for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// An access token, in `Authorization: Bearer`.
    Header,
    /// A refresh token, as `refresh_token` in the body.
    Body,
}

#[derive(Clone, Debug)]
pub struct Door {
    pub method: Method,
    pub path: String,
    pub slot: Slot,
}

impl Door {
    /// Every operation that takes a token; one that takes either kind is two doors.
    pub fn all() -> Vec<Self> {
        let openapi: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
        let mut doors = Vec::new();
        for (path, item) in openapi["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Ok(method) = method.to_ascii_uppercase().parse::<Method>() else {
                    continue;
                };
                let mut door = |slot| {
                    doors.push(Self {
                        method: method.clone(),
                        path: path.clone(),
                        slot,
                    });
                };
                if operation["security"].is_array() {
                    door(Slot::Header);
                }
                if operation["requestBody"].to_string().contains("RefreshBody") {
                    door(Slot::Body);
                }
            }
        }
        let count = |slot| doors.iter().filter(|door| door.slot == slot).count();
        assert!(
            count(Slot::Header) >= 8 && count(Slot::Body) >= 2,
            "the description was read: {doors:?}"
        );
        doors
    }

    /// Those that only an access token opens.
    pub fn of_access_tokens() -> Vec<Self> {
        let mut doors = Self::all();
        doors.retain(|door| door.slot == Slot::Header);
        doors
    }

    /// What a token alone does not do here: there is nothing set up yet that could be shown or taken away.
    pub fn needs_more(&self) -> bool {
        matches!(
            (self.method.as_str(), self.path.as_str()),
            (
                "POST",
                "/auth/email/change"
                    | "/auth/reauthenticate"
                    | "/auth/reauthenticate/email"
                    | "/auth/reauthenticate/magic"
                    | "/auth/reauthenticate/magic/request"
                    | "/auth/reauthenticate/passkey/begin"
                    | "/auth/reauthenticate/passkey/finish"
                    | "/users/me/totp/confirm"
                    | "/users/me/passkeys/finish"
                    | "/users/me/recovery-codes"
            ) | ("DELETE", "/users/me/totp")
                | ("PATCH" | "DELETE", "/users/me/passkeys/{id}")
        )
    }

    pub fn name(&self) -> String {
        format!("{} {} ({:?})", self.method, self.path, self.slot)
    }

    /// Its path, where `victim` is whose session a path speaks of.
    pub fn path(&self, victim: &Tokens) -> String {
        self.path
            .replace("{id}", claims(&victim.access)["sid"].as_str().unwrap())
    }

    /// What a rightful caller would send, without a token.
    fn body(&self) -> Value {
        match (self.method.as_str(), self.path.as_str()) {
            ("PATCH", "/users/me") => json!({ "profile": { "was": "here" } }),
            ("DELETE", "/users/me") => json!({ "password": PASSWORD }),
            ("POST", "/users/me/password") => {
                json!({ "current_password": PASSWORD, "new_password": "another long password" })
            }
            ("POST", "/users/me/email") => {
                json!({ "new_email": "elsewhere@example.org", "password": PASSWORD })
            }
            ("POST", "/auth/email/change") => json!({ "token": "what nobody was sent" }),
            ("POST", "/auth/reauthenticate/password") => json!({ "password": PASSWORD }),
            ("POST", "/auth/reauthenticate" | "/auth/reauthenticate/magic" | "/users/me/totp/confirm") => {
                json!({ "code": "000000" })
            }
            ("POST", "/auth/reauthenticate/passkey/finish" | "/users/me/passkeys/finish") => {
                json!({ "credential": {} })
            }
            ("PATCH", "/users/me/passkeys/{id}") => json!({ "name": "was here" }),
            _ => Value::Null,
        }
    }

    /// A request that has everything right, but perhaps the token in the slot.
    pub fn request(&self, token: &str, victim: &Tokens) -> Request<Body> {
        match self.slot {
            Slot::Header => self.request_with(&[format!("Bearer {token}").as_bytes()], victim),
            Slot::Body => Request::builder()
                .method(self.method.clone())
                .uri(self.path(victim))
                .header(CONTENT_TYPE, "application/json")
                .body(Body::from(json!({ "refresh_token": token }).to_string()))
                .unwrap(),
        }
    }

    /// The same with these `Authorization` headers.
    pub fn request_with(&self, authorizations: &[&[u8]], victim: &Tokens) -> Request<Body> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.path(victim));
        for value in authorizations {
            request = request.header(AUTHORIZATION, *value);
        }
        let body = match self.body() {
            Value::Null => Body::empty(),
            body => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        request.body(body).unwrap()
    }
}
