//! The feed of revocations: for verifiers elsewhere what `revocations` in memory is for this house.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use tokenhouse_verify::{RevocationFeed, Revoked};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::revocation::seconds;
use crate::base::error::Error;
use crate::base::http::Problem;
use crate::kernel::house::Tokenhouse;
use crate::kernel::token::margin;

/// Where it is, from where the routes are mounted.
pub(crate) const PATH: &str = "/.well-known/revocations.json";

/// More than this are not told: the answer stays under seven megabytes. The last ones to matter go first, and a
/// follower keeps what it was told, so only one that starts then misses some.
const MOST: usize = 100_000;
/// A list of more than this is made once a second at most.
const LONG: usize = 1000;

/// The verifiers' leeway is theirs: up to a minute.
const MARGIN: Duration = Duration::from_secs(60);

pub(crate) fn routes() -> OpenApiRouter<Tokenhouse> {
    OpenApiRouter::new().routes(routes!(revocations))
}

/// The document, as the description shows it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the type of `tokenhouse-verify`")]
struct Revocations {
    /// When this was true, in seconds since 1970.
    #[schema(example = 1_767_225_600)]
    as_of: u64,
    /// What is refused: 100 000 at most.
    revoked: Vec<RevokedId>,
}

/// One session, or one token.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents the type of `tokenhouse-verify`")]
struct RevokedId {
    /// The `sid` or the `jti` of the tokens.
    id: uuid::Uuid,
    /// When the last such token has expired, in seconds since 1970.
    #[schema(example = 1_767_226_565)]
    until: u64,
}

/// What was revoked
///
/// The sessions and single tokens (`sid`, `jti`) whose access tokens are refused although they may not have
/// expired, so that an API that checks tokens by itself sees a logout too. Ask every second, with `If-None-Match`;
/// keep what you were told until `until`. Ids only: nothing says whose they are.
#[utoipa::path(
    get, path = PATH, operation_id = "read_revocations", tag = "Tokens",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer")),
    responses(
        (status = 200, description = "All of it", body = Revocations, headers(("ETag" = String, description = "Names this list, whenever it is asked for"))),
        (status = 304, description = "Nothing has changed"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn revocations(State(house): State<Tokenhouse>, headers: HeaderMap) -> Result<Response, Error> {
    let page = house.feed_page().await?;
    let caching = [
        (CACHE_CONTROL, "public, max-age=1".to_owned()),
        (ETAG, page.tag.clone()),
    ];
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| matches(known.trim(), &page.tag));
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let content = [(CONTENT_TYPE, "application/json")];
    Ok((caching, content, page.json.clone()).into_response())
}

/// The document as it was last made, so that a thousand followers cost one.
pub(crate) struct Page {
    version: u64,
    as_of: u64,
    count: usize,
    tag: String,
    json: Bytes,
}

impl Tokenhouse {
    /// What verifiers elsewhere have to refuse, as far as it was known `sessions.revocation_staleness` ago.
    ///
    /// # Errors
    /// When that much is not known, and the database cannot be asked.
    pub async fn revocation_feed(&self) -> Result<RevocationFeed, Error> {
        if !self.is_recent(self.known()) {
            self.become_recent().await?;
        }
        let now = seconds(self.0.clock.now());
        // The set remembers for a day, for a house that is configured anew; elsewhere a token's own life is enough.
        let tokens = &self.0.settings.tokens;
        let longer = margin(&self.0.settings).saturating_sub(*tokens.access_lifetime);
        let until = |forget_at: u64| {
            forget_at
                .saturating_sub(longer.as_secs())
                .saturating_add(MARGIN.as_secs())
        };
        let mut revoked = self.0.verifier.revocations().snapshot();
        revoked.retain(|(_, forget_at)| until(*forget_at) > now);
        // In one order on every node, so that the list has one tag.
        revoked.sort_unstable_by_key(|(id, forget_at)| std::cmp::Reverse((*forget_at, id.to_bytes())));
        if revoked.len() > MOST {
            revoked.truncate(MOST);
            tracing::warn!(most = MOST, "there are more revocations than the feed tells");
        }
        let revoked = revoked.into_iter().map(|(id, forget_at)| Revoked {
            id: uuid::Uuid::from_bytes(id.to_bytes()).to_string(),
            until: until(forget_at),
        });
        Ok(RevocationFeed {
            as_of: now,
            revoked: revoked.collect(),
        })
    }

    async fn feed_page(&self) -> Result<Arc<Page>, Error> {
        if !self.is_recent(self.known()) {
            self.become_recent().await?;
        }
        let now = seconds(self.0.clock.now());
        // Before the document, so that what comes meanwhile makes a new one next time.
        let version = self.0.verifier.revocations().version();
        if let Some(page) = &*self.0.feed.load() {
            // A long list is not made again for each who logs out; caches keep it for a second too.
            let same = page.version == version || page.count > LONG;
            if page.as_of == now && same {
                return Ok(Arc::clone(page));
            }
        }
        let feed = self.revocation_feed().await?;
        let page = Arc::new(Page {
            version,
            as_of: now,
            count: feed.revoked.len(),
            tag: entity_tag(&feed)?,
            json: serde_json::to_vec(&feed).map_err(Error::internal)?.into(),
        });
        self.0.feed.store(Some(Arc::clone(&page)));
        Ok(page)
    }
}

/// Of the list alone: it is weak, because `as_of` goes on while nothing changes.
fn entity_tag(feed: &RevocationFeed) -> Result<String, Error> {
    let list = serde_json::to_vec(&feed.revoked).map_err(Error::internal)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &list);
    Ok(format!(
        "W/\"{}\"",
        BASE64URL_NOPAD.encode(&digest.as_ref()[..16])
    ))
}

/// The weak comparison (RFC 9110 §13.1.2).
fn matches(known: &str, tag: &str) -> bool {
    known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
}
