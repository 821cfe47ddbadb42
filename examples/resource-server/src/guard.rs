//! Checking tokens with keys that the issuer publishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokenhouse_verify::{Claims, Jwks, KeySet, Rejection, VerifiedToken, Verifier};
use tokio::sync::Mutex;

/// Whose tokens are good, and for whom they must be.
pub struct Config {
    /// The `public_url` of the Tokenhouse.
    pub issuer: String,
    /// What its tokens name as `aud`; by itself that is the issuer too.
    pub audience: String,
    /// How soon the keys may be asked for again: a stranger who makes up `kid`s must not become a flood at the issuer's.
    pub fetch_again_after: Duration,
}

/// Checks tokens; one for the whole program.
pub struct Guard {
    verifier: Verifier,
    keys_url: String,
    fetch_again_after: Duration,
    client: reqwest::Client,
    last_fetch: Mutex<Option<Instant>>,
}

impl Guard {
    /// A guard that has the issuer's keys already, or fetches them when the first token comes.
    ///
    /// # Errors
    /// Where issuer or audience are empty.
    pub async fn new(config: Config) -> anyhow::Result<Arc<Self>> {
        // `reqwest` leaves the choice to the program; it has been made already where this is an error.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let guard = Self {
            keys_url: format!("{}/.well-known/jwks.json", config.issuer),
            verifier: Verifier::builder()
                .keys(KeySet::default())
                .issuer(config.issuer)
                .audience(config.audience)
                .token_type("at+jwt")
                .build()?,
            fetch_again_after: config.fetch_again_after,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()?,
            last_fetch: Mutex::new(None),
        };
        guard.fetch_keys().await;
        Ok(Arc::new(guard))
    }

    /// Checks a token, with fresh keys if it names one that is not known yet.
    ///
    /// # Errors
    /// Why it is not good.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, Rejection> {
        match self.verifier.verify(token) {
            Err(Rejection::UnknownKey { .. }) => {
                self.fetch_keys().await;
                self.verifier.verify(token)
            }
            outcome => outcome,
        }
    }

    /// Fetches the keys now and then, so that those the issuer has withdrawn go here too.
    pub async fn follow_keys(&self) {
        let mut every = tokio::time::interval(Duration::from_secs(300));
        loop {
            every.tick().await;
            self.fetch_keys().await;
        }
    }

    /// Those who come while somebody is fetching wait, and find the keys fetched.
    async fn fetch_keys(&self) {
        let mut last = self.last_fetch.lock().await;
        if last.is_some_and(|at| at.elapsed() < self.fetch_again_after) {
            return;
        }
        *last = Some(Instant::now());
        match self.published_keys().await {
            Ok(keys) => self.verifier.set_keys(keys),
            // The keys there are stay good: an issuer that is away logs nobody out.
            Err(error) => tracing::warn!(url = self.keys_url, "the keys could not be fetched: {error:#}"),
        }
    }

    async fn published_keys(&self) -> anyhow::Result<KeySet> {
        let answer = self.client.get(&self.keys_url).send().await?.error_for_status()?;
        let (keys, skipped) = KeySet::from_jwks(&answer.json::<Jwks>().await?)?;
        for key in skipped {
            tracing::warn!(kid = key.kid, "a key is of no use here: {}", key.reason);
        }
        Ok(keys)
    }
}

/// Who sends the request: an extractor that has refused everybody else.
pub struct Caller(Arc<VerifiedToken>);

impl Caller {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        self.0.claims()
    }
}

impl FromRequestParts<Arc<Guard>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, guard: &Arc<Guard>) -> Result<Self, Response> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = header.and_then(|text| text.split_once(' ')) else {
            return Err(refused(
                "Bearer",
                "send an access token as `Authorization: Bearer …`",
            ));
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused(
                "Bearer",
                "send an access token as `Authorization: Bearer …`",
            ));
        }
        guard
            .verify(token.trim())
            .await
            .map(Self)
            .map_err(|rejection| refused("Bearer error=\"invalid_token\"", &rejection.to_string()))
    }
}

fn refused(challenge: &'static str, detail: &str) -> Response {
    let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))];
    (
        StatusCode::UNAUTHORIZED,
        challenge,
        Json(json!({ "detail": detail })),
    )
        .into_response()
}
