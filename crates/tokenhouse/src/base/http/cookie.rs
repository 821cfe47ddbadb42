//! Cookies: read strictly, written with everything that keeps them to this house and out of scripts.

use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// How this house's cookies are called and kept: with `__Host-` and `Secure`, which bind them to the host and to TLS,
/// or without where the house is reached over plain HTTP (on this machine, for development).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jar {
    secure: bool,
}

/// A cookie's name, without the prefix it may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub &'static str);

impl Jar {
    /// For a house that is reached at `public_url`.
    #[must_use]
    pub fn of(public_url: &str) -> Self {
        Self {
            secure: !public_url.starts_with("http://"),
        }
    }

    fn prefix(self) -> &'static str {
        if self.secure { "__Host-" } else { "" }
    }

    /// The value of a cookie that came; of several of one name none is believed, since one was planted.
    #[must_use]
    pub fn read<'a>(&self, headers: &'a HeaderMap, name: Name) -> Option<&'a str> {
        let mut found = None;
        let pairs = headers.get_all(COOKIE).iter();
        for pair in pairs
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
        {
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            let ours = key.strip_prefix(self.prefix()).is_some_and(|rest| rest == name.0);
            if ours && found.replace(value.trim()).is_some() {
                return None;
            }
        }
        found
    }

    /// `Set-Cookie`: for so long, or as long as the browser is open. `value` must be plain (base64url, say).
    #[must_use]
    pub fn keep(&self, name: Name, value: &str, lifetime: Option<Duration>) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = lifetime.map_or(String::new(), |time| format!("; Max-Age={}", time.as_secs()));
        let text = format!(
            "{}{}={value}; Path=/{secure}; HttpOnly; SameSite=Lax{age}",
            self.prefix(),
            name.0
        );
        HeaderValue::from_str(&text).ok()
    }

    /// `Set-Cookie` that makes the browser forget it.
    #[must_use]
    pub fn forget(&self, name: Name) -> Option<HeaderValue> {
        self.keep(name, "", Some(Duration::ZERO))
    }
}

/// Adds a cookie to an answer.
pub fn set(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        headers.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name("house");

    fn read<'a>(jar: Jar, headers: &'a mut HeaderMap, values: &[&str]) -> Option<&'a str> {
        headers.clear();
        for value in values {
            headers.append(COOKIE, value.parse().unwrap());
        }
        jar.read(headers, NAME)
    }

    #[test]
    fn only_the_one_cookie_of_the_right_name_is_read() {
        let (secure, plain) = (
            Jar::of("https://id.example.org"),
            Jar::of("http://localhost:8080"),
        );
        let headers = &mut HeaderMap::new();
        assert_eq!(read(secure, headers, &["a=b; __Host-house=x"]), Some("x"));
        assert_eq!(read(secure, headers, &["a=b", "__Host-house=x"]), Some("x"));
        assert_eq!(
            read(secure, headers, &["house=x"]),
            None,
            "one without the prefix can come from a subdomain"
        );
        assert_eq!(read(plain, headers, &["house=x"]), Some("x"));
        assert_eq!(read(plain, headers, &["house=x; house=y"]), None);
        assert_eq!(read(plain, headers, &["xhouse=x; housex=y; house"]), None);
    }

    #[test]
    fn what_is_written_keeps_it_here() {
        let jar = Jar::of("https://id.example.org");
        assert_eq!(
            jar.keep(NAME, "x", Some(Duration::from_secs(60))).unwrap(),
            "__Host-house=x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        assert_eq!(
            Jar::of("http://localhost").keep(NAME, "x", None).unwrap(),
            "house=x; Path=/; HttpOnly; SameSite=Lax"
        );
        assert!(
            jar.forget(NAME)
                .unwrap()
                .to_str()
                .unwrap()
                .contains("__Host-house=; ")
        );
    }
}
