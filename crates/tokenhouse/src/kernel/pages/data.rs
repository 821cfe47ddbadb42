//! "Download my data": everything the house keeps of a user, secrets excepted.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Member, Part};
use crate::base::error::{Code, Error};
use crate::base::http::page;
use crate::base::store::Reader;
use crate::kernel::brake::{self, BrakeKey, Pace};
use crate::kernel::mail::{self, Outgoing};
use crate::kernel::{account, event, recovery, session, ticket};

/// It reads all there is of an account, which is much to be had for one request.
const PACE: Pace = Pace {
    burst: 5,
    interval: Duration::from_secs(60),
};

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
    let now = house.0.clock.now();
    let key = BrakeKey::of(&[b"download", id.0.as_bytes()]);
    let admitted = brake::admit(&mut house.0.store.single(), &key, PACE, now).await?;
    let mut reader = house.0.store.read().await?;
    if !admitted {
        let wait = brake::wait(&mut reader, &key, PACE, now).await?;
        let error = Error::new(
            Code::RateLimited,
            "the data was downloaded several times just now; wait before the next time",
        );
        return Err(error.retry_after(wait));
    }
    let mut all = Map::new();
    all.insert("exported_at".to_owned(), json!(now));
    all.insert("user".to_owned(), json!(member.user));
    let verified_at = account::email_verified_at(&mut reader, id).await?;
    all.insert("address".to_owned(), json!({ "verified_at": verified_at }));
    all.insert("second_step".to_owned(), second_step(&member, &mut reader).await?);
    let sessions = session::every_one_of(&mut reader, id).await?;
    all.insert(
        "sessions".to_owned(),
        sessions.iter().map(session_as_kept).collect(),
    );
    all.insert(
        "events".to_owned(),
        json!(event::every_one_of(&mut reader, id).await?),
    );
    all.insert(
        "pending".to_owned(),
        json!(ticket::every_one_of(&mut reader, id).await?),
    );
    all.insert("mails".to_owned(), mails(&member, &mut reader).await?);
    drop(reader);
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

async fn second_step(member: &Member, reader: &mut Reader) -> Result<Value, Error> {
    let (house, user) = (&member.house, &member.user);
    let factors = house.factors_of(reader, user, false).await?;
    let codes = recovery::all(reader, user.id).await?;
    let code_as_kept =
        |(made, used): (Timestamp, Option<Timestamp>)| json!({ "created_at": made, "used_at": used });
    Ok(json!({
        "required": house.must_have_second_factor(user),
        "factors": factors.iter().map(|factor| factor.name).collect::<Vec<_>>(),
        "recovery_codes": codes.into_iter().map(code_as_kept).collect::<Vec<_>>(),
    }))
}

/// Those to an address that was never verified may be of somebody else, who had it before.
async fn mails(member: &Member, reader: &mut Reader) -> Result<Value, Error> {
    let Some(address) = member
        .user
        .email
        .as_deref()
        .filter(|_| member.user.email_verified)
    else {
        return Ok(json!([]));
    };
    let mails = mail::every_one_to(reader, address).await?;
    let as_kept = |mail: &Outgoing| {
        json!({
            "kind": mail.kind,
            "state": mail.state,
            "created_at": mail.created_at,
            "ended_at": mail.ended_at,
        })
    };
    Ok(mails.iter().map(as_kept).collect())
}

fn session_as_kept(session: &session::Session) -> Value {
    json!({
        "id": session.id,
        "client_id": session.client_id,
        "scope": session.scope,
        "method": session.method,
        "claims": session.claims,
        "refreshed": session.generation,
        "created_at": session.created_at,
        "proved_at": session.proved_at,
        "last_used_at": session.rotated_at,
        "expires_at": session.expires_at,
        "ended_at": session.revoked_at,
        "address": session.address,
        "user_agent": session.user_agent,
    })
}
