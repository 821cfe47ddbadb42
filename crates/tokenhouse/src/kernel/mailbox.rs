//! What shows that a mailbox is somebody's: links and codes from mails, as they come back, and the two mails that more
//! than one part of the house sends, to verify an address and to choose a new password.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use jiff::Timestamp;
use serde_json::json;

use super::account::{self, Email, User};
use super::house::Tokenhouse;
use super::mail::{self, Asked, Reply};
use super::ticket::{Key, Purpose, Ticket};
use crate::base::error::{Code, Error, FieldError};
use crate::base::http::{Fields, Origin};
use crate::base::secret::Secret;
use crate::base::store::Tx;

/// Verifies an address.
pub(crate) const VERIFY: Purpose = Purpose("email.verify");
/// Chooses a new password.
pub(crate) const RESET: Purpose = Purpose("password.reset");

/// Takes a change of address back, from the old one.
pub(crate) const UNDO: Purpose = Purpose("email.undo");

/// What somebody has from a mail.
#[derive(Clone, Debug)]
pub enum FromMail {
    /// What the link holds.
    Token(Secret),
    /// The code, and the address that it was sent to.
    Code {
        /// The address.
        email: String,
        /// The code, in whatever groups it was typed.
        code: Secret,
    },
}

impl FromMail {
    /// Reads `{token}` or `{email, code}`, noting what is missing.
    pub(crate) fn read(body: &mut Fields) -> Self {
        if body.has("token") {
            for name in ["email", "code"] {
                if body.has(name) {
                    body.fault(FieldError::new(
                        name,
                        "ambiguous",
                        "give a token, or an address and a code",
                    ));
                    let _ = body.take_optional(name);
                }
            }
            return Self::Token(body.take_secret("token").unwrap_or_default());
        }
        if !body.has("email") && !body.has("code") {
            body.fault(FieldError::new(
                "token",
                "missing",
                "is required, or `email` and `code`",
            ));
            return Self::Token(Secret::default());
        }
        Self::Code {
            email: body.take("email").unwrap_or_default(),
            code: body.take_secret("code").unwrap_or_default(),
        }
    }
}

/// Used, over, or never there: which of them is not told.
pub(crate) fn ticket_invalid() -> Error {
    Error::new(
        Code::TicketInvalid,
        "the link or code is not valid: it was used before, is too old, or was never sent; ask for a new mail",
    )
}

/// A step: the account that a ticket touches, if it still has the address and nothing has ended its logins since.
pub(crate) async fn still_meant(tx: &mut Tx, ticket: &Ticket) -> Result<Option<User>, Error> {
    let Some(id) = ticket.user else { return Ok(None) };
    let user = account::by_id(tx, id).await?;
    Ok(user.filter(|user| {
        user.is_active
            && ticket.data["epoch"] == json!(user.epoch)
            && user.email.as_deref().map(account::key).as_deref() == Some(ticket.subject.as_str())
    }))
}

impl Tokenhouse {
    /// Which ticket somebody presents. A code counts as a try.
    pub(crate) async fn ticket_of(&self, purpose: Purpose, presented: &FromMail) -> Result<Key, Error> {
        match presented {
            FromMail::Token(token) => Ok(Key::of(token)),
            FromMail::Code { email, code } => {
                let subject = account::key(email);
                if !account::may_be_a_key(&subject) {
                    return Err(ticket_invalid());
                }
                self.read_code(purpose, &subject, code)
                    .await?
                    .ok_or_else(ticket_invalid)
            }
        }
    }

    /// Reads the address that a mail is asked for to.
    pub(crate) fn read_address(field: &str, text: &str) -> Result<Email, Error> {
        Email::parse(text).map_err(|error| {
            Error::invalid_fields(vec![FieldError::new(field, "email_invalid", error.to_string())])
        })
    }

    /// Whether sign-ups and changes are asked to verify their address.
    pub(crate) fn verifies_addresses(&self) -> bool {
        self.sends_mail() && self.0.settings.features.email
    }
}

/// A step: the mail by which `user` verifies their address; the same work for nothing where there is nobody to.
pub(crate) async fn send_verification(
    tx: &mut Tx,
    house: &Tokenhouse,
    to: &Email,
    user: Option<&User>,
    reply: Reply,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), Error> {
    let asked = Asked {
        purpose: VERIFY,
        kind: "verify",
        page: "/verify",
        lifetime: *house.0.settings.links.verify,
        with_code: true,
        to,
        user,
        reply,
        data: json!({}),
        language: house.language_for(user, origin).tag(),
        urgent: false,
        places: Vec::new(),
        origin,
    };
    mail::ask(tx, house, asked, now).await
}

/// A step: the mail by which `user` chooses a new password; the same work for nothing where there is nobody to.
pub(crate) async fn send_reset(
    tx: &mut Tx,
    house: &Tokenhouse,
    to: &Email,
    user: Option<&User>,
    urgent: bool,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), Error> {
    if !house.0.settings.features.password {
        // There is nothing to choose.
        return Ok(());
    }
    let asked = Asked {
        purpose: RESET,
        kind: "reset",
        page: "/reset",
        lifetime: *house.0.settings.links.reset,
        with_code: true,
        to,
        user,
        reply: Reply::ticket_if(user.is_some_and(|user| user.is_active)),
        urgent,
        data: json!({ "epoch": user.map_or(0, |user| user.epoch) }),
        language: house.language_for(user, origin).tag(),
        places: Vec::new(),
        origin,
    };
    mail::ask(tx, house, asked, now).await
}

/// The answer to everybody who asks for a mail, byte for byte.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct AskedAnswer {
    /// For a person; it says no more than is known to whoever asked.
    #[schema(example = "if an account has this address, a mail is on its way to it")]
    detail: &'static str,
}

impl AskedAnswer {
    pub(crate) fn respond() -> Response {
        let answer = Self {
            detail: "if an account has this address, a mail is on its way to it",
        };
        (StatusCode::ACCEPTED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
    }
}
