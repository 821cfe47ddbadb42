//! Typed ids: a user's id cannot be handed in where a session's is asked for.

use jiff::Timestamp;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            /// Reads the hyphenated form only, so that an id has one spelling.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                uuid::fmt::Hyphenated::from_str(text).map(|id| Self(id.into_uuid()))
            }
        }

        impl From<$name> for crate::base::store::Value {
            fn from(id: $name) -> Self {
                Self::Uuid(id.0)
            }
        }
    };
}

id! {
    /// Whose account it is: a UUIDv7, the `sub` of its tokens.
    UserId
}
id! {
    /// One login on one device: a UUIDv7, the `sid` of its access tokens.
    SessionId
}

impl SessionId {
    /// When it was made, to the millisecond (RFC 9562 §5.7).
    pub(crate) fn made_at(self) -> Timestamp {
        let milliseconds = self.0.as_u128() >> 80;
        i64::try_from(milliseconds)
            .ok()
            .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
            .unwrap_or(Timestamp::MAX)
    }
}
