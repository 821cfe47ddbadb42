//! Reading claims: each name once, each registered claim of its own type.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Audience, Claims, numeric_date::NumericDate};

/// Claims as they were read: `exp` may still be missing, which the verifier has a name for.
pub(crate) struct Payload {
    pub(crate) claims: Claims,
    pub(crate) has_expiry: bool,
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Payload::deserialize(deserializer)?;
        if payload.has_expiry {
            Ok(payload.claims)
        } else {
            Err(D::Error::missing_field("exp"))
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PayloadVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let (mut iss, mut sub, mut jti, mut sid) = (None, None, None, None);
        let (mut client_id, mut scope) = (None, None);
        let mut aud: Option<Audience> = None;
        let (mut exp, mut iat, mut nbf): (Option<NumericDate>, Option<NumericDate>, Option<NumericDate>) =
            (None, None, None);
        let mut extra = Map::new();
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Issuer => once(&mut iss, &mut map, "iss")?,
                Name::Subject => once(&mut sub, &mut map, "sub")?,
                Name::Audience => once(&mut aud, &mut map, "aud")?,
                Name::Expiry => once(&mut exp, &mut map, "exp")?,
                Name::IssuedAt => once(&mut iat, &mut map, "iat")?,
                Name::NotBefore => once(&mut nbf, &mut map, "nbf")?,
                Name::TokenId => once(&mut jti, &mut map, "jti")?,
                Name::SessionId => once(&mut sid, &mut map, "sid")?,
                Name::ClientId => once(&mut client_id, &mut map, "client_id")?,
                Name::Scope => once(&mut scope, &mut map, "scope")?,
                Name::Other(name) => {
                    if extra.insert(name, map.next_value::<Value>()?).is_some() {
                        return Err(A::Error::custom("repeated claim"));
                    }
                }
            }
        }
        let claims = Claims {
            iss,
            sub,
            aud: aud.unwrap_or_default(),
            exp: exp.map_or(0, NumericDate::rounded_down),
            iat: iat.map(NumericDate::rounded_down),
            nbf: nbf.map(NumericDate::rounded_up),
            jti,
            sid,
            client_id,
            scope,
            extra,
        };
        Ok(Payload {
            claims,
            has_expiry: exp.is_some(),
        })
    }
}

fn once<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    slot: &mut Option<T>,
    map: &mut A,
    name: &'static str,
) -> Result<(), A::Error> {
    // RFC 7519 §4 leaves the choice between refusing and taking the last; two readers must not choose differently.
    if slot.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// The name of a claim; only those without a field of their own cost an allocation.
enum Name {
    Issuer,
    Subject,
    Audience,
    Expiry,
    IssuedAt,
    NotBefore,
    TokenId,
    SessionId,
    ClientId,
    Scope,
    Other(String),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a claim")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "iss" => Name::Issuer,
                    "sub" => Name::Subject,
                    "aud" => Name::Audience,
                    "exp" => Name::Expiry,
                    "iat" => Name::IssuedAt,
                    "nbf" => Name::NotBefore,
                    "jti" => Name::TokenId,
                    "sid" => Name::SessionId,
                    "client_id" => Name::ClientId,
                    "scope" => Name::Scope,
                    other => Name::Other(other.to_owned()),
                })
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
