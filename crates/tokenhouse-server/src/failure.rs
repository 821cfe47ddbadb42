//! How a command ends that could not do its work: one sentence, and a number for scripts.

use std::error::Error as _;
use std::process::ExitCode;

use tokenhouse::moving::MovingError;
use tokenhouse::store::StoreError;
use tokenhouse::{BuildError, Code, Error};

use crate::config::{Config, ConfigError};

/// Why a command could not do its work, as it is printed.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            code: 1,
        }
    }

    /// Exit code 2, as for a wrong argument: somebody has to change something that they wrote.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            code: 2,
        }
    }

    /// What the library says when it cannot start, with the place of the setting.
    pub(crate) fn build(config: &Config, error: &BuildError) -> Self {
        match error {
            BuildError::Setting { .. } => Self::usage(config.place(error)),
            BuildError::Store(error) => Self::store(error),
            error => Self::new(with_cause(error.to_string(), error.source())),
        }
    }

    pub(crate) fn store(error: &StoreError) -> Self {
        Self::new(with_cause(error.to_string(), error.source()))
    }

    /// Prints it, each line marked.
    pub(crate) fn tell(&self) -> ExitCode {
        for line in self.sentence.lines() {
            eprintln!("tokenhouse: {line}");
        }
        ExitCode::from(self.code)
    }
}

/// The cause of an unreachable database says what to do; it is told without values, as its type promises.
fn with_cause(sentence: String, source: Option<&(dyn std::error::Error + 'static)>) -> String {
    match source.map(ToString::to_string) {
        Some(cause) if !sentence.contains(&cause) => format!("{sentence}: {cause}"),
        _ => sentence,
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let faults: Vec<String> = error
            .fields()
            .iter()
            .map(|fault| format!("{} {}", fault.pointer.trim_start_matches('/'), fault.detail))
            .collect();
        Self::new(match error.code() {
            Code::InvalidFields if !faults.is_empty() => faults.join("\n"),
            Code::Internal | Code::Unavailable => with_cause(error.detail().to_owned(), error.source()),
            _ => error.detail().to_owned(),
        })
    }
}

impl From<MovingError> for Failure {
    fn from(error: MovingError) -> Self {
        match error {
            MovingError::Store(error) => Self::store(&error),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
