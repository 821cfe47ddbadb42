//! What happened to the account, in words a person understands.

use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;

use super::visit::query;
use super::{Member, Part};
use crate::base::error::Error;
use crate::base::id::UserId;
use crate::base::template;
use crate::kernel::event::{self, Happened};
use crate::kernel::house::Tokenhouse;

const ON_THE_ACCOUNT_PAGE: u32 = 5;
const ON_A_PAGE: u32 = 25;

#[derive(Serialize)]
pub(super) struct Activity {
    pub(super) events: Vec<Line>,
    /// The last of this page, where there are older ones.
    pub(super) older: Option<uuid::Uuid>,
}

#[derive(Serialize)]
pub(super) struct Line {
    pub(super) words: String,
    pub(super) at: Timestamp,
    pub(super) address: Option<String>,
}

async fn lines(member: &Member, before: Option<uuid::Uuid>, most: u32) -> Result<Activity, Error> {
    let mut events = recent(&member.house, member.user.id, before, most + 1).await?;
    let is_more = events.len() > most as usize;
    events.truncate(most as usize);
    Ok(Activity {
        older: events.last().map(|event| event.id).filter(|_| is_more),
        events: events.into_iter().map(|event| line(member, event)).collect(),
    })
}

async fn recent(
    house: &Tokenhouse,
    user: UserId,
    before: Option<uuid::Uuid>,
    most: u32,
) -> Result<Vec<Happened>, Error> {
    event::of_user(&mut house.0.store.read().await?, user, before, most).await
}

/// A kind without words of its own is still told of.
fn line(member: &Member, event: Happened) -> Line {
    let language = member.language();
    let key = format!("event.{}", event.kind.replace('.', "_"));
    // How often something happened; whatever else is kept with an event is not for these words.
    let times = event.data.get("times").map(ToString::to_string);
    let places: Vec<(&str, &str)> = times.iter().map(|times| ("times", times.as_str())).collect();
    Line {
        words: language
            .text(&key, &places)
            .or_else(|| language.text("event.other", &[]))
            .unwrap_or(event.kind),
        at: event.at,
        address: event.address,
    }
}

pub(super) async fn part(member: &Member) -> Result<Part, Error> {
    Ok(Part {
        order: 70,
        template: "pages/part_activity.html",
        data: template::context(&lines(member, None, ON_THE_ACCOUNT_PAGE).await?),
    })
}

/// `GET /account/activity`
pub(super) async fn show(member: Member, uri: Uri) -> Result<Response, Error> {
    let before = query(&uri, "before").and_then(|text| text.parse().ok());
    let activity = lines(&member, before, ON_A_PAGE).await?;
    member.page(StatusCode::OK, "pages/activity.html", &activity)
}
