//! Sessions of browsers. The session is the same row as any other; what the browser holds is a cookie with its id
//! and a MAC, under a key of its own: it is nothing at the door of refresh tokens, nor a refresh token here.
//!
//! A cookie comes by itself with whatever request another site makes a browser send. So an unsafe method needs more:
//! the browser's word that a page of this origin sent it, and, in our own forms, a token bound to the session, or,
//! before somebody is signed in, to a cookie that only this browser has.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, Method};
use uuid::Uuid;

use super::super::keys::MasterKey;
use super::{Session, sql};
use crate::base::clock::before;
use crate::base::error::{Code, Error};
use crate::base::http::cookie::{Jar, Name};
use crate::base::http::page::{self, Sender};
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::kernel::account::User;
use crate::kernel::house::Tokenhouse;

/// Holds the session.
const SESSION: Name = Name("tokenhouse");
/// Names a browser that is not signed in, so that its forms can be told from another's.
const VISITOR: Name = Name("tokenhouse-visitor");
/// Remembers the language that was chosen on a page.
const LANGUAGE: Name = Name("tokenhouse-language");
/// Where a script of the application puts the token that a form has in a field.
const TOKEN_HEADER: &str = "x-csrf-token";
/// A session in use is noted as used this often at most; the idle lifetime must be a good deal longer.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);
/// No browser keeps a cookie longer (RFC 6265bis §5.5).
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

const ID: usize = 16;
const MAC: usize = 32;

/// What makes and checks the cookies and the tokens of forms.
pub(crate) struct BrowserKeys {
    sessions: hmac::Key,
    forms: hmac::Key,
    pub(crate) jar: Jar,
}

/// What the token of a form is bound to.
#[derive(Clone, Copy)]
pub(crate) enum Bound<'a> {
    /// The session of somebody who is signed in.
    Session(SessionId),
    /// The cookie of somebody who is not.
    Visitor(&'a str),
}

impl BrowserKeys {
    pub(crate) fn new(master: &MasterKey, public_url: &str) -> Self {
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*master.derive(purpose));
        Self {
            sessions: key("browser sessions"),
            forms: key("browser forms"),
            jar: Jar::of(public_url),
        }
    }

    fn write(&self, id: SessionId) -> Secret {
        let mut body = [0; ID + MAC];
        body[..ID].copy_from_slice(id.0.as_bytes());
        body[ID..].copy_from_slice(hmac::sign(&self.sessions, id.0.as_bytes()).as_ref());
        Secret::from(BASE64URL_NOPAD.encode(&body))
    }

    /// The session that a cookie names, if this house made it; compared in constant time.
    fn read(&self, cookie: &str) -> Option<SessionId> {
        if cookie.len() != (ID + MAC) / 3 * 4 {
            return None;
        }
        let body = BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?;
        let (id, mac) = body.split_at_checked(ID)?;
        hmac::verify(&self.sessions, id, mac).ok()?;
        Some(SessionId(Uuid::from_slice(id).ok()?))
    }

    /// The token that a form shown to this browser holds.
    pub(crate) fn form_token(&self, bound: Bound<'_>) -> String {
        BASE64URL_NOPAD.encode(hmac::sign(&self.forms, &bound.bytes()).as_ref())
    }

    /// Whether a token is the one of a form that this browser was shown.
    pub(crate) fn is_form_token(&self, bound: Bound<'_>, token: &str) -> bool {
        BASE64URL_NOPAD
            .decode(token.as_bytes())
            .is_ok_and(|mac| hmac::verify(&self.forms, &bound.bytes(), &mac).is_ok())
    }

    /// The cookie of a visitor that came along.
    pub(crate) fn visitor<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let plain = |text: &&str| text.len() == 22 && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok();
        self.jar.read(headers, VISITOR).filter(plain)
    }

    /// `Set-Cookie` for a new visitor.
    pub(crate) fn keep_visitor(&self, visitor: &str) -> Option<HeaderValue> {
        self.jar.keep(VISITOR, visitor, None)
    }

    /// The tag of the language that was chosen in this browser; anything can stand there.
    pub(crate) fn language<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.jar.read(headers, LANGUAGE)
    }

    /// `Set-Cookie` for the language that was chosen.
    pub(crate) fn keep_language(&self, tag: &str) -> Option<HeaderValue> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let kept = || self.jar.keep(LANGUAGE, tag, Some(LONGEST));
        tag.chars().all(plain).then(kept).flatten()
    }

    /// `Set-Cookie` that ends the browser's part of a session.
    pub(crate) fn forget_session(&self) -> Option<HeaderValue> {
        self.jar.forget(SESSION)
    }
}

