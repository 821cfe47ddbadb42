//! The one middleware around every route: a request id, a count and a duration, a log line, and problem
//! documents that carry the id and look as the application wants them to.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{Entry, HeaderName, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method};
use tracing::Instrument;

use super::problem::Problem;
use crate::base::entropy::{Entropy, EntropyError};
use crate::base::error::Error;
use crate::base::metrics::RequestMetrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ID_CHARACTERS: std::ops::RangeInclusive<usize> = 1..=64;

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// The id of the request that this task is answering, if it came through [`observe`].
pub(crate) fn request_id() -> Option<String> {
    CURRENT
        .try_with(|id| id.to_str().ok().map(str::to_owned))
        .ok()
        .flatten()
}

/// How an application wants its problems to look; it is handed each and gives the whole answer.
pub type ProblemRenderer = Arc<dyn Fn(&Problem) -> Response + Send + Sync>;

/// Looks at a request before it is answered, and where a person will look at the answer gives what makes a page of a
/// problem.
pub type PageMaker = Arc<dyn Fn(&Parts) -> Option<PageOf> + Send + Sync>;
/// Makes a page of a problem, if it can.
pub type PageOf = Box<dyn FnOnce(&Problem) -> Option<Response> + Send>;

/// The middleware's state: what is shared, and what the routes under it add.
#[derive(Clone)]
pub struct Watch {
    /// What all routes share.
    pub observer: Arc<Observer>,
    /// Where problems may be pages.
    pub pages: Option<PageMaker>,
    /// Whether what the routes answer is for no other site to embed.
    pub for_own_site: bool,
}

/// What the middleware needs.
pub struct Observer {
    metrics: RequestMetrics,
    renderer: Option<ProblemRenderer>,
    transport: Option<HeaderValue>,
    prefix: u32,
    counter: AtomicU64,
}

impl Observer {
    /// Counts into `metrics`, shapes problems by `renderer` if there is one, and says `transport` as
    /// `Strict-Transport-Security` (RFC 6797).
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(
        metrics: RequestMetrics,
        renderer: Option<ProblemRenderer>,
        transport: Option<HeaderValue>,
        entropy: &Entropy,
    ) -> Result<Self, EntropyError> {
        Ok(Self {
            metrics,
            renderer,
            transport,
            prefix: u32::from_le_bytes(entropy.bytes()?),
            counter: AtomicU64::new(0),
        })
    }

    /// The caller's own id where it is harmless to log, so that a request can be followed through several
    /// services; else a new one.
    fn id(&self, request: &Request) -> HeaderValue {
        let harmless = |value: &&HeaderValue| {
            ID_CHARACTERS.contains(&value.len())
                && value
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        request
            .headers()
            .get(REQUEST_ID)
            .filter(harmless)
            .cloned()
            .unwrap_or_else(|| {
                let text = format!(
                    "{:08x}{:08x}",
                    self.prefix,
                    self.counter.fetch_add(1, Ordering::Relaxed)
                );
                HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
            })
    }
}

/// The middleware itself, for `axum::middleware::from_fn_with_state`.
pub async fn observe(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let Watch {
        observer,
        pages,
        for_own_site,
    } = watch;
    let started = Instant::now();
    let id = observer.id(&request);
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let span = tracing::debug_span!(
        target: "tokenhouse::request",
        "request",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = id.to_str().unwrap_or_default(),
    );

    let (parts, body) = request.into_parts();
    let page = pages.and_then(|pages| pages(&parts));
    let request = Request::from_parts(parts, body);
    let answered = CURRENT
        .scope(id.clone(), AssertUnwindSafe(next.run(request)).catch_unwind())
        .instrument(span.clone())
        .await;
    let mut response = match answered {
        Ok(response) => response,
        Err(_) => CURRENT.sync_scope(id.clone(), || {
            Error::internal("a panic while answering").into_response()
        }),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>()
        && let Some(other) = page
            .and_then(|page| page(&problem))
            .or_else(|| observer.renderer.as_ref().map(|renderer| renderer(&problem)))
    {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        response = other;
        // What the protocol asks for stays, however the body looks.
        for name in [
            http::header::WWW_AUTHENTICATE,
            http::header::RETRY_AFTER,
            http::header::ALLOW,
            http::header::CACHE_CONTROL,
        ] {
            if let Some(value) = headers.get(&name)
                && !response.headers().contains_key(&name)
                // An application that answers a bad login with 400 challenges nobody.
                && (name != http::header::WWW_AUTHENTICATE || response.status() == status)
            {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }

    let status = response.status();
    let elapsed = started.elapsed();
    observer.metrics.record(method, route, status, elapsed);
    span.record("http.response.status_code", status.as_u16());
    tracing::debug!(
        target: "tokenhouse::request",
        parent: &span,
        status = status.as_u16(),
        microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What an application says itself stays as it is.
    let mut unless_said = |name: HeaderName, value: HeaderValue| {
        if let Entry::Vacant(entry) = headers.entry(name) {
            entry.insert(value);
        }
    };
    if let Some(transport) = &observer.transport {
        unless_said(STRICT_TRANSPORT_SECURITY, transport.clone());
    }
    if for_own_site {
        // A cookie opens some of what is no page too. Scripts of `http.allowed_origins` ask with CORS, which this is not about.
        unless_said(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

/// Methods are whatever a client sends; labels must not be.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
