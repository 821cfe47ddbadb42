//! The first segment of a token: which key, which algorithm, which kind.
//!
//! Everything here is unauthenticated, so it may only choose among what the verifier already trusts. A header that
//! brings its own key (`jwk`, `jku`, `x5u`) or changes how the rest is read (`crit`, `b64`, `zip`) is refused.

use std::{collections::BTreeSet, fmt};

use data_encoding::BASE64URL_NOPAD;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::{Algorithm, Rejection, key::MAX_KID_LENGTH};

/// The longest header segment that is read, in characters.
pub const MAX_HEADER_LENGTH: usize = 1024;

/// The first segment of a token, as Tokenhouse writes it.
///
/// An issuer that uses this spelling spares the verifier the parsing: equality with a header known to be
/// acceptable is exact.
pub fn header_segment(algorithm: Algorithm, kid: &str, token_type: Option<&str>) -> String {
    segment(algorithm, kid, token_type, None)
}

/// The same with the session's id in it, for an application whose payload has no room for one: the header is
/// signed too, so that the session can still be ended.
pub fn header_segment_with_session(
    algorithm: Algorithm,
    kid: &str,
    token_type: &str,
    session: &str,
) -> String {
    segment(algorithm, kid, Some(token_type), Some(session))
}

fn segment(algorithm: Algorithm, kid: &str, token_type: Option<&str>, session: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Members<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        typ: Option<&'a str>,
        alg: Algorithm,
        kid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sid: Option<&'a str>,
    }
    // Strings always serialise; an empty segment would be refused by every verifier.
    let json = serde_json::to_vec(&Members {
        typ: token_type,
        alg: algorithm,
        kid,
        sid: session,
    })
    .unwrap_or_default();
    BASE64URL_NOPAD.encode(&json)
}

/// What the header says, after everything that is never acceptable has been refused.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) sid: Option<String>,
}

impl Header {
    pub(crate) fn read(segment: &str) -> Result<Self, Rejection> {
        if segment.len() > MAX_HEADER_LENGTH {
            return Err(Rejection::TooLarge);
        }
        let json = BASE64URL_NOPAD
            .decode(segment.as_bytes())
            .map_err(|_| Rejection::Malformed("the header is not base64url"))?;
        let members: Members = serde_json::from_slice(&json)
            .map_err(|_| Rejection::Malformed("the header is not an object of the expected members"))?;
        if members.critical {
            return Err(Rejection::CriticalHeader);
        }
        if let Some(name) = members.forbidden {
            return Err(Rejection::ForbiddenHeader(name));
        }
        if members.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_LENGTH) {
            return Err(Rejection::TooLarge);
        }
        let alg = members
            .alg
            .ok_or(Rejection::Malformed("the header names no algorithm"))?;
        Ok(Self {
            alg,
            kid: members.kid,
            typ: members.typ,
            sid: members.sid,
        })
    }
}

/// A `typ` without what RFC 7515 §4.1.9 lets differ: letter case, and `application/` before a name without slash.
pub(crate) fn plain_type(typ: &str) -> String {
    const PREFIX: &str = "application/";
    let lower = typ.to_ascii_lowercase();
    match lower.strip_prefix(PREFIX) {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        _ => lower,
    }
}

#[derive(Default)]
struct Members {
    alg: Option<String>,
    kid: Option<String>,
    typ: Option<String>,
    sid: Option<String>,
    critical: bool,
    forbidden: Option<&'static str>,
}

const FORBIDDEN: [&str; 5] = ["jku", "jwk", "x5u", "zip", "b64"];

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JOSE header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                let mut seen = BTreeSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "alg" => members.alg = Some(map.next_value()?),
                        "kid" => members.kid = Some(map.next_value()?),
                        "typ" => members.typ = Some(map.next_value()?),
                        "sid" => members.sid = Some(map.next_value()?),
                        other => {
                            map.next_value::<IgnoredAny>()?;
                            members.critical |= other == "crit";
                            let forbidden = FORBIDDEN.into_iter().find(|name| *name == other);
                            members.forbidden = members.forbidden.or(forbidden);
                        }
                    }
                    // RFC 7515 §4: two readers that pick different ones of a repeated member see different tokens.
                    if !seen.insert(name) {
                        return Err(Error::custom("repeated member"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
