//! The pages that people sign in and look after their account with, rendered here, under `/account`.
//!
//! A request reads: `Visit` (who is there, in which language), or `Member`, which nobody enters who is not signed
//! in; for a form `Posted`, which refuses what another site sent; then the operation; then
//! `Visit::page` or a redirect. Features add pages of their own, parts of the sign-in page, sections of the account
//! page and what they know of a user, by their [`Pages`].

mod account;
mod activity;
mod colour;
mod data;
mod delete;
mod devices;
mod factor_undo;
mod form;
mod frame;
mod from_mail;
mod language;
pub(crate) mod look;
mod profile;
mod prove;
mod recovery;
pub(crate) mod sample;
pub(crate) mod second_step;
mod sign_in;
mod sign_out;
pub(crate) mod trouble;
mod visit;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use minijinja::Value;

pub(crate) use self::form::{FormState, Posted};
pub(crate) use self::from_mail::{AskPage, FromMailPage, given, opened};
pub(crate) use self::sample::Samples;
pub(crate) use self::sign_in::SignIn;
pub(crate) use self::visit::{Member, Visit, query};
use super::house::Tokenhouse;
use crate::base::error::{Code, Error};
use crate::base::http::page;
use crate::base::id::UserId;

/// A piece that a feature adds to a page: a template, included with what it is to show as `part`.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Part {
    /// Where it stands: parts come in the order of these numbers.
    pub(crate) order: u8,
    /// Its file under `templates`.
    pub(crate) template: &'static str,
    /// What the template finds in `part.data`.
    pub(crate) data: Value,
}

/// Makes a part of the sign-in page, or nothing.
pub(crate) type SignInPart = for<'a> fn(&'a Visit) -> BoxFuture<'a, Result<Option<Part>, Error>>;
/// Makes a section of the account page or of the page where one proves again who one is, or nothing.
pub(crate) type AccountPart = for<'a> fn(&'a Member) -> BoxFuture<'a, Result<Option<Part>, Error>>;
/// Tells what a feature keeps of a user, secrets excepted.
pub(crate) type Export =
    for<'a> fn(&'a Tokenhouse, UserId) -> BoxFuture<'a, Result<serde_json::Value, Error>>;

/// What a feature adds to the pages.
#[derive(Clone, Copy)]
pub struct Pages {
    /// Pages of its own, under `/account`.
    pub(crate) routes: fn() -> Router<Tokenhouse>,
    /// A way to sign in.
    pub(crate) sign_in: Option<SignInPart>,
    /// A section of the account page.
    pub(crate) account: Option<AccountPart>,
    /// A way to prove again who one is, where there is no second factor to show.
    pub(crate) prove: Option<AccountPart>,
    /// Its share of "download my data", under the feature's name.
    pub(crate) export: Option<Export>,
    /// What its templates are tried with.
    pub(crate) samples: fn() -> Samples,
}

impl Pages {
    /// Of a feature that has none.
    #[allow(dead_code, reason = "for the next feature")]
    pub(crate) const NONE: Self = Self {
        routes: Router::new,
        sign_in: None,
        account: None,
        prove: None,
        export: None,
        samples: Samples::default,
    };
}

/// Every page: the kernel's and those of the features that the house has.
pub(crate) fn router(house: &Tokenhouse) -> Router<Tokenhouse> {
    let own = Router::new()
        .route("/account", get(account::show))
        .route("/account/sign-in", get(sign_in::show))
        .route("/account/sign-out", get(sign_out::ask).post(sign_out::sign_out))
        .route("/account/delete", get(delete::show).post(delete::delete))
        .route("/account/language", post(language::choose))
        .route("/account/profile", get(profile::show).post(profile::change))
        .route("/account/devices/{id}/end", post(devices::end))
        .route("/account/devices/end-others", post(devices::end_others))
        .route("/account/second-step", post(second_step::take))
        .route("/account/prove", get(prove::show).post(prove::prove))
        .route("/account/recovery-codes", post(recovery::make))
        .route(
            "/account/factors/undo",
            get(factor_undo::show).post(factor_undo::undo),
        )
        .route("/account/activity", get(activity::show))
        .route("/account/data.json", get(data::download))
        .route("/account/assets/{name}", get(asset));
    let features = &house.0.features;
    features
        .iter()
        .fold(own, |routes, feature| routes.merge((feature.pages.routes)()))
}

async fn asset(State(house): State<Tokenhouse>, Path(name): Path<String>) -> Result<Response, Error> {
    match house.0.look.asset(&name) {
        Some(asset) => Ok(asset.respond()),
        None => Err(Error::new(Code::NotFound, "there is no such file")),
    }
}

/// An address that was moved on from: the form that led there has done its work.
pub(crate) fn done(visit: &Visit, path: &str, what: &str) -> Response {
    page::redirect(&format!("{}?done={what}", visit.path(path)))
}
