//! A browser without a screen: keeps cookies, reads forms, follows nothing by itself.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{Method, Request};
use http_body_util::BodyExt;
use tokenhouse::testing::PASSWORD;
use tower::ServiceExt;

use super::api::{Answer, Api};

pub struct Browser {
    router: Router,
    mount: String,
    pub cookies: BTreeMap<String, String>,
    /// What its person reads.
    pub language: String,
    /// What it sends with a form beside cookies.
    pub says: Vec<(&'static str, String)>,
}

impl Answer {
    /// The page.
    pub fn html(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts that it leads on, and gives where.
    #[track_caller]
    pub fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.html());
        self.headers[LOCATION].to_str().unwrap()
    }
}

/// The token in the first form of a page.
#[track_caller]
fn token_in(html: &str) -> String {
    let (_, rest) = html
        .split_once("name=\"csrf\" value=\"")
        .unwrap_or_else(|| panic!("no form: {html}"));
    rest.split_once('"').unwrap().0.to_owned()
}

impl Browser {
    pub fn new(api: &Api) -> Self {
        Self::of(api.house().service(), "")
    }

    pub fn of(router: Router, mount: &str) -> Self {
        Self {
            router,
            mount: mount.to_owned(),
            cookies: BTreeMap::new(),
            language: "en".to_owned(),
            says: vec![("sec-fetch-site", "same-origin".to_owned())],
        }
    }

    pub async fn send(&mut self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{}{path}", self.mount));
        request = request.header(ACCEPT, "text/html,*/*;q=0.8");
        request = request.header(ACCEPT_LANGUAGE, &self.language);
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        if !method.is_safe() {
            for (name, value) in &self.says {
                request = request.header(*name, value);
            }
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        };
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (name, rest) = text.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// The token of the form on a page.
    pub async fn token(&mut self, page: &str) -> String {
        let page = self.get(page).await;
        token_in(&page.html())
    }

    /// Sends a form with this token.
    pub async fn post_with(&mut self, path: &str, token: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        if !token.is_empty() {
            form.append_pair("csrf", token);
        }
        let body = form.extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(body)).await
    }

    /// Fills in the form on `page` and sends it to `path`.
    pub async fn post(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token(page).await;
        self.post_with(path, &token, fields).await
    }

    pub async fn sign_up(&mut self, email: &str) -> Answer {
        let fields = [("email", email), ("password", PASSWORD)];
        self.post("/account/sign-up", "/account/sign-up", &fields).await
    }

    pub async fn sign_in(&mut self, email: &str, password: &str) -> Answer {
        let fields = [("identifier", email), ("password", password)];
        self.post("/account/sign-in", "/account/sign-in", &fields).await
    }

    /// Whether the account page lets it in.
    pub async fn is_in(&mut self) -> bool {
        let answer = self.get("/account").await;
        match answer.status.as_u16() {
            200 => true,
            303 => {
                assert!(answer.leads_to().ends_with("/account/sign-in"));
                false
            }
            other => panic!("{other}: {}", answer.html()),
        }
    }
}
