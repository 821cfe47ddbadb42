//! The devices that are logged in, and ending them.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use super::{Member, Part, Posted, done};
use crate::base::error::{Code, Error};
use crate::base::id::SessionId;
use crate::base::template;
use crate::kernel::device::Device;
use crate::kernel::session::Session;

/// More than a person looks through.
const SHOWN: usize = 20;

#[derive(Serialize)]
pub(super) struct Devices {
    pub(super) devices: Vec<LoggedIn>,
    /// How many there are beside the current one.
    pub(super) others: usize,
    /// How many are not shown.
    pub(super) more: usize,
}

#[derive(Serialize)]
pub(super) struct LoggedIn {
    pub(super) id: SessionId,
    pub(super) current: bool,
    pub(super) device: Device,
    pub(super) address: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Timestamp,
}

impl LoggedIn {
    fn of(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            current: session.id == current,
            device: Device::of(session.user_agent.as_deref()),
            address: session.address,
            created_at: session.created_at,
            last_used_at: session.rotated_at,
        }
    }
}

pub(super) async fn part(member: &Member) -> Result<Part, Error> {
    let current = member.session.id;
    let mut sessions = member.house.sessions(member.user.id).await?;
    sessions.sort_by_key(|session| session.id != current);
    let all = sessions.len();
    let devices = sessions
        .into_iter()
        .take(SHOWN)
        .map(|session| LoggedIn::of(session, current))
        .collect();
    let devices = Devices {
        devices,
        others: all.saturating_sub(1),
        more: all.saturating_sub(SHOWN),
    };
    Ok(Part {
        order: 60,
        template: "pages/part_devices.html",
        data: template::context(&devices),
    })
}

/// `POST /account/devices/{id}/end`
pub(super) async fn end(
    id: Result<Path<String>, PathRejection>,
    Posted(member, _): Posted<Member>,
) -> Result<Response, Error> {
    let id: SessionId = id
        .ok()
        .and_then(|Path(id)| id.parse().ok())
        .ok_or_else(|| Error::new(Code::NotFound, "you have no such session"))?;
    // One that is over already is as the person wants it.
    member
        .house
        .end_session(member.user.id, id, &member.origin)
        .await?;
    Ok(done(&member, "/account", "device_ended"))
}

/// `POST /account/devices/end-others`
pub(super) async fn end_others(Posted(member, _): Posted<Member>) -> Result<Response, Error> {
    let keep = Some(member.session.id);
    member
        .house
        .end_all_sessions(member.user.id, keep, &member.origin)
        .await?;
    Ok(done(&member, "/account", "devices_ended"))
}
