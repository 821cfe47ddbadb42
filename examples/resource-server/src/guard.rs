//! Checking tokens with keys that the issuer publishes, and following what it revokes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokenhouse_verify::{Claims, Jwks, KeySet, Rejection, RevocationFeed, VerifiedToken, Verifier};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

/// How often the feed of revocations is asked for: so long a logout may take to be seen here.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// A token that names an unknown key waits so long for the keys to be fetched again.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// Whose tokens are good, and for whom they must be.
pub struct Config {
    /// The `public_url` of the Tokenhouse.
    pub issuer: String,
    /// What its tokens name as `aud`; by itself that is the issuer too.
    pub audience: String,
    /// How soon the keys may be asked for again: a stranger who makes up `kid`s must not become a flood at the issuer's.
    pub fetch_again_after: Duration,
    /// How long the feed may be out of reach before nobody is let in. `None`: for ever; then a logout that is not
    /// heard of takes effect when the token expires.
    pub refuse_after: Option<Duration>,
}

/// Checks tokens; one for the whole program.
pub struct Guard {
    verifier: Verifier,
    issuer: String,
    fetch_again_after: Duration,
    refuse_after: Option<Duration>,
    client: reqwest::Client,
    last_fetch: Mutex<Option<Instant>>,
    feed: Mutex<Feed>,
    /// When what is known of revocations was last all there is.
    followed: RwLock<Option<Instant>>,
}

/// What the next request for the feed needs.
#[derive(Default)]
struct Feed {
    uri: Option<String>,
    tag: Option<HeaderValue>,
}

/// What the issuer says of itself (RFC 8414), as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    revocation_feed_uri: Option<String>,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Refusal {
    /// The token is not good.
    Token(Rejection),
    /// Whether it is good cannot be said: the feed has been out of reach for too long.
    Stale,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(rejection) => rejection.fmt(f),
            Self::Stale => f.write_str("what was revoked cannot be asked for at present"),
        }
    }
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
            verifier: Verifier::builder()
                .keys(KeySet::default())
                .issuer(config.issuer.as_str())
                .audience(config.audience)
                .token_type("at+jwt")
                .build()?,
            issuer: config.issuer,
            fetch_again_after: config.fetch_again_after,
            refuse_after: config.refuse_after,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()?,
            last_fetch: Mutex::new(None),
            feed: Mutex::new(Feed::default()),
            followed: RwLock::new(None),
        };
        guard.fetch_keys().await;
        if let Err(error) = guard.poll_revocations().await {
            tracing::warn!("the revocations could not be fetched: {error:#}");
        }
        Ok(Arc::new(guard))
    }

    /// Checks a token, with fresh keys if it names one that is not known yet.
    ///
    /// # Errors
    /// Why it is not good.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, Refusal> {
        let outcome = match self.verifier.verify(token) {
            Err(Rejection::UnknownKey { .. }) => {
                self.fetch_keys().await;
                self.verifier.verify(token)
            }
            outcome => outcome,
        };
        let verified = outcome.map_err(Refusal::Token)?;
        if self.is_stale() {
            return Err(Refusal::Stale);
        }
        Ok(verified)
    }

    /// Fetches the keys now and then, so that those the issuer has withdrawn go here too.
    pub async fn follow_keys(&self) {
        let mut every = tokio::time::interval(Duration::from_secs(300));
        loop {
            every.tick().await;
            self.fetch_keys().await;
        }
    }

    /// Follows the feed of revocations.
    pub async fn follow_revocations(&self) {
        let mut every = tokio::time::interval(FOLLOW_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            every.tick().await;
            let outcome = self.poll_revocations().await;
            // Once, not every second.
            match &outcome {
                Err(error) if !away => {
                    tracing::warn!("revocations cannot be followed at present: {error:#}");
                }
                Ok(()) if away => tracing::info!("revocations are followed again"),
                _ => {}
            }
            away = outcome.is_err();
        }
    }

    /// Asks for the feed once. What is known stays known where that fails.
    ///
    /// # Errors
    /// Where the issuer is away, publishes no feed, or says something else.
    pub async fn poll_revocations(&self) -> anyhow::Result<()> {
        let mut feed = self.feed.lock().await;
        let uri = match &feed.uri {
            Some(uri) => uri.clone(),
            None => self
                .discover()
                .await?
                .revocation_feed_uri
                .context("the issuer publishes no feed of revocations")?,
        };
        let mut request = self.client.get(&uri);
        if let Some(tag) = &feed.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        // Whatever is older than the question is known once it is answered.
        let asked = Instant::now();
        // Where it is gone, it may be elsewhere: the next poll asks for the metadata again.
        feed.uri = None;
        let answer = request.send().await?.error_for_status()?;
        if answer.status() != StatusCode::NOT_MODIFIED {
            let tag = answer.headers().get(ETAG).cloned();
            self.verifier
                .revocations()
                .follow(&answer.json::<RevocationFeed>().await?);
            feed.tag = tag;
        }
        feed.uri = Some(uri);
        *self.followed.write().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(())
    }

    fn is_stale(&self) -> bool {
        let Some(limit) = self.refuse_after else {
            return false;
        };
        let followed = *self.followed.read().unwrap_or_else(PoisonError::into_inner);
        followed.is_none_or(|at| at.elapsed() > limit)
    }

    /// Fetches the keys, or waits for whoever does: nobody is refused before the keys were fetched once more, unless that
    /// may not be done soon.
    async fn fetch_keys(&self) {
        let came = Instant::now();
        let mut last = self.last_fetch.lock().await;
        if let Some(at) = *last {
            let left = self.fetch_again_after.saturating_sub(at.elapsed());
            if at >= came || left > WORTH_WAITING {
                return;
            }
            tokio::time::sleep(left).await;
        }
        *last = Some(Instant::now());
        match self.published_keys().await {
            Ok(keys) => self.verifier.set_keys(keys),
            // The keys there are stay good: an issuer that is away logs nobody out.
            Err(error) => tracing::warn!(issuer = self.issuer, "the keys could not be fetched: {error:#}"),
        }
    }

    async fn published_keys(&self) -> anyhow::Result<KeySet> {
        let uri = self.discover().await?.jwks_uri;
        let answer = self.client.get(uri).send().await?.error_for_status()?;
        let (keys, skipped) = KeySet::from_jwks(&answer.json::<Jwks>().await?)?;
        for key in skipped {
            tracing::warn!(kid = key.kid, "a key is of no use here: {}", key.reason);
        }
        Ok(keys)
    }

    async fn discover(&self) -> anyhow::Result<Metadata> {
        let url = format!("{}/.well-known/oauth-authorization-server", self.issuer);
        let answer = self.client.get(url).send().await?.error_for_status()?;
        let metadata: Metadata = answer.json().await?;
        // Or somebody else's keys would be taken for the issuer's (RFC 8414 §3.3).
        ensure!(
            metadata.issuer == self.issuer,
            "the issuer calls itself {}",
            metadata.issuer
        );
        Ok(metadata)
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
            .map_err(|refusal| match refusal {
                Refusal::Token(_) => refused("Bearer error=\"invalid_token\"", &refusal.to_string()),
                // The token may well be good: the client shall keep it, and come again.
                Refusal::Stale => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    Json(json!({ "detail": refusal.to_string() })),
                )
                    .into_response(),
            })
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
