//! "Download my data": everything the house keeps of a user, secrets excepted.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use serde_json::{Map, json};

use super::{Member, Part};
use crate::base::error::Error;
use crate::base::http::page;
use crate::kernel::{event, session};

pub(super) fn part(_: &Member) -> Part {
    Part {
        order: 90,
        template: "pages/part_data.html",
        data: minijinja::Value::UNDEFINED,
    }
}

/// `GET /account/data.json`
pub(super) async fn download(member: Member) -> Result<Response, Error> {
    let house = &member.house;
    let id = member.user.id;
    let mut all = Map::new();
    all.insert("exported_at".to_owned(), json!(house.0.clock.now()));
    all.insert("user".to_owned(), json!(member.user));
    let mut reader = house.0.store.read().await?;
    let sessions = session::every_one_of(&mut reader, id).await?;
    let events = event::every_one_of(&mut reader, id).await?;
    drop(reader);
    all.insert(
        "sessions".to_owned(),
        sessions.iter().map(session_as_kept).collect(),
    );
    all.insert("events".to_owned(), json!(events));
    for feature in &house.0.features {
        if let Some(export) = feature.pages.export {
            all.insert(feature.name.to_owned(), export(house, id).await?);
        }
    }
    let mut response = Json(all).into_response();
    let headers = response.headers_mut();
    page::protect(headers);
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"account-data.json\""),
    );
    Ok(response)
}

fn session_as_kept(session: &session::Session) -> serde_json::Value {
    json!({
        "id": session.id,
        "client_id": session.client_id,
        "scope": session.scope,
        "method": session.method,
        "created_at": session.created_at,
        "last_used_at": session.rotated_at,
        "expires_at": session.expires_at,
        "ended_at": session.revoked_at,
        "address": session.address,
        "user_agent": session.user_agent,
    })
}
