//! Speaking to a house through its router, as a client would.

use axum::Router;
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokenhouse::Builder;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tower::ServiceExt;

use super::Place;

/// A house on a test's database, and its whole service.
pub struct Api {
    pub test: TestHouse,
    router: Router,
}

/// What was answered, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` where there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts a problem document of this status and code, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(
            (self.status.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{problem}"
        );
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["request_id"].as_str().unwrap(),
            self.headers["x-request-id"]
        );
        assert!(problem["detail"].is_string() && problem["title"].is_string() && problem["type"].is_string());
        problem
    }

    /// Asserts this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}"))
            .to_str()
            .unwrap()
    }
}

/// The tokens of somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| {
            body[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {body}"))
                .to_owned()
        };
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

impl Api {
    pub async fn on(place: &Place) -> Self {
        Self::with(place, |builder| builder).await
    }

    pub async fn with(place: &Place, change: impl FnOnce(Builder) -> Builder) -> Self {
        let test = TestHouse::at(place.url(), change).await;
        let router = test.house.service();
        Self { test, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.call(Method::GET, path, token, None).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.call(Method::POST, path, token, body).await
    }

    pub async fn patch(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        self.call(Method::PATCH, path, token, Some(body)).await
    }

    pub async fn delete(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.call(Method::DELETE, path, token, body).await
    }

    pub async fn form(&self, path: &str, fields: &str) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(fields.to_owned())).unwrap())
            .await
    }

    /// Signs somebody up, with the password that all have.
    pub async fn signup(&self, email: &str) -> Tokens {
        let body = json!({ "email": email, "password": PASSWORD });
        Tokens::of(&self.post("/auth/signup", None, body).await.is(201))
    }

    pub async fn login(&self, email: &str) -> Tokens {
        let body = json!({ "email": email, "password": PASSWORD });
        Tokens::of(&self.post("/auth/login", None, body).await.is(200))
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/auth/refresh", None, json!({ "refresh_token": token }))
            .await
    }

    pub async fn me(&self, token: &str) -> Answer {
        self.get("/users/me", Some(token)).await
    }
}