impl Bound<'_> {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Session(id) => [b"session:", id.0.as_bytes().as_slice()].concat(),
            Self::Visitor(text) => [b"visitor:", text.as_bytes()].concat(),
        }
    }
}

impl Tokenhouse {
    /// `Set-Cookie` that makes a browser hold this session.
    pub(crate) fn keep_session(&self, session: &Session) -> Option<HeaderValue> {
        let left = session.expires_at.duration_since(self.0.clock.now());
        let lifetime = Duration::try_from(left).unwrap_or_default().min(LONGEST);
        let keys = &self.0.browser;
        keys.jar
            .keep(SESSION, keys.write(session.id).expose(), Some(lifetime))
    }

    /// Who is signed in in the browser that sends this, if the session is not over; nothing for a cookie that tells
    /// nothing (any more), which is as good as none.
    pub(crate) async fn browser_session(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<(User, Session)>, Error> {
        let keys = &self.0.browser;
        let Some(id) = keys.jar.read(headers, SESSION).and_then(|text| keys.read(text)) else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        let found = sql::by_id(&mut self.0.store.read().await?, id).await?;
        let live = |session: &Session| {
            session.revoked_at.is_none()
                && session.expires_at > now
                && session.rotated_at > self.idle_since(now)
        };
        let Some(mut session) = found.filter(live) else {
            return Ok(None);
        };
        let Some(user) = self.user(session.user_id).await?.filter(|user| user.is_active) else {
            return Ok(None);
        };
        let long_ago = before(now, TOUCH_AFTER.min(*self.0.settings.sessions.idle_lifetime / 4));
        if session.rotated_at <= long_ago {
            sql::touch(&mut self.0.store.single(), id, long_ago, now).await?;
            session.rotated_at = now;
        }
        Ok(Some((user, session)))
    }

    /// Refuses what another site made the browser send: an unsafe method without the browser's word that a page of
    /// this origin sent it, or, from a browser that gives no word, without the token in `X-CSRF-Token`.
    pub(crate) fn refuse_foreign(
        &self,
        method: &Method,
        headers: &HeaderMap,
        session: &Session,
    ) -> Result<(), Error> {
        if method.is_safe() {
            return Ok(());
        }
        let allowed = match page::sender(headers, &self.0.settings.public_url) {
            Sender::SameOrigin => true,
            Sender::Foreign => false,
            Sender::Unknown => headers
                .get(TOKEN_HEADER)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|token| {
                    let keys = &self.0.browser;
                    keys.is_form_token(Bound::Session(session.id), token)
                }),
        };
        if allowed { Ok(()) } else { Err(foreign()) }
    }
}

/// Another site may have sent it, or the form is older than the login.
pub(crate) fn foreign() -> Error {
    Error::new(
        Code::CrossSiteRequest,
        "this did not come from a page of this origin, or from a form that is out of date; reload the page and try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;

    fn keys(seed: u8) -> BrowserKeys {
        let master = MasterKey::parse(&Secret::from(data_encoding::HEXLOWER.encode(&[seed; 32]))).unwrap();
        BrowserKeys::new(&master, "https://id.example.org")
    }

    #[test]
    fn a_cookie_is_read_by_the_house_that_wrote_it_and_no_changed_one_is() {
        let id = SessionId(Entropy::seeded(1).uuid_v7(jiff::Timestamp::UNIX_EPOCH).unwrap());
        let cookie = keys(1).write(id);
        assert_eq!(keys(1).read(cookie.expose()), Some(id));
        assert_eq!(keys(2).read(cookie.expose()), None);
        for position in 0..cookie.expose().len() {
            let mut changed = cookie.expose().as_bytes().to_vec();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                keys(1).read(std::str::from_utf8(&changed).unwrap()),
                None,
                "{position}"
            );
        }
        for text in ["", "A", &"A".repeat(64), &format!("{}=", cookie.expose())] {
            assert_eq!(keys(1).read(text), None);
        }
    }

    #[test]
    fn the_token_of_a_form_is_bound_to_its_session_and_to_its_kind() {
        let keys = keys(1);
        let (one, other) = (SessionId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        let token = keys.form_token(Bound::Session(one));
        assert!(keys.is_form_token(Bound::Session(one), &token));
        assert!(!keys.is_form_token(Bound::Session(other), &token));
        assert!(!keys.is_form_token(Bound::Visitor(&one.to_string()), &token));
        assert!(!keys.is_form_token(Bound::Session(one), keys.write(one).expose()));
        for text in ["", "nonsense", &token[1..]] {
            assert!(!keys.is_form_token(Bound::Session(one), text), "{text}");
        }
        let token = keys.form_token(Bound::Visitor("a"));
        assert!(!keys.is_form_token(Bound::Visitor("b"), &token));
    }
}
