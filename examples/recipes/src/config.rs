//! What the environment decides.

use anyhow::{Context, ensure};
use tokenhouse::Secret;
use tokenhouse::settings::Period;

/// The variables of the tutorial.
pub struct Config {
    /// `JWT_SECRET`: what signs the tokens; as long as HS256's hash at least.
    pub secret: Secret,
    /// `ACCESS_TOKEN_EXPIRE_MINUTES`, or 8 days.
    pub access_lifetime: Period,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence about the first that is missing or makes no sense.
    pub fn from_environment() -> anyhow::Result<Self> {
        let secret =
            variable("JWT_SECRET").context("JWT_SECRET is not set; `openssl rand -hex 32` makes one")?;
        ensure!(
            secret.len() >= 32,
            "JWT_SECRET must have at least 32 characters; `openssl rand -hex 32` makes one"
        );
        let minutes = match variable("ACCESS_TOKEN_EXPIRE_MINUTES") {
            Some(text) => text
                .parse()
                .ok()
                .context("ACCESS_TOKEN_EXPIRE_MINUTES must be a number of minutes")?,
            None => 60 * 24 * 8,
        };
        Ok(Self {
            secret: secret.into(),
            access_lifetime: Period::minutes(minutes),
        })
    }
}

/// A variable that is set to something.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
