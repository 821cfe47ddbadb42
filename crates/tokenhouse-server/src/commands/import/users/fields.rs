//! What the fields of a record mean.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Map, Value};
use tokenhouse::{Timestamp, UserId, UserToImport, salted_bcrypt};

use super::formats::Record;
use super::origins::Origin;
use crate::failure::Failure;

const FIELDS: [&str; 11] = [
    "email",
    "username",
    "password_hash",
    "salt",
    "email_verified",
    "created_at",
    "roles",
    "profile",
    "id",
    "is_active",
    "is_superuser",
];

/// What a field is mapped to that shall not be read.
const LEFT_OUT: &str = "-";

/// What to do with a field that has no meaning here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Others {
    /// Leave them out
    Ignore,
    /// Keep them in the profile
    Profile,
}

/// How records become users.
#[derive(Debug)]
pub(super) struct Mapping {
    origin: Origin,
    maps: BTreeMap<String, String>,
    others: Option<Others>,
}

impl Mapping {
    pub(super) fn new(origin: Origin, maps: &[String], others: Option<Others>) -> Result<Self, Failure> {
        let mut read = BTreeMap::new();
        for map in maps {
            let is_field = |here: &str| here == LEFT_OUT || FIELDS.contains(&here);
            let Some((there, here)) = map.split_once('=').filter(|(_, here)| is_field(here)) else {
                return Err(Failure::usage(format!(
                    "--map {map}: must be the name there, `=`, and one of {}, or `-` to leave it out",
                    FIELDS.join(", ")
                )));
            };
            let taken = here != LEFT_OUT && read.values().any(|other| other == here);
            if taken || read.insert(there.to_owned(), here.to_owned()).is_some() {
                return Err(Failure::usage(format!(
                    "--map {map}: a field there has one name here, and one here has one there"
                )));
            }
        }
        Ok(Self {
            origin,
            maps: read,
            others: others.or(origin.others()),
        })
    }

    /// Refuses a whole table for a column nobody knows, rather than each of its lines.
    pub(super) fn check_names(&self, names: &[String]) -> Result<(), Failure> {
        if self.others.is_some() {
            return Ok(());
        }
        let unknown = names
            .iter()
            .find(|name| !FIELDS.contains(&name.as_str()) && !self.maps.contains_key(*name));
        match unknown {
            None => Ok(()),
            Some(name) => Err(Failure::usage(unknown_field(name))),
        }
    }

    /// The user that a record speaks of.
    pub(super) fn user(&self, record: Record) -> Result<UserToImport, String> {
        let mut record = record;
        // All are taken out before any is put in, so that two may change their names.
        let mapped: Vec<_> = self
            .maps
            .iter()
            .filter_map(|(there, here)| Some((there, here, record.remove(there)?)))
            .collect();
        for (there, here, value) in mapped {
            if here != LEFT_OUT && record.insert(here.clone(), value).is_some() {
                return Err(format!(
                    "has `{here}` and `{}`, which is mapped to it: leave one out (--map {here}=-)",
                    there.escape_debug()
                ));
            }
        }
        let mut record = self.origin.translate(record)?;
        let mut take = |name: &'static str| record.remove(name).filter(|value| !value.is_null());
        let password_hash = text("password_hash", take("password_hash"))?;
        let salt = text("salt", take("salt"))?;
        let mut user = UserToImport {
            id: id(take("id"))?,
            email: text("email", take("email"))?,
            username: text("username", take("username"))?,
            password_hash: match (password_hash, salt) {
                (Some(hash), Some(salt)) => {
                    Some(salted_bcrypt(&hash, &salt).map_err(|error| format!("password_hash: {error}"))?)
                }
                (hash, _) => hash,
            },
            email_verified: flag("email_verified", take("email_verified"))?.unwrap_or(false),
            created_at: instant(take("created_at"))?,
            roles: roles(take("roles"))?,
            is_superuser: flag("is_superuser", take("is_superuser"))?.unwrap_or(false),
            is_active: flag("is_active", take("is_active"))?.unwrap_or(true),
            profile: profile(take("profile"))?,
        };
        for (name, value) in record {
            match self.others {
                Some(Others::Ignore) => {}
                Some(Others::Profile) => {
                    user.profile.entry(name).or_insert(value);
                }
                None => return Err(unknown_field(&name)),
            }
        }
        Ok(user)
    }
}

fn unknown_field(name: &str) -> String {
    let name = name.escape_debug();
    format!(
        "the field `{name}` has no meaning here: give it one (--map {name}=…), or say what to do with such (--others)"
    )
}

fn text(name: &str, value: Option<Value>) -> Result<Option<String>, String> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{name} is no text")),
    }
}

fn id(value: Option<Value>) -> Result<Option<UserId>, String> {
    text("id", value)?
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| "id is no UUID; leave it out, and one is made".to_owned())
        })
        .transpose()
}

pub(super) fn flag(name: &str, value: Option<Value>) -> Result<Option<bool>, String> {
    let wrong = || Err(format!("{name} is neither true nor false"));
    match value {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            _ => wrong(),
        },
        Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "t" | "1" | "yes" => Ok(Some(true)),
            "false" | "f" | "0" | "no" => Ok(Some(false)),
            _ => wrong(),
        },
        Some(_) => wrong(),
    }
}

/// RFC 3339, the same as databases write it, or a number since 1970 in seconds, milliseconds or microseconds.
fn instant(value: Option<Value>) -> Result<Option<Timestamp>, String> {
    const WRONG: &str = "created_at is no instant such as 2026-01-31T12:00:00Z";
    let number = |number: i64| {
        match number.unsigned_abs() {
            0..100_000_000_000 => Timestamp::from_second(number),
            100_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(number),
            _ => Timestamp::from_microsecond(number),
        }
        .map_err(|_| WRONG.to_owned())
    };
    match value {
        None => Ok(None),
        Some(Value::Number(value)) => value
            .as_i64()
            .ok_or_else(|| WRONG.to_owned())
            .and_then(number)
            .map(Some),
        Some(Value::String(text)) => {
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            if let Ok(value) = text.parse() {
                return number(value).map(Some);
            }
            let without_zone = || {
                let local: jiff::civil::DateTime = text.parse().ok()?;
                local
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .ok()
                    .map(|zoned| zoned.timestamp())
            };
            let instant = text.parse::<Timestamp>().ok().or_else(without_zone);
            instant.map(Some).ok_or_else(|| WRONG.to_owned())
        }
        Some(_) => Err(WRONG.to_owned()),
    }
}

/// An array, or texts between commas.
fn roles(value: Option<Value>) -> Result<Vec<String>, String> {
    let wrong = || "roles is no list of texts".to_owned();
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(roles)) => roles
            .into_iter()
            .map(|role| role.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            serde_json::from_str(&text).map_err(|_| wrong())
        }
        Some(Value::String(text)) => Ok(text
            .split([',', ';'])
            .map(str::trim)
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
            .collect()),
        Some(_) => Err(wrong()),
    }
}

/// An object, or the text of one.
pub(super) fn profile(value: Option<Value>) -> Result<Map<String, Value>, String> {
    let wrong = || "profile is no JSON object".to_owned();
    match value {
        None => Ok(Map::new()),
        Some(Value::Object(profile)) => Ok(profile),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Map::new()),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}
