//! The account page: sections, of the kernel and of the features.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{Member, Part, activity, data, devices, profile, recovery};
use crate::base::error::Error;

#[derive(Serialize)]
pub(super) struct Account {
    /// What the user is called at the head of the page; an address stands below.
    pub(super) called: Option<String>,
    pub(super) parts: Vec<Part>,
}

/// `GET /account`
pub(super) async fn show(member: Member) -> Result<Response, Error> {
    let mut parts = vec![
        profile::part(&member),
        devices::part(&member).await?,
        activity::part(&member).await?,
        data::part(&member),
    ];
    parts.extend(recovery::part(&member).await?);
    for feature in &member.house.0.features {
        if let Some(part) = feature.pages.account {
            parts.extend(part(&member).await?);
        }
    }
    parts.sort_by_key(|part| part.order);
    let account = Account {
        called: called(&member),
        parts,
    };
    member.page(StatusCode::OK, "pages/account.html", &account)
}

/// By the name in the profile, else by the username.
fn called(member: &Member) -> Option<String> {
    let user = &member.user;
    let name = user.profile.get("name").and_then(serde_json::Value::as_str);
    name.filter(|name| !name.trim().is_empty())
        .or(user.username.as_deref())
        .map(str::to_owned)
}
