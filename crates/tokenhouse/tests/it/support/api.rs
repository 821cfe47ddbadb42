//! Speaking to a house through its router, as a client would.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokenhouse::base::store::{FromRow, Query};
use tokenhouse::mail::Message;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{Builder, Tokenhouse};
use tower::ServiceExt;

use super::Place;

/// A house on a test's database, and its whole service.
pub struct Api {
    pub test: TestHouse,
    router: Router,
}

/// What was answered, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
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

/// What somebody who reads a mail has of it.
#[derive(Clone, Debug)]
pub struct Letter {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub link: String,
    pub token: String,
    pub code: String,
}

impl Letter {
    pub fn of(mail: &Message) -> Self {
        let link = mail
            .text
            .lines()
            .find(|line| line.starts_with("http") && line.contains("?token="));
        let link = link.unwrap_or_default().to_owned();
        let token = link.split_once("?token=").map(|(_, token)| token.to_owned());
        let digits = |line: &str| {
            let (_, code) = line.rsplit_once(": ")?;
            let is_code = code.len() == 9 && code.bytes().all(|b| b.is_ascii_digit() || b == b' ');
            is_code.then(|| code.to_owned())
        };
        Self {
            to: mail.to.clone(),
            subject: mail.subject.clone(),
            text: mail.text.clone(),
            token: token.unwrap_or_default(),
            code: mail.text.lines().find_map(digits).unwrap_or_default(),
            link,
        }
    }
}

impl Api {
    pub async fn on(place: &Place) -> Self {
        Self::with(place, |builder| builder).await
    }

    pub async fn with(place: &Place, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::at(place.url(), change).await
    }

    /// On whatever this address leads to.
    pub async fn at(url: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let test = TestHouse::at(url, change).await;
        let router = test.house.service();
        Self { test, router }
    }

    /// A house that lets everybody try as often as they like.
    pub async fn unbraked(place: &Place) -> Self {
        Self::with(place, |builder| {
            builder.configure(|settings| settings.rate_limit.account_enabled = false)
        })
        .await
    }

    /// The mails sent since the last call.
    pub async fn mails(&self) -> Vec<Message> {
        self.test.mails().await
    }

    /// The one mail sent since the last call, which must be of this kind and go to this address.
    #[track_caller]
    pub fn mail(&self, kind: &str, to: &str) -> impl Future<Output = Letter> {
        let (kind, to, at) = (kind.to_owned(), to.to_owned(), std::panic::Location::caller());
        async move {
            let mails = self.mails().await;
            let found: Vec<_> = mails
                .iter()
                .map(|mail| (mail.kind.as_str(), mail.to.as_str()))
                .collect();
            assert_eq!(found, [(kind.as_str(), to.as_str())], "{at}");
            Letter::of(&mails[0])
        }
    }

    pub fn house(&self) -> &Tokenhouse {
        &self.test.house
    }

    /// The rows that `query` finds in the database.
    pub async fn rows<T: FromRow + Send>(&self, query: Query) -> Vec<T> {
        query
            .all(&mut self.house().store().read().await.unwrap())
            .await
            .unwrap()
    }

    /// Changes the database behind the house's back.
    pub async fn change(&self, query: Query) -> u64 {
        query.execute(&mut self.house().store().single()).await.unwrap()
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

    /// Posts JSON as a client at this address, `192.0.2.1` say.
    pub async fn post_from(&self, address: &str, path: &str, body: Value) -> Answer {
        let peer = SocketAddr::new(address.parse().unwrap(), 40_000);
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .extension(ConnectInfo(peer));
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Sends these bytes under this content type.
    pub async fn raw(&self, path: &str, content_type: Option<&str>, bytes: impl Into<Body>) -> Answer {
        let mut request = Request::post(path);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        self.send(request.body(bytes.into()).unwrap()).await
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

    /// Tries a password.
    pub async fn guess(&self, email: &str, password: &str) -> Answer {
        self.post(
            "/auth/login",
            None,
            json!({ "email": email, "password": password }),
        )
        .await
    }

    pub async fn logout(&self, access: &str) -> Answer {
        self.post("/auth/logout", Some(access), Value::Null).await
    }

    pub async fn change_password(&self, access: &str, current: &str, new: &str) -> Answer {
        let body = json!({ "current_password": current, "new_password": new });
        self.post("/users/me/password", Some(access), body).await
    }

    pub async fn sessions(&self, access: &str) -> Vec<Value> {
        let answer = self.get("/users/me/sessions", Some(access)).await.is(200);
        answer.json().as_array().unwrap().clone()
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/auth/refresh", None, json!({ "refresh_token": token }))
            .await
    }

    pub async fn me(&self, token: &str) -> Answer {
        self.get("/users/me", Some(token)).await
    }
}

/// What each of so many, let loose together, was answered.
pub async fn contend<T, F>(contenders: usize, act: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(contenders));
    let tasks: Vec<_> = (0..contenders)
        .map(|number| {
            let (start, act) = (Arc::clone(&start), act(number));
            tokio::spawn(async move {
                start.wait().await;
                act.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(contenders);
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// How many answers had this status.
pub fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The pointers and codes of the fields at fault, sorted.
pub fn faults(answer: &Answer) -> Vec<(String, String)> {
    let problem = answer.problem(422, "invalid_fields");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().unwrap();
    let mut faults: Vec<_> = errors
        .iter()
        .map(|error| (text(&error["pointer"]), text(&error["code"])))
        .collect();
    faults.sort();
    faults
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    segment(token, 1)
}

/// One of its segments that is JSON.
pub fn segment(token: &str, number: usize) -> Value {
    let segment = token.split('.').nth(number).unwrap();
    let json = data_encoding::BASE64URL_NOPAD.decode(segment.as_bytes()).unwrap();
    serde_json::from_slice(&json).unwrap()
}
