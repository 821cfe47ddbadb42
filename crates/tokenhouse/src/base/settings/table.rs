//! The macro behind the table of settings: types, defaults and documentation from one text.

use std::collections::BTreeMap;

use tokenhouse_verify::Algorithm;

use super::{Encryption, Identifier, Period, Secret, SignupMode};

/// What an operator should know of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDoc {
    /// Its name in the file, with its sections: `tokens.access_lifetime`.
    pub path: String,
    /// Its default as TOML; empty where there is none.
    pub default: String,
    /// What it does, in Markdown.
    pub doc: String,
    /// Whether it must not be shown, and can be given as a file (`…_FILE`).
    pub secret: bool,
}

impl OptionDoc {
    /// Its environment variable: `TOKENHOUSE_TOKENS__ACCESS_LIFETIME`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TOKENHOUSE_{}", self.path.replace('.', "__").to_uppercase())
    }
}

/// How a default is written in TOML.
pub trait Show {
    /// Its TOML.
    fn show(&self) -> String;
}

macro_rules! show {
    ($($kind:ty => |$value:ident| $text:expr),* $(,)?) => {
        $(impl Show for $kind {
            fn show(&self) -> String {
                let $value = self;
                $text
            }
        })*
    };
}

show! {
    bool => |value| value.to_string(),
    u16 => |value| value.to_string(),
    u32 => |value| value.to_string(),
    usize => |value| value.to_string(),
    String => |value| format!("{value:?}"),
    Period => |value| format!("\"{value}\""),
    Algorithm => |value| format!("\"{value}\""),
    Identifier => |value| format!("\"{value:?}\"").to_lowercase(),
    SignupMode => |value| format!("\"{value:?}\"").to_lowercase(),
    Encryption => |value| format!("\"{value:?}\"").to_lowercase(),
    Secret => |value| format!("{:?}", value.expose()),
    Vec<String> => |value| format!("{value:?}"),
    BTreeMap<String, serde_json::Value> => |_value| "{}".to_owned(),
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map(Show::show).unwrap_or_default()
    }
}

/// Makes the types of a table of settings; the command `tokenhouse` adds its own options in the same way.
#[doc(hidden)]
#[macro_export]
macro_rules! settings {
    ($(
        $(#[doc = $struct_doc:literal])*
        pub struct $name:ident ($section:literal) {
            $($(#[doc = $doc:literal])* $kind:ident $field:ident: $type:ty = $default:expr,)*
        }
    )*) => {$(
        $(#[doc = $struct_doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// Every option in here, in the order of the documentation.
            #[must_use]
            pub fn options() -> Vec<$crate::base::settings::OptionDoc> {
                let mut options = Vec::new();
                let default = Self::default();
                $($crate::settings!(@option $kind options default $section $field $type [$($doc)*]);)*
                options
            }
        }
    )*};
    (@option section $options:ident $default:ident $section:literal $field:ident $type:ty [$($doc:literal)*]) => {
        let _ = &$default.$field;
        $options.extend(<$type>::options());
    };
    (@option $kind:ident $options:ident $default:ident $section:literal $field:ident $type:ty [$($doc:literal)*]) => {
        $options.push($crate::base::settings::OptionDoc {
            path: if $section.is_empty() { stringify!($field).to_owned() } else { concat!($section, ".", stringify!($field)).to_owned() },
            default: $crate::base::settings::table::Show::show(&$default.$field),
            doc: [$($doc.trim()),*].join(" "),
            secret: stringify!($kind) == "secret",
        });
    };
}
