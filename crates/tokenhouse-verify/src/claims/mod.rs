//! What a token says (RFC 7519 §4, RFC 9068 §2.2). The issuer writes the same type that the verifier reads.

mod audience;
mod numeric_date;
mod read;

use serde::{Serialize, Serializer, de::DeserializeOwned, ser::Error, ser::SerializeMap};
use serde_json::{Map, Value};

pub use audience::Audience;
pub(crate) use read::Payload;

/// The claims of a token. Times are whole seconds since 1970.
///
/// Reading is strict: a repeated name, or a registered claim of the wrong type (`null` included), refuses the whole
/// token, because a claim that is silently treated as absent is a check that is silently skipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Who issued it.
    pub iss: Option<String>,
    /// Whom it is about: the user, or the client where a client acts for itself.
    pub sub: Option<String>,
    /// For whom it is meant; empty when the claim is absent.
    pub aud: Audience,
    /// When it ends. There is no token without an end.
    pub exp: u64,
    /// When it was issued.
    pub iat: Option<u64>,
    /// When it begins to be valid.
    pub nbf: Option<u64>,
    /// The token's own id.
    pub jti: Option<String>,
    /// The session it belongs to.
    pub sid: Option<String>,
    /// The client it was issued to.
    pub client_id: Option<String>,
    /// What it permits, separated by spaces.
    pub scope: Option<String>,
    /// Every other claim, by name.
    pub extra: Map<String, Value>,
}

/// The names that have a field of their own, in the order they are written.
const REGISTERED: [&str; 10] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "sid",
    "client_id",
    "scope",
];

impl Claims {
    /// The same with one claim more that has no field of its own.
    ///
    /// ```
    /// use tokenhouse_verify::Claims;
    /// let claims = Claims::default().with("plan", "free");
    /// assert_eq!(claims.get::<String>("plan").unwrap().as_deref(), Some("free"));
    /// ```
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The single values of `scope`.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope
            .as_deref()
            .unwrap_or_default()
            .split(' ')
            .filter(|scope| !scope.is_empty())
    }

    /// Whether `scope` holds exactly this value.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|held| held == scope)
    }

    /// A claim without a field of its own, as a type of yours: `None` when absent, an error when it is something
    /// else, so that the two cannot be mistaken for each other.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.extra.get(name).map(T::deserialize).transpose()
    }

    /// Whether the claim is there at all.
    pub fn contains(&self, name: &str) -> bool {
        match name {
            "iss" => self.iss.is_some(),
            "sub" => self.sub.is_some(),
            "aud" => !self.aud.is_empty(),
            "exp" => true,
            "iat" => self.iat.is_some(),
            "nbf" => self.nbf.is_some(),
            "jti" => self.jti.is_some(),
            "sid" => self.sid.is_some(),
            "client_id" => self.client_id.is_some(),
            "scope" => self.scope.is_some(),
            other => self.extra.contains_key(other),
        }
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A custom claim must never write a second `exp` behind the first.
        if REGISTERED.iter().any(|name| self.extra.contains_key(*name)) {
            return Err(S::Error::custom(
                "an extra claim has the name of a registered one",
            ));
        }
        let mut map = serializer.serialize_map(None)?;
        write(&mut map, "iss", self.iss.as_ref())?;
        write(&mut map, "sub", self.sub.as_ref())?;
        write(&mut map, "aud", Some(&self.aud).filter(|aud| !aud.is_empty()))?;
        map.serialize_entry("exp", &self.exp)?;
        write(&mut map, "iat", self.iat.as_ref())?;
        write(&mut map, "nbf", self.nbf.as_ref())?;
        write(&mut map, "jti", self.jti.as_ref())?;
        write(&mut map, "sid", self.sid.as_ref())?;
        write(&mut map, "client_id", self.client_id.as_ref())?;
        write(&mut map, "scope", self.scope.as_ref())?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn write<M: SerializeMap, T: Serialize>(map: &mut M, name: &str, value: Option<T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}
