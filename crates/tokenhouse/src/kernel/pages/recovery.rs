//! Recovery codes on paper: shown once, to be printed, copied or kept as a file.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{Member, Part, Posted, Visit};
use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::base::template;

#[derive(Serialize)]
pub(super) struct CodesPage {
    pub(super) codes: Vec<String>,
    /// Where to go on.
    pub(super) next: String,
}

#[derive(Serialize)]
pub(super) struct Section {
    pub(super) left: i64,
}

impl Visit {
    /// The codes, which are not shown again.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub(crate) fn recovery_codes_page(&self, codes: &[Secret], next: String) -> Result<Response, Error> {
        let page = CodesPage {
            codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
            next,
        };
        self.page(StatusCode::OK, "pages/recovery_codes.html", &page)
    }
}

/// A section of the account page, where there is a second factor.
pub(super) async fn part(member: &Member) -> Result<Option<Part>, Error> {
    let factors = member.house.second_factors_of(&member.user).await?;
    if factors.iter().all(|factor| *factor == "email_code") {
        return Ok(None);
    }
    let left = member.house.recovery_codes_left(member.user.id).await?;
    Ok(Some(Part {
        order: 45,
        template: "pages/part_recovery_codes.html",
        data: template::context(&Section { left }),
    }))
}

/// `POST /account/recovery-codes`
pub(super) async fn make(Posted(member, _): Posted<Member>) -> Result<Response, Error> {
    let made = member
        .house
        .make_recovery_codes(&member.user, member.session.id, &member.origin)
        .await;
    match made {
        Ok(codes) => member.recovery_codes_page(&codes, member.path("/account")),
        Err(error) => member.prove_first(error, "/account"),
    }
}
