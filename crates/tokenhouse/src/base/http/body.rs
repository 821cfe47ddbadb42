//! Reading a request's body so that every fault is named at once.
//!
//! [`Body`] turns JSON or a form into [`Fields`]; a route takes what it needs from them, each `take_…`
//! noting what is missing or of the wrong type, and [`Fields::finish`] answers with the whole list.

use axum::extract::{FromRef, FromRequest, OptionalFromRequest, Request};
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::error::{Code, Error, FieldError};
use crate::base::secret::Secret;

/// How long a body may be and how long it may take; the house hands it to the extractor.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes at most.
    pub bytes: usize,
    /// From the first byte to the last.
    pub time: std::time::Duration,
}

/// The fields of a body that was JSON or, where a route says so, a form.
pub struct Body(pub Fields);

impl<S> FromRequest<S> for Body
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let media_type = MediaType::of(&request)?;
        let bytes = read(request, BodyLimits::from_ref(state)).await?;
        media_type.parse(&bytes)
    }
}

/// Where a body may be absent, clients announce JSON and send nothing.
impl<S> OptionalFromRequest<S> for Body
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Error> {
        let media_type = MediaType::of(&request)?;
        let bytes = read(request, BodyLimits::from_ref(state)).await?;
        if bytes.is_empty() {
            Ok(None)
        } else {
            media_type.parse(&bytes).map(Some)
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum MediaType {
    Json,
    Form,
    None,
}

impl MediaType {
    fn parse(self, bytes: &[u8]) -> Result<Body, Error> {
        match self {
            Self::Json => json(bytes),
            Self::Form => form(bytes),
            Self::None if bytes.is_empty() => Ok(Body(Fields::new(Map::new(), false))),
            Self::None => Err(unsupported()),
        }
    }

    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        let Some(value) = request.headers().get(CONTENT_TYPE) else {
            return Ok(Self::None);
        };
        let value = value.to_str().map_err(|_| unsupported())?;
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return Err(Error::new(
                    Code::UnsupportedMediaType,
                    "only the charset UTF-8 is understood",
                ));
            }
        }
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "application/json" => Ok(Self::Json),
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Ok(Self::Json),
            _ => Err(unsupported()),
        }
    }
}

/// The fields of a form, and of nothing but a form.
///
/// # Errors
/// `unsupported_media_type`, `malformed_body`, `body_too_large`, `request_timeout`.
pub async fn read_form(request: Request, limits: BodyLimits) -> Result<Fields, Error> {
    let media_type = MediaType::of(&request)?;
    let bytes = read(request, limits).await?;
    match media_type {
        MediaType::Form => form(&bytes).map(|Body(fields)| fields),
        MediaType::None if bytes.is_empty() => Ok(Fields::new(Map::new(), false)),
        MediaType::Json | MediaType::None => Err(unsupported()),
    }
}

pub(super) fn unsupported() -> Error {
    Error::new(
        Code::UnsupportedMediaType,
        "send the body with the content type application/json or application/x-www-form-urlencoded",
    )
}

pub(super) async fn read(request: Request, limits: BodyLimits) -> Result<bytes::Bytes, Error> {
    let collected = tokio::time::timeout(
        limits.time,
        Limited::new(request.into_body(), limits.bytes).collect(),
    );
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Error::new(
            Code::BodyTooLarge,
            format!("at most {} bytes are taken here", limits.bytes),
        )),
        Ok(Err(_)) => Err(Error::new(
            Code::MalformedBody,
            "the body ended before it was complete",
        )),
        Err(_) => Err(Error::new(
            Code::RequestTimeout,
            "the body did not arrive in time",
        )),
    }
}

pub(super) fn json(bytes: &[u8]) -> Result<Body, Error> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Error::new(Code::MalformedBody, "the body is not UTF-8"));
    }
    if bytes.is_empty() {
        return Err(Error::new(
            Code::MalformedBody,
            "the body is empty where JSON was announced",
        ));
    }
    serde_json::from_slice::<UniqueMembers>(bytes)
        .map(|UniqueMembers(map)| Body(Fields::new(map, true)))
        .map_err(|error| {
            Error::new(
                Code::MalformedBody,
                match error.classify() {
                    // The message of such an error quotes the offending value, which may be a password.
                    serde_json::error::Category::Data if !error.to_string().starts_with("the member") => {
                        "the body must be a JSON object".to_owned()
                    }
                    _ => format!("the body is not good JSON: {error}"),
                },
            )
        })
}

/// A JSON object whose members all have different names: two parsers that keep different ones of a
/// repeated name would see different requests.
struct UniqueMembers(Map<String, Value>);

impl<'de> serde::Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Map::new();
                while let Some(name) = access.next_key::<String>()? {
                    if members.contains_key(&name) {
                        return Err(serde::de::Error::custom("the member names are not all different"));
                    }
                    let value = access.next_value()?;
                    members.insert(name, value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Self)
    }
}

