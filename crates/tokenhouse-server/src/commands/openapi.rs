//! `tokenhouse openapi`: the contract, without a database.

use clap::Args;

use super::print_json;
use crate::failure::Failure;

/// Print the description of the API (OpenAPI 3.1, JSON).
#[derive(Args)]
pub(crate) struct Openapi {}

impl Openapi {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print_json(&tokenhouse::openapi())
    }
}
