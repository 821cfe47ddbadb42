//! The systems people come from, and how their fields become ours.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::fields::{Others, profile};
use super::formats::{Format, Record};

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Origin {
    /// Fields named as here
    Fields,
    /// The table `auth_user`, as CSV
    Django,
    /// The table `auth.users`, as CSV
    Supabase,
    /// A realm's export or a partial one, as JSON
    Keycloak,
    /// What support sends on request, lines of JSON with `passwordHash`
    Auth0,
}

impl Origin {
    /// How such files are always written.
    pub(super) fn format(self) -> Option<Format> {
        match self {
            Self::Keycloak => Some(Format::Json),
            _ => None,
        }
    }

    /// A known system has many fields that mean nothing elsewhere.
    pub(super) fn others(self) -> Option<Others> {
        (self != Self::Fields).then_some(Others::Ignore)
    }

    /// The record in our fields, beside those that were not understood.
    pub(super) fn translate(self, mut record: Record) -> Result<Record, String> {
        match self {
            Self::Fields => {}
            Self::Django => django(&mut record),
            Self::Supabase => supabase(&mut record)?,
            Self::Keycloak => keycloak(&mut record)?,
            Self::Auth0 => {
                rename(&mut record, "passwordHash", "password_hash");
                // Its ids are not ours, even where they are called so.
                rename(&mut record, "_id", "auth0_id");
            }
        }
        Ok(record)
    }
}

fn rename(record: &mut Record, there: &str, here: &str) {
    if let Some(value) = record.remove(there) {
        record.insert(here.to_owned(), value);
    }
}

fn is_text(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_str)
        .is_some_and(|text| !text.trim().is_empty())
}

/// `id` counts there, so new ones are made. Many keep the e-mail address in `username` as well, or only there.
fn django(record: &mut Record) {
    rename(record, "password", "password_hash");
    rename(record, "date_joined", "created_at");
    rename(record, "id", "django_id");
    // A password that cannot be used begins with `!`.
    let unusable = |value: &Value| value.as_str().is_some_and(|hash| hash.starts_with('!'));
    if record.get("password_hash").is_some_and(unusable) {
        record.remove("password_hash");
    }
    let name = record
        .get("username")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if name.contains('@') {
        let email = record.get("email").and_then(Value::as_str).unwrap_or_default();
        if email.trim().is_empty() {
            record.insert("email".to_owned(), Value::from(name));
            record.remove("username");
        } else if email.eq_ignore_ascii_case(&name) {
            record.remove("username");
        }
    }
    let mut names = Record::new();
    for field in ["first_name", "last_name"] {
        if let Some(value) = record.remove(field).filter(|value| is_text(Some(value))) {
            names.insert(field.to_owned(), value);
        }
    }
    if !names.is_empty() {
        record.insert("profile".to_owned(), Value::Object(names));
    }
}

fn supabase(record: &mut Record) -> Result<(), String> {
    rename(record, "encrypted_password", "password_hash");
    // A role of the database, the same for everybody.
    rename(record, "role", "database_role");
    let confirmed = is_text(record.get("email_confirmed_at")) || is_text(record.get("confirmed_at"));
    record.insert("email_verified".to_owned(), Value::Bool(confirmed));
    let kept = profile(record.remove("raw_user_meta_data"))?;
    record.insert("profile".to_owned(), Value::Object(kept));
    if is_text(record.get("deleted_at")) {
        return Err("was deleted there".to_owned());
    }
    // A ban ends by itself there; whoever imports knows whether it has.
    if is_text(record.get("banned_until")) {
        record.insert("is_active".to_owned(), Value::Bool(false));
    }
    Ok(())
}

fn keycloak(record: &mut Record) -> Result<(), String> {
    if is_text(record.get("serviceAccountClientId")) {
        return Err("is the account of a client, not of a user".to_owned());
    }
    rename(record, "emailVerified", "email_verified");
    rename(record, "enabled", "is_active");
    rename(record, "createdTimestamp", "created_at");
    if let Some(Value::Array(roles)) = record.remove("realmRoles") {
        // Everybody has these.
        let is_own = |role: &Value| {
            role.as_str().is_some_and(|role| {
                !role.starts_with("default-roles-") && !matches!(role, "offline_access" | "uma_authorization")
            })
        };
        record.insert("roles".to_owned(), roles.into_iter().filter(is_own).collect());
    }
    let mut kept = profile(record.remove("attributes"))?;
    for (there, here) in [("firstName", "first_name"), ("lastName", "last_name")] {
        if let Some(value) = record.remove(there).filter(|value| is_text(Some(value))) {
            kept.insert(here.to_owned(), value);
        }
    }
    record.insert("profile".to_owned(), Value::Object(kept));
    if let Some(name) = record.get("username").and_then(Value::as_str)
        && name.contains('@')
    {
        let name = name.to_owned();
        if !is_text(record.get("email")) {
            record.insert("email".to_owned(), Value::from(name));
        }
        record.remove("username");
    }
    let credentials = record.remove("credentials");
    let credentials = credentials.as_ref().and_then(Value::as_array);
    let password = credentials
        .into_iter()
        .flatten()
        .find(|credential| credential["type"] == "password");
    if let Some(credential) = password {
        record.insert("password_hash".to_owned(), json!(keycloak_hash(credential)?));
    }
    Ok(())
}

/// Two texts of JSON inside the JSON: the secret, and how it was made.
fn keycloak_hash(credential: &Value) -> Result<String, String> {
    let inner = |name: &str| -> Result<Value, String> {
        let text = credential[name]
            .as_str()
            .ok_or_else(|| format!("its password has no {name}"))?;
        serde_json::from_str(text).map_err(|_| format!("the {name} of its password is no JSON"))
    };
    let (secret, made) = (inner("secretData")?, inner("credentialData")?);
    let text = |value: &Value, name: &str| {
        let text = value[name]
            .as_str()
            .map(|text| text.trim_end_matches('=').to_owned());
        text.ok_or_else(|| format!("its password has no {name}"))
    };
    let (hash, salt) = (text(&secret, "value")?, text(&secret, "salt")?);
    let rounds = made["hashIterations"]
        .as_u64()
        .ok_or_else(|| "its password has no hashIterations".to_owned())?;
    match made["algorithm"].as_str().unwrap_or_default() {
        "pbkdf2" => Ok(format!("$pbkdf2${rounds}${salt}${hash}")),
        name @ ("pbkdf2-sha256" | "pbkdf2-sha512") => Ok(format!("${name}${rounds}${salt}${hash}")),
        "argon2" => {
            let parameter = |name: &str| made["additionalParameters"][name][0].as_str().unwrap_or_default();
            let version = if parameter("version") == "1.0" { "16" } else { "19" };
            Ok(format!(
                "$argon2{}$v={version}$m={},t={rounds},p={}${salt}${hash}",
                parameter("type"),
                parameter("memory"),
                parameter("parallelism"),
            ))
        }
        other => Err(format!(
            "its password was hashed by `{other}`, which is not known here"
        )),
    }
}
