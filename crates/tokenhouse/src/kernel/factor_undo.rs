//! Taking the first second factor of an account back. Whoever gets into an account that has none can set up their own,
//! and the owner is then out for good: no new password takes the second step away. So the mail that tells of the first
//! one carries a link, as the mail that tells of a new address does. It works for `links.undo`, once, and only where the
//! address was verified and is still the account's.

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::account::{self, Email, User};
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::mailbox::{self, UNDO, ticket_invalid};
use super::session;
use super::ticket::{self, Issued, Key, NewTicket, Purpose};
use crate::base::error::Error;
use crate::base::http::{Body, Origin, Problem};
use crate::base::secret::Secret;
use crate::base::store::Tx;

pub(crate) const FACTOR_UNDO: Purpose = Purpose("factors.undo");

/// A step: the ticket for the mail that tells of the first factor, where there is to be one. An address that was never
/// verified may be a stranger's; and whoever reads it gets rid of the factor by choosing a password.
pub(super) async fn issue(
    tx: &mut Tx,
    house: &Tokenhouse,
    user: &User,
    now: Timestamp,
) -> Result<Option<Issued>, Error> {
    let lifetime = *house.0.settings.links.undo;
    let Some(email) = user.email.as_deref().filter(|_| user.email_verified) else {
        return Ok(None);
    };
    if lifetime.is_zero() || !house.sends_mail() {
        return Ok(None);
    }
    let new = NewTicket {
        purpose: FACTOR_UNDO,
        user: Some(user.id),
        subject: Some(&subject(user, email)),
        data: Value::Null,
        lifetime,
        with_code: false,
    };
    ticket::issue(tx, house, new, now).await.map(Some)
}

/// Of one account at one address: all such links are spent together, and none outlives a change of address, which has a
/// link of its own.
fn subject(user: &User, email: &str) -> String {
    format!("{} {}", user.id, account::key(email))
}

impl Tokenhouse {
    /// Takes the first second factor of an account back, with what was in the mail that told of it: every second factor
    /// and every recovery code is gone, since there was none before, every session is over, and the password no longer
    /// lets anybody in. A mail to choose a new one is on its way.
    ///
    /// # Errors
    /// `ticket_invalid`.
    pub async fn undo_first_factor(&self, token: &Secret, origin: &Origin) -> Result<User, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        let key = Key::of(token);
        let ticket = ticket::look(&mut tx, FACTOR_UNDO, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let id = ticket.user.ok_or_else(ticket_invalid)?;
        let before = account::by_id(&mut tx, id)
            .await?
            .filter(|user| user.is_active)
            .ok_or_else(ticket_invalid)?;
        let email = before.email.as_deref().and_then(|text| Email::parse(text).ok());
        let email = email
            .filter(|email| subject(&before, email.as_str()) == ticket.subject)
            .ok_or_else(ticket_invalid)?;
        if !account::bump_epoch(&mut tx, &before, now).await? {
            return Err(ticket_invalid());
        }
        ticket::spend(&mut tx, FACTOR_UNDO, &key, now)
            .await?
            .ok_or_else(ticket_invalid)?;
        let user = account::by_id(&mut tx, id).await?.ok_or_else(ticket_invalid)?;
        self.disown(&mut tx, id, Timestamp::MIN).await?;
        // Whoever set the factor up may have moved the account to their own address and back: the link that they have
        // there would take it once more.
        ticket::void_since(&mut tx, UNDO, id, ticket.created_at).await?;
        let ended = session::end_all(&mut tx, self, id, None, now).await?;
        mailbox::send_reset(&mut tx, self, &email, Some(&user), true, origin, now).await?;
        let event = Event::new("factors.undone", now).of_user(id).seen_from(origin);
        event::write(&mut tx, &self.0.entropy, event).await?;
        tx.commit().await?;
        self.remember_revoked(&ended);
        Ok(user)
    }
}

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(undo))
}

/// What the link in the mail that told of the first second factor holds.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the body that `Body` reads field by field")]
struct FactorUndoBody {
    /// The token.
    token: String,
}

/// Take the first second factor back
///
/// With the link of the mail that told of it. Every second factor and every recovery code is gone, every session is over, the
/// password is no longer valid, and a mail to choose a new one is on its way.
#[utoipa::path(
    post, path = "/auth/factors/undo", operation_id = "undo_first_factor", tag = "Second factors", request_body = FactorUndoBody,
    responses(
        (status = 204, description = "The account has no second factor"),
        (status = 401, description = "`ticket_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_fields`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate_limited`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn undo(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Body(mut body): Body,
) -> Result<StatusCode, Error> {
    let token = body.take_secret("token").unwrap_or_default();
    body.finish()?;
    house.undo_first_factor(&token, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
