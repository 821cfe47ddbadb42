//! `tokenhouse serve`: production, where what is unsafe is refused rather than warned of.

use axum::Router;
use clap::Args;
use tokenhouse::Tokenhouse;
use tokenhouse::base::http::address::is_loopback;
use tokio::time::Instant;
use url::Url;

use super::{build, host_of, load, runtime};
use crate::config::{Config, ConfigError, Places};
use crate::failure::Failure;
use crate::serve::{self, Signals};
use crate::telemetry;

/// Run in production.
///
/// `public_url` must be set. An empty database gets its tables; an older one is left alone until `tokenhouse migrate`
/// (or `--migrate`), so that an upgrade happens when you want it. SIGTERM and SIGINT stop it after the requests in
/// flight; a second signal stops it at once.
#[derive(Args)]
pub(crate) struct Serve {
    /// Bring an older database up to date first
    #[arg(long)]
    migrate: bool,
}

impl Serve {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        refuse_unsafe(&config)?;
        let telemetry = telemetry::begin(&config.server.log)?;
        let deadline = runtime()?.block_on(self.serve(config))?;
        telemetry.end(deadline);
        Ok(())
    }

    async fn serve(self, config: Config) -> Result<Instant, Failure> {
        let signals = Signals::hear()?;
        // The port first: when it is taken nothing else has happened.
        let listener = serve::listen(&config.server.listen).await?;
        let builder = if self.migrate {
            Tokenhouse::builder()
        } else {
            Tokenhouse::builder().without_migrating()
        };
        let house = build(&config, builder).await?;
        tracing::info!(
            public_url = house.settings().public_url,
            version = env!("CARGO_PKG_VERSION"),
            "listening on http://{}",
            listener.local_addr()?
        );
        serve::serve(house, listener, &config.server, signals, Router::new()).await
    }
}

/// What would work, and hurt.
pub(crate) fn refuse_unsafe(config: &Config) -> Result<(), ConfigError> {
    let mut mistakes = Vec::new();
    let url = &config.settings.public_url;
    if config.is_given("public_url") {
        let url = Url::parse(url).ok();
        let plain = url.as_ref().is_some_and(|url| url.scheme() == "http");
        let local = url.as_ref().and_then(Url::host_str).is_some_and(is_loopback);
        if plain && !local {
            mistakes.push(config.told(
                "public_url",
                "must begin with https:// (passwords and tokens travel there); plain http is for loopback hosts",
            ));
        } else if plain && !is_loopback(host_of(&config.server.listen)) {
            mistakes.push(config.told(
                "listen",
                "is reachable from other machines, while public_url is plain http: listen on 127.0.0.1, or set the \
                 https address that people use as public_url",
            ));
        }
    } else {
        mistakes.push(
            "public_url: must be set to the https address that people and programs use, as it is the issuer of every \
             token (TOKENHOUSE_PUBLIC_URL=https://id.example.com)"
                .to_owned(),
        );
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(ConfigError(mistakes))
    }
}