pub(super) fn form(bytes: &[u8]) -> Result<Body, Error> {
    // `form_urlencoded` would replace what is not UTF-8 by U+FFFD, and so let two passwords become one.
    if percent_encoding::percent_decode(bytes).decode_utf8().is_err() {
        return Err(Error::new(Code::MalformedBody, "the form is not UTF-8"));
    }
    let mut members = Map::new();
    for (count, (name, value)) in url::form_urlencoded::parse(bytes).enumerate() {
        if count >= 100 {
            return Err(Error::new(
                Code::MalformedBody,
                "the form has more than 100 fields",
            ));
        }
        // RFC 6749 §3.2: what is sent without a value is treated as absent, nothing may be sent twice.
        if value.is_empty() {
            continue;
        }
        if members
            .insert(name.into_owned(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(Error::new(
                Code::MalformedBody,
                "a field of the form is there twice",
            ));
        }
    }
    Ok(Body(Fields::new(members, false)))
}

/// The members of a body, taken one by one; what is wrong with them is collected.
#[derive(Debug)]
pub struct Fields {
    members: Map<String, Value>,
    faults: Vec<FieldError>,
    closed: bool,
}

impl Fields {
    /// `closed`: a member that nobody takes is a fault. Forms are open, since OAuth clients add parameters
    /// of their own (RFC 6749 §3.2).
    #[must_use]
    pub fn new(members: Map<String, Value>, closed: bool) -> Self {
        Self {
            members,
            faults: Vec::new(),
            closed,
        }
    }

    /// Everything that came, for whoever takes it as a whole.
    pub(super) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// Whether a member of this name came, other than `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the body held anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Notes a fault that the route itself found.
    pub fn fault(&mut self, fault: FieldError) {
        self.faults.push(fault);
    }

    /// A text that may be absent or `null`.
    pub fn take_optional(&mut self, name: &str) -> Option<String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.faults
                    .push(FieldError::new(name, "not_a_string", "must be a string"));
                None
            }
        }
    }

    /// A text that must be there; `None` has been noted as a fault.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let before = self.faults.len();
        let text = self.take_optional(name);
        if text.is_none() && self.faults.len() == before {
            self.faults.push(FieldError::new(name, "missing", "is required"));
        }
        text
    }

    /// A secret text that must be there.
    pub fn take_secret(&mut self, name: &str) -> Option<Secret> {
        self.take(name).map(Secret::from)
    }

    /// A JSON object that must be there; `None` has been noted as a fault.
    pub fn take_required_object(&mut self, name: &str) -> Option<Map<String, Value>> {
        let before = self.faults.len();
        let object = self.take_object(name);
        if object.is_none() && self.faults.len() == before {
            self.faults.push(FieldError::new(name, "missing", "is required"));
        }
        object
    }

    /// A JSON object that may be absent.
    pub fn take_object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.members.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(members)) => Some(members),
            Some(_) => {
                self.faults
                    .push(FieldError::new(name, "not_an_object", "must be an object"));
                None
            }
        }
    }

    /// Answers with everything that was wrong, unknown members included.
    ///
    /// # Errors
    /// [`Code::InvalidFields`] when anything was noted.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.closed {
            self.faults.extend(
                self.members
                    .keys()
                    .take(20)
                    .map(|name| FieldError::new(name, "unknown_field", "is not known here")),
            );
        }
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_fields(self.faults))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        json(text.as_bytes()).unwrap().0
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let mut body = fields(r#"{"email": 5, "profile": [], "is_superuser": true, "a/b": 1}"#);
        body.take("email");
        body.take("password");
        body.take_object("profile");
        let error = body.finish().unwrap_err();
        let found: Vec<_> = error
            .fields()
            .iter()
            .map(|f| (f.pointer.as_str(), f.code.as_ref()))
            .collect();
        assert_eq!(
            found,
            [
                ("/email", "not_a_string"),
                ("/password", "missing"),
                ("/profile", "not_an_object"),
                ("/a~1b", "unknown_field"),
                ("/is_superuser", "unknown_field"),
            ]
        );
    }

    #[test]
    fn bodies_that_are_not_what_they_say_are_malformed() {
        for bytes in [
            &b""[..],
            b"{",
            b"[]",
            b"\"secret\"",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
        ] {
            let error = json(bytes).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), Code::MalformedBody);
            assert!(!error.detail().contains("secret"), "{}", error.detail());
        }
    }

    #[test]
    fn a_deeply_nested_body_is_malformed_and_nothing_worse() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
        assert_eq!(
            json(deep.as_bytes()).map(|_| ()).unwrap_err().code(),
            Code::MalformedBody
        );
    }

    #[test]
    fn forms_must_be_utf8_and_name_nothing_twice() {
        for bytes in [&b"username=%ff"[..], b"a=1&a=2", b"\xff=1"] {
            assert_eq!(form(bytes).map(|_| ()).unwrap_err().code(), Code::MalformedBody);
        }
        let mut body = form(b"username=a%40b.c&password=x+y&scope=").unwrap().0;
        assert_eq!(body.take("username").as_deref(), Some("a@b.c"));
        assert_eq!(body.take("password").as_deref(), Some("x y"));
        assert!(!body.has("scope"));
        body.finish().unwrap();
    }
}
