//! The mail of `tokenhouse dev`: caught, kept in memory, and shown at `/dev/mail` as it would look. `tokenhouse serve` has
//! no such page.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokenhouse::base::http::address::is_loopback;
use tokenhouse::mail::{Message, Undelivered};
use uuid::Uuid;

use crate::commands::host_of;

/// Mails kept; the oldest goes.
const MOST: usize = 500;
/// What the page itself may do: be styled.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'none'; \
                           base-uri 'none'; form-action 'none'";
/// What a mail may do: be looked at. `sandbox` keeps even a link in it from going anywhere.
const MAIL_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; \
                           form-action 'none'; sandbox";

/// What was sent, the newest first.
#[derive(Clone, Default)]
pub(super) struct Mailbox(Arc<Mutex<VecDeque<Message>>>);

/// A mail for programs.
#[derive(serde::Serialize)]
struct Shown {
    id: Uuid,
    kind: String,
    to: String,
    subject: String,
    at: jiff::Timestamp,
    link: Option<String>,
    code: Option<String>,
    text: String,
    html: String,
}

impl Mailbox {
    /// The way of mail into it.
    pub(super) fn catch(&self) -> impl Fn(Message) -> std::future::Ready<Result<(), Undelivered>> + use<> {
        let mailbox = self.clone();
        move |message| {
            let mut mails = mailbox.0.lock().unwrap_or_else(PoisonError::into_inner);
            mails.push_front(message);
            mails.truncate(MOST);
            std::future::ready(Ok(()))
        }
    }

    pub(super) fn routes(self) -> Router {
        Router::new()
            .route("/dev/mail", get(list))
            .route("/dev/mail.json", get(json))
            .route("/dev/mail/{id}", get(show))
            .route("/dev/mail/{id}/html", get(html))
            .layer(from_fn(only_from_here))
            .with_state(self)
    }

    fn all(&self) -> Vec<Message> {
        let mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().cloned().collect()
    }

    fn find(&self, id: Uuid) -> Option<Message> {
        self.all().into_iter().find(|mail| mail.id == id)
    }
}

/// A web page elsewhere whose name was made to lead here must not read mail: it comes under that name.
async fn only_from_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let here = host.is_some_and(|host| is_loopback(host) || is_loopback(host_of(host)));
    if !here {
        return (StatusCode::FORBIDDEN, "open it under the name localhost\n").into_response();
    }
    next.run(request).await
}

fn link_in(mail: &Message) -> Option<String> {
    let mut lines = mail.text.lines();
    lines
        .find(|line| line.starts_with("http") && line.contains("?token="))
        .map(str::to_owned)
}

fn code_in(mail: &Message) -> Option<String> {
    mail.text.lines().find_map(|line| {
        let (_, code) = line.rsplit_once(": ")?;
        let is_code = code.len() == 9 && code.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ');
        is_code.then(|| code.to_owned())
    })
}

async fn json(State(mailbox): State<Mailbox>) -> Response {
    let shown: Vec<_> = mailbox
        .all()
        .into_iter()
        .map(|mail| Shown {
            link: link_in(&mail),
            code: code_in(&mail),
            id: mail.id,
            kind: mail.kind,
            to: mail.to,
            subject: mail.subject,
            at: mail.at,
            text: mail.text,
            html: mail.html,
        })
        .collect();
    ([(CACHE_CONTROL, "no-store")], Json(shown)).into_response()
}

async fn list(State(mailbox): State<Mailbox>) -> Response {
    let mails = mailbox.all();
    let mut body = String::from("<h1>Mail</h1>");
    if mails.is_empty() {
        body.push_str("<p>None yet. Sign up, or forget a password.</p>");
    }
    body.push_str("<ul>");
    for mail in &mails {
        let _ = write!(
            body,
            "<li><a href=\"/dev/mail/{}\">{}</a><br><small>{} · to {} · <code>{}</code></small></li>",
            mail.id,
            escaped(&mail.subject),
            mail.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            escaped(&mail.to),
            escaped(&mail.kind),
        );
    }
    body.push_str("</ul>");
    page("Mail", &body)
}

async fn show(State(mailbox): State<Mailbox>, Path(id): Path<Uuid>) -> Response {
    let Some(mail) = mailbox.find(id) else {
        return (StatusCode::NOT_FOUND, "there is no such mail\n").into_response();
    };
    let subject = escaped(&mail.subject);
    let mut body = format!(
        "<p><a href=\"/dev/mail\">All mail</a></p><h1>{subject}</h1><p><small>{} · to {}</small></p>",
        mail.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        escaped(&mail.to),
    );
    if let Some(link) = link_in(&mail) {
        let link = escaped(&link);
        let _ = write!(
            body,
            "<p>Link: <a href=\"{link}\" rel=\"noreferrer\">{link}</a></p>"
        );
    }
    if let Some(code) = code_in(&mail) {
        let _ = write!(body, "<p>Code: <code>{}</code></p>", escaped(&code));
    }
    let _ = write!(
        body,
        "<h2>HTML</h2><iframe src=\"/dev/mail/{id}/html\" sandbox title=\"The mail as HTML\"></iframe>\
         <h2>Text</h2><pre>{}</pre>",
        escaped(&mail.text),
    );
    page(&subject, &body)
}

async fn html(State(mailbox): State<Mailbox>, Path(id): Path<Uuid>) -> Response {
    match mailbox.find(id) {
        Some(mail) => (headers(MAIL_POLICY), Html(mail.html)).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such mail\n").into_response(),
    }
}

fn headers(policy: &'static str) -> [(HeaderName, &'static str); 5] {
    [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

fn page(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>\
         body{{max-width:46rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}}\
         ul{{list-style:none;padding:0}}li{{padding:.6rem 0;border-bottom:1px solid #8884}}small{{opacity:.8}}\
         iframe{{box-sizing:border-box;width:100%;height:44rem;border:1px solid #8888;border-radius:6px}}\
         pre{{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #8888;border-radius:6px;padding:1rem}}\
         a{{overflow-wrap:anywhere}}</style></head><body><main>{body}</main></body></html>"
    );
    (headers(PAGE_POLICY), Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
