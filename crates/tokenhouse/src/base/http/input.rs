//! A body as a type of the application's own.

use std::cell::RefCell;

use axum::extract::{FromRef, FromRequest, Request};
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use super::body::{self, Body, BodyLimits, MediaType};
use crate::base::error::{Error, FieldError};

/// A body of JSON or a form, read into `T`; the members that `T` does not have are ignored.
///
/// What cannot be read is told as the house's own doors tell it: `malformed_body`, or `invalid_fields` naming the
/// field. No message repeats a value, which may be a password. A form's fields are all texts.
///
/// ```
/// use tokenhouse::{Input, Secret};
///
/// #[derive(serde::Deserialize)]
/// struct Credentials {
///     username: String,
///     password: Secret,
/// }
///
/// async fn log_in(Input(credentials): Input<Credentials>) -> String {
///     format!("Hello, {}", credentials.username)
/// }
/// ```
///
/// `curl -d '{"a": 1}'` announces a form and sends JSON, as thousands of tutorials do. It is taken for what it is: no
/// encoder of forms leaves a `{` as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Input<T>(pub T);

impl<S, T> FromRequest<S> for Input<T>
where
    BodyLimits: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let media_type = MediaType::of(&request)?;
        let bytes = body::read(request, BodyLimits::from_ref(state)).await?;
        let Body(fields) = match media_type {
            MediaType::Json => body::json(&bytes)?,
            MediaType::Form if bytes.trim_ascii_start().starts_with(b"{") => body::json(&bytes)?,
            MediaType::Form => body::form(&bytes)?,
            MediaType::None => return Err(body::unsupported()),
        };
        typed(fields.into_members()).map(Self)
    }
}

fn typed<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Error> {
    // Where the reading stands, for the pointer: a member's name, or nothing when all have been read.
    let at = RefCell::new(String::new());
    let mut rest = members.into_iter();
    let entries = std::iter::from_fn(|| {
        let entry = rest.next();
        *at.borrow_mut() = entry
            .as_ref()
            .map_or(String::new(), |(name, _)| format!("/{}", escaped(name)));
        entry
    });
    T::deserialize(MapDeserializer::new(entries)).map_err(|error: serde_json::Error| {
        let text = error.to_string();
        let missing = text
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        let (pointer, code, detail) = match missing {
            Some(name) => (
                format!("{}/{}", at.borrow(), escaped(name)),
                "missing",
                "is required",
            ),
            // The text of such an error quotes the value.
            None => (
                at.borrow().clone(),
                "wrong_type",
                "is not of the type it should be",
            ),
        };
        Error::invalid_fields(vec![FieldError {
            pointer,
            code: code.into(),
            detail: detail.into(),
        }])
    })
}

/// RFC 6901 §3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Embedded {
        #[expect(dead_code, reason = "only read")]
        new_user: NewUser,
    }

    #[derive(Debug, Deserialize)]
    struct NewUser {
        #[expect(dead_code, reason = "only read")]
        email: String,
    }

    fn fault<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (String, String) {
        let error = typed::<T>(serde_json::from_str(text).unwrap()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        (
            error.fields()[0].pointer.clone(),
            error.fields()[0].code.to_string(),
        )
    }

    #[test]
    fn the_field_at_fault_is_named_and_its_value_is_not() {
        let named = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(fault::<NewUser>("{}"), named("/email", "missing"));
        assert_eq!(
            fault::<NewUser>(r#"{"email": ["hunter2"]}"#),
            named("/email", "wrong_type")
        );
        assert_eq!(fault::<Embedded>("{}"), named("/new_user", "missing"));
        assert_eq!(
            fault::<Embedded>(r#"{"new_user": "hunter2"}"#),
            named("/new_user", "wrong_type")
        );
        assert_eq!(
            fault::<Embedded>(r#"{"new_user": {"x": 1}}"#),
            named("/new_user/email", "missing")
        );
        assert_eq!(
            fault::<Embedded>(r#"{"a": 1, "new_user": {}, "z": 1}"#),
            named("/new_user/email", "missing")
        );
    }

    #[test]
    fn what_the_type_does_not_have_is_ignored() {
        typed::<NewUser>(serde_json::from_str(r#"{"email": "a@b.co", "is_superuser": true}"#).unwrap())
            .unwrap();
    }
}
