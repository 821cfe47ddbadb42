//! An application on a test's database, spoken to through its router.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Builder as RequestBuilder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokenhouse::testing::TestHouse;
use tokenhouse::{Builder, Clock, Tokenhouse};
use tower::ServiceExt;

use crate::Place;

/// An example as it would run, but for its clock and its cheap hashes.
pub struct App {
    test: TestHouse,
    router: Router,
}

/// What was answered, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl App {
    /// With a clock that stands still until it is moved.
    pub async fn on(
        place: &Place,
        rules: impl FnOnce(Builder) -> Builder,
        routes: impl FnOnce(Tokenhouse) -> Router,
    ) -> Self {
        let test = TestHouse::at(place.url(), rules).await;
        let router = routes(test.house.clone());
        Self { test, router }
    }

    /// With the machine's clock, for tokens that another program judges.
    pub async fn on_real_time(
        place: &Place,
        rules: impl FnOnce(Builder) -> Builder,
        routes: impl FnOnce(Tokenhouse) -> Router,
    ) -> Self {
        Self::on(place, |builder| rules(builder).clock(Clock::system()), routes).await
    }

    /// Its house.
    #[must_use]
    pub fn house(&self) -> &Tokenhouse {
        &self.test.house
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.test.advance(by);
    }

    /// Sends this.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Sends JSON with an access token.
    pub async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        let request = with_token(Request::post(path), token).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Sends text under a content type.
    pub async fn post_text(&self, path: &str, content_type: &str, text: &str) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        self.send(request.body(Body::from(text.to_owned())).unwrap())
            .await
    }

    /// Sends a form.
    pub async fn form(&self, path: &str, fields: &str) -> Answer {
        self.post_text(path, "application/x-www-form-urlencoded", fields)
            .await
    }

    /// Asks without a token.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Asks with a token.
    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(with_token(Request::get(path), token).body(Body::empty()).unwrap())
            .await
    }

    /// Asks with whatever is in the header.
    pub async fn get_with(&self, authorization: &str, path: &str) -> Answer {
        let request = Request::get(path).header(AUTHORIZATION, authorization);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

fn with_token(request: RequestBuilder, token: &str) -> RequestBuilder {
    request.header(AUTHORIZATION, format!("Bearer {token}"))
}

impl Answer {
    /// Asserts this status.
    #[track_caller]
    #[allow(
        clippy::return_self_not_must_use,
        reason = "the assertion may be all that is wanted"
    )]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Asserts this status and this `detail`.
    #[track_caller]
    pub fn says(&self, status: u16, detail: &str) {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["detail"].as_str()),
            (status, Some(detail)),
            "{body}"
        );
        if status == 401 {
            assert_eq!(self.headers["www-authenticate"], "Bearer");
        } else {
            assert!(!self.headers.contains_key("www-authenticate"));
        }
    }

    /// Asserts that the body was not acceptable, and that the answer says why.
    #[track_caller]
    pub fn unprocessable(&self) {
        assert_eq!(self.status.as_u16(), 422, "{}", self.text);
        assert!(self.json()["detail"].is_string(), "{}", self.text);
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The names of the members of the body.
    #[track_caller]
    pub fn members(&self) -> Vec<String> {
        members(&self.json())
    }

    /// A text in the body.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let body = self.json();
        let text = body.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no {pointer} in {body}"))
            .to_owned()
    }
}

/// The names of an object's members.
#[must_use]
pub fn members(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// A part of a token: 0 is the header, 1 the payload.
#[must_use]
pub fn segment(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(segment.as_bytes()).unwrap()).unwrap()
}

/// A token made by hand with HS256, as anybody can who has the secret.
#[must_use]
pub fn signed(header: &Value, payload: &Value, secret: &str) -> String {
    let encoded = |part: &Value| data_encoding::BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let text = format!("{}.{}", encoded(header), encoded(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, text.as_bytes());
    format!(
        "{text}.{}",
        data_encoding::BASE64URL_NOPAD.encode(signature.as_ref())
    )
}
