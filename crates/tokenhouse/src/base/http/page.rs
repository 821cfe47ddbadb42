//! Pages: what a browser that navigates is, what a page is answered with, and where one may lead to.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, ORIGIN, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What a page of this house may load and where its forms may lead: its own style, script and pictures, no inline
/// script or style, in nobody's frame. `return_origins` are where signing in may lead back to, which browsers take for
/// a form's target.
#[must_use]
pub fn policy(return_origins: &[String]) -> HeaderValue {
    let targets: String = return_origins.iter().map(|origin| format!(" {origin}")).collect();
    let text = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'{targets}; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ))
}

/// A page, with the headers that every page has.
#[must_use]
pub fn respond(status: StatusCode, html: String, policy: &HeaderValue) -> Response {
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    protect(headers);
    response
}

/// The headers of whatever is only for the person who asked.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
        (REFERRER_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (
            PERMISSIONS_POLICY,
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Leads on after a form (never 307, which would post the form again).
#[must_use]
pub fn redirect(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    protect(headers);
    headers.insert(
        LOCATION,
        HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/")),
    );
    response
}

/// Whether a person's browser navigates here, so that the answer is looked at: a page says more than a problem
/// document.
#[must_use]
pub fn is_navigation(headers: &HeaderMap) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html")),
    }
}

/// Where a request came from, as its browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A page of the same origin.
    SameOrigin,
    /// A page of another origin.
    Foreign,
    /// The browser does not say.
    Unknown,
}

/// Who sent this request: `Sec-Fetch-Site` where the browser has it, else `Origin`, which must be that of `public_url`
/// or, as safely, of the host that was asked.
#[must_use]
pub fn sender(headers: &HeaderMap, public_url: &str) -> Sender {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return match site.as_bytes() {
            b"same-origin" => Sender::SameOrigin,
            // A person's own doing (a restored tab), or so an extension says.
            b"none" => Sender::Unknown,
            _ => Sender::Foreign,
        };
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return if headers.contains_key(ORIGIN) {
            Sender::Foreign
        } else {
            Sender::Unknown
        };
    };
    let Some(origin) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else {
        return Sender::Foreign;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let asked = |host: &str| {
        Url::parse(&format!("{}://{host}/", origin.scheme())).is_ok_and(|url| url.origin() == origin.origin())
    };
    let ours = Url::parse(public_url).is_ok_and(|url| url.origin() == origin.origin());
    // Who is on the wire can be any page of plain HTTP.
    let as_safe = origin.scheme() == "https" || public_url.starts_with("http://");
    if origin.origin().is_tuple() && (ours || as_safe && host.is_some_and(asked)) {
        Sender::SameOrigin
    } else {
        Sender::Foreign
    }
}

/// Where somebody may be led to after signing in: a path of this origin, or an address whose origin is one of
/// `origins`. What comes out is the browser's own reading of it, written anew, so that nobody reads it differently.
#[must_use]
pub fn destination(text: &str, origins: &[String]) -> Option<String> {
    if text.len() > 2048 || text.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    if text.starts_with('/') {
        // A host that is nobody's: whatever leads away from it leads away from us.
        let base = Url::parse("http://here.invalid").ok()?;
        let url = base.join(text).ok()?;
        let path = &url[url::Position::BeforePath..];
        // `/.//there` has lost its dots by now.
        return (url.origin() == base.origin() && !path.starts_with("//")).then(|| path.to_owned());
    }
    let url = Url::parse(text).ok()?;
    let written_out = text.starts_with("https://") || text.starts_with("http://");
    let nobody = url.username().is_empty() && url.password().is_none();
    let origin = url.origin().ascii_serialization();
    (written_out && nobody && origins.contains(&origin)).then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_origin_and_named_origins_are_led_to() {
        let origins = [
            "https://app.example.com".to_owned(),
            "http://localhost:3000".to_owned(),
        ];
        for (text, expected) in [
            ("/", "/"),
            ("/account", "/account"),
            ("/a/b?c=d&e=%2F#f", "/a/b?c=d&e=%2F#f"),
            ("/a/../b", "/b"),
            ("/search?next=//evil.example", "/search?next=//evil.example"),
            ("/é", "/%C3%A9"),
            ("https://app.example.com/x?y", "https://app.example.com/x?y"),
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com:443/x", "https://app.example.com/x"),
            ("http://localhost:3000/x", "http://localhost:3000/x"),
        ] {
            assert_eq!(destination(text, &origins).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn nothing_leads_anywhere_else() {
        let origins = ["https://app.example.com".to_owned()];
        let long = format!("/{}", "a".repeat(3000));
        for text in [
            "",
            "account",
            "?x",
            "#x",
            ".",
            "//evil.example",
            "///evil.example",
            "////evil.example/%2e%2e",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/a/%2E%2e//evil.example",
            "//evil.example:80@app.example.com/",
            "https://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "HTTPS://evil.example",
            "https://app.example.com@evil.example",
            "https://app.example.com:x@evil.example",
            "https://user@app.example.com/",
            "https://app.example.com.evil.example",
            "https://app.example.com\\@evil.example",
            "https://app.example.com%2eevil.example",
            "https://app.example.com:444/",
            "http://app.example.com/",
            "https://evil.example/https://app.example.com",
            "https://evil.example#https://app.example.com",
            "https://evil.example?https://app.example.com",
            "javascript:alert(1)",
            "JavaScript://app.example.com/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://app.example.com/x",
            "https://аpp.example.com",
            "/\u{0}/evil.example",
            &long,
        ] {
            assert_eq!(destination(text, &origins), None, "{text:?}");
        }
    }

    fn said(pairs: &[(&str, &str)]) -> Sender {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        sender(&headers, "https://id.example.org/house")
    }

    #[test]
    fn the_browser_says_who_sent_a_form() {
        assert_eq!(said(&[]), Sender::Unknown);
        assert_eq!(said(&[("sec-fetch-site", "same-origin")]), Sender::SameOrigin);
        assert_eq!(said(&[("sec-fetch-site", "none")]), Sender::Unknown);
        for site in ["same-site", "cross-site", "", "nonsense"] {
            let ours = ("origin", "https://id.example.org");
            assert_eq!(said(&[("sec-fetch-site", site), ours]), Sender::Foreign, "{site}");
        }
        assert_eq!(said(&[("origin", "https://id.example.org")]), Sender::SameOrigin);
        assert_eq!(
            said(&[("origin", "https://other.example"), ("host", "other.example")]),
            Sender::SameOrigin,
            "where the house is reached by another name than it was told"
        );
        for origin in [
            "null",
            "http://id.example.org",
            "https://id.example.org.evil.example",
            "https://evil.example",
            "",
        ] {
            let host = ("host", "id.example.org");
            assert_eq!(said(&[("origin", origin), host]), Sender::Foreign, "{origin}");
        }
        let twice = [
            ("origin", "https://id.example.org"),
            ("origin", "https://evil.example"),
        ];
        assert_eq!(said(&twice), Sender::Foreign);
    }

    #[test]
    fn a_browser_that_navigates_is_known() {
        let is = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            is_navigation(&headers)
        };
        assert!(is(&[("sec-fetch-mode", "navigate")]));
        assert!(is(&[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]));
        assert!(!is(&[("sec-fetch-mode", "cors"), ("accept", "text/html")]));
        assert!(!is(&[("accept", "*/*")]));
        assert!(!is(&[("accept", "application/json")]));
        assert!(!is(&[]));
    }
}
