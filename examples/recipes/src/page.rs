//! The page: the newest recipes, made on the server.

use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use tokenhouse::{Error, Tokenhouse};

use crate::book::{self, Recipe};

/// `GET /`
pub(crate) async fn recipes(State(house): State<Tokenhouse>) -> Result<Response, Error> {
    let recipes = book::matching(&house, "", 100).await?;
    let list = match recipes.as_slice() {
        [] => "<p>No recipe yet: be the first to submit one.</p>".to_owned(),
        some => format!("<ul>{}</ul>", some.iter().map(item).collect::<String>()),
    };
    let page = include_str!("page.html").replace("{list}", &list);
    // What is on it was written by strangers; should one of them find a hole, no script would run.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    Ok(([(CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response())
}

fn item(recipe: &Recipe) -> String {
    format!(
        "<li><a href=\"{}\" rel=\"nofollow noopener\">{}</a> <small>{}</small></li>",
        escaped(&recipe.url),
        escaped(&recipe.label),
        escaped(&recipe.source),
    )
}

/// As text, and inside a quoted attribute, of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
