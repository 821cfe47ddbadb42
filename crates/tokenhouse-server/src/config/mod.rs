//! Settings from the environment, from `.env` and from a TOML file, in this order of precedence.
//!
//! Every option is read on its own, so that a mistake is told with its place, its name and its remedy, and several
//! mistakes are told together. A value is never quoted where the option is a secret.

mod file;
pub(crate) mod show;
pub(crate) mod table;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use tokenhouse::settings::OptionDoc;
use tokenhouse::{BuildError, Settings};
use toml::{Table, Value};

use self::table::ServerSettings;

/// Everything that was decided, and where.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) server: ServerSettings,
    given: BTreeMap<String, Given>,
}

/// One value and its place.
#[derive(Clone)]
struct Given {
    value: Value,
    source: Source,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        fmt::Debug::fmt(&self.source, f)
    }
}

/// Where a value was given.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In the file, on this line.
    File(PathBuf, usize),
    /// By a variable of the environment.
    Variable(String),
    /// By a variable in `.env`.
    Dotenv(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Dotenv(name) => write!(f, ".env: {name}"),
        }
    }
}

/// Where to look.
pub(crate) struct Places {
    /// A file that must be there.
    pub(crate) file: Option<PathBuf>,
    /// Whether `PORT` means something.
    pub(crate) port: bool,
    /// Whether the data of `tokenhouse dev` is meant where it is there and nothing else was decided.
    pub(crate) developed: bool,
}

/// What is wrong with the configuration: a sentence each, with the place, the option and the remedy.
#[derive(Debug)]
pub(crate) struct ConfigError(pub(crate) Vec<String>);

impl ConfigError {
    pub(crate) fn one(sentence: impl Into<String>) -> Self {
        Self(vec![sentence.into()])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads everything.
    pub(crate) fn load(places: &Places) -> Result<Self, ConfigError> {
        let options = table::options();
        let mut mistakes = Vec::new();
        let mut given = BTreeMap::new();
        file::read(places.file.as_deref(), &options, &mut given, &mut mistakes);
        variables::read(places.port, &options, &mut given, &mut mistakes);

        let (mut library, mut server) = (Table::new(), Table::new());
        for option in &options {
            let Some(Given { value, source }) = given.get(&option.path) else {
                continue;
            };
            let mut alone = Table::new();
            insert(&mut alone, &option.path, value.clone());
            let servers = table::is_servers(&option.path);
            let read = if servers {
                ServerSettings::deserialize(Value::Table(alone)).map(drop)
            } else {
                Settings::deserialize(Value::Table(alone)).map(drop)
            };
            match read {
                Ok(()) => insert(
                    if servers { &mut server } else { &mut library },
                    &option.path,
                    value.clone(),
                ),
                Err(error) => mistakes.push(unreadable(option, source, &error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(ConfigError(mistakes));
        }
        let told = |error: toml::de::Error| ConfigError::one(error.message());
        Ok(Self {
            settings: Settings::deserialize(Value::Table(library)).map_err(told)?,
            server: ServerSettings::deserialize(Value::Table(server)).map_err(told)?,
            given,
        })
    }

    /// What a house could not work with either.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Vec::new();
        let mut settings = self.settings.clone();
        settings.public_url = settings.public_url.trim_end_matches('/').to_owned();
        if let Err(error) = settings.check() {
            mistakes.push(self.place(&error));
        }
        if self.server.http.max_header_bytes < 8192 {
            mistakes.push(self.told("http.max_header_bytes", "must be 8192 at least"));
        }
        if !(1..=1_000_000).contains(&self.server.http.max_connections) {
            mistakes.push(self.told("http.max_connections", "must be between 1 and 1000000"));
        }
        if self.server.http.header_timeout.is_zero() {
            mistakes.push(self.told("http.header_timeout", "must be longer than 0s"));
        }
        if let Err(error) = crate::telemetry::check_level(&self.server.log.level) {
            mistakes.push(self.told("log.level", &error));
        }
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(mistakes))
        }
    }

    /// Whether somebody decided this option.
    pub(crate) fn is_given(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// A sentence about an option, with the place where it was decided.
    pub(crate) fn told(&self, path: &str, problem: &str) -> String {
        match self.given.get(path) {
            Some(given) => format!("{}: {path}: {problem}", given.source),
            None => format!("{path}: {problem}"),
        }
    }

    /// What the library says of a setting, with the place where it was decided.
    pub(crate) fn place(&self, error: &BuildError) -> String {
        match error {
            BuildError::Setting { key, problem } => self.told(key, problem),
            other => other.to_string(),
        }
    }
}

/// Puts a value under `a.b.c`.
fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            if let Value::Table(inner) = table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
                insert(inner, rest, value);
            }
        }
    }
}

fn unreadable(option: &OptionDoc, source: &Source, error: &toml::de::Error) -> String {
    let path = &option.path;
    if option.secret {
        return format!("{source}: {path}: must be a text in quotes");
    }
    let example = match (&option.default, source) {
        (default, _) if default.is_empty() => String::new(),
        (default, Source::File(..)) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            format!("; the default is `{name} = {default}`")
        }
        (default, _) => format!(
            "; the default is `{}={}`",
            option.variable(),
            default.trim_matches('"')
        ),
    };
    format!("{source}: {path}: {}{example}", error.message().trim_end())
}
