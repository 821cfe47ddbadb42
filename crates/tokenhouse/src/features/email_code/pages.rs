//! The pages of codes by mail: the button that sends one.

use axum::Router;
use axum::response::Response;
use axum::routing::post;

use crate::base::error::Error;
use crate::base::secret::Secret;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{FormState, Member, Pages, Posted, Visit, second_step};

pub(super) const PAGES: Pages = Pages {
    routes,
    ..Pages::NONE
};

fn routes() -> Router<Tokenhouse> {
    Router::new()
        .route("/account/second-step/email", post(at_login))
        .route("/account/prove/email", post(to_prove))
}

/// `POST /account/second-step/email`
async fn at_login(Posted(visit, mut fields): Posted<Visit>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    let token = Secret::from(fields.take_optional("mfa_token").unwrap_or_default());
    match visit.house.mail_second_step(&token, &visit.origin).await {
        Ok(()) => second_step::sent(&visit, &token, return_to).await,
        Err(error) => visit.second_step_again(error, &token, return_to).await,
    }
}

/// `POST /account/prove/email`
async fn to_prove(Posted(member, mut fields): Posted<Member>) -> Result<Response, Error> {
    let return_to = fields.take_optional("return_to");
    match member.house.mail_proof(&member.user, &member.origin).await {
        Ok(()) => {
            let form = FormState::default();
            member.prove_page(form, return_to, Some("/account/prove")).await
        }
        Err(error) => {
            let form = FormState::default().failed(&member, error)?;
            member.prove_page(form, return_to, None).await
        }
    }
}
