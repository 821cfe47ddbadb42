//! The documentation page: Swagger UI out of the binary, on a page that speaks with no other host.
//!
//! Every address on it is relative, so it works wherever the routes are mounted. Swagger UI lies in the binary
//! compressed as `scripts/vendor-swagger-ui` has laid it into `assets/swagger-ui`; who does not take gzip gets
//! it unpacked. Its files have its version in their names and may be kept for ever; the few lines that are ours
//! are asked for each time.

use std::io::Read;
use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, VARY,
};
use http::{HeaderMap, StatusCode};

use crate::kernel::house::Tokenhouse;

/// Of Swagger UI, as in `scripts/vendor-swagger-ui`.
macro_rules! version {
    () => {
        "5.35.0"
    };
}

macro_rules! packed {
    ($path:literal) => {
        Packed {
            gzip: include_bytes!($path),
            plain: LazyLock::new(|| unpack(include_bytes!($path))),
        }
    };
}

/// Nothing but our own files, no inline script, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("../assets/docs/page.html").replace("{version}", version!()));

static SCRIPT: Packed = packed!("../assets/swagger-ui/swagger-ui-bundle.js.gz");
static STYLE: Packed = packed!("../assets/swagger-ui/swagger-ui.css.gz");

pub(crate) fn routes() -> Router<Tokenhouse> {
    const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    const CSS: &str = "text/css; charset=utf-8";
    Router::new()
        .route("/docs", get(page))
        .route("/docs/", get(without_slash))
        .route(
            concat!("/docs/swagger-ui-", version!(), ".js"),
            get(|headers: HeaderMap| async move { SCRIPT.respond(&headers, JAVASCRIPT) }),
        )
        .route(
            concat!("/docs/swagger-ui-", version!(), ".css"),
            get(|headers: HeaderMap| async move { STYLE.respond(&headers, CSS) }),
        )
        .route(
            "/docs/page.js",
            get(|| ours(JAVASCRIPT, include_str!("../assets/docs/page.js"))),
        )
        .route(
            "/docs/page.css",
            get(|| ours(CSS, include_str!("../assets/docs/page.css"))),
        )
        .route(
            "/docs/icon.svg",
            get(|| ours("image/svg+xml", include_str!("../assets/docs/icon.svg"))),
        )
}

async fn page() -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, ours("text/html; charset=utf-8", &PAGE).await).into_response()
}

/// The relative addresses on the page want it to be at `/docs`.
async fn without_slash() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "../docs")]).into_response()
}

async fn ours(content_type: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

/// A file of Swagger UI: compressed in the binary, unpacked once somebody asks for it so.
struct Packed {
    gzip: &'static [u8],
    plain: LazyLock<Bytes>,
}

impl Packed {
    fn respond(&self, request: &HeaderMap, content_type: &'static str) -> Response {
        let headers = [
            (CONTENT_TYPE, content_type),
            (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (VARY, "accept-encoding"),
        ];
        if takes_gzip(request) {
            (headers, [(CONTENT_ENCODING, "gzip")], self.gzip).into_response()
        } else {
            (headers, self.plain.clone()).into_response()
        }
    }
}

fn unpack(gzip: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    if let Err(error) = GzDecoder::new(gzip).read_to_end(&mut plain) {
        // A test unpacks both files, so this is a binary that was damaged later.
        tracing::error!(%error, "a file of the documentation page cannot be unpacked");
    }
    plain.into()
}

/// RFC 9110 §12.5.3: named, or covered by `*`, and not with the weight 0. Without the header anything would
/// do; whoever sends none (curl) commonly cannot unpack.
fn takes_gzip(request: &HeaderMap) -> bool {
    let mut by_star = false;
    let codings = request.get_all(ACCEPT_ENCODING).iter();
    for coding in codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameter
            .trim()
            .trim_start_matches(['q', 'Q'])
            .trim_start_matches('=');
        let wanted = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => by_star = wanted,
            _ => {}
        }
    }
    by_star
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_whole() {
        let end = b"SwaggerUI})(),i=i.default})()));";
        assert!(SCRIPT.plain.trim_ascii_end().ends_with(end));
        assert!(SCRIPT.plain.len() > 1_000_000);
        assert!(STYLE.plain.starts_with(b".swagger-ui"));
    }

    #[test]
    fn gzip_goes_only_to_those_who_take_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            takes_gzip(&headers)
        };
        for value in [
            "gzip",
            "br, GZIP;q=0.5",
            "*",
            "deflate, gzip;q=1.0, *;q=0",
            "*;q=0, gzip",
        ] {
            assert!(takes(value), "{value}");
        }
        for value in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip; q=0.000, *",
            "*;q=0",
            "gzip;q=nonsense",
        ] {
            assert!(!takes(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
