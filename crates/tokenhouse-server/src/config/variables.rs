//! Reading the environment and `.env`, and telling which of our variables is none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokenhouse::settings::OptionDoc;
use toml::{Table, Value};

use super::file::{nearest, unknown};
use super::{Given, Source};

const PREFIX: &str = "TOKENHOUSE_";

/// A variable with its place.
struct Variable {
    text: String,
    source: Source,
}

/// Reads `.env` and the environment, which has precedence over it.
pub(super) fn read(
    port: bool,
    options: &[OptionDoc],
    given: &mut BTreeMap<String, Given>,
    mistakes: &mut Vec<String>,
) {
    let mut variables = BTreeMap::new();
    dotenv(Path::new(".env"), &mut variables, mistakes);
    environment(&mut variables, mistakes);

    // What others set for many programs comes first, so that our own names overwrite it.
    if let Some(Variable { text, source }) = variables.remove("DATABASE_URL")
        && !text.is_empty()
    {
        let value = Value::String(text);
        given.insert("database_url".to_owned(), Given { value, source });
    }
    if let Some(Variable { text, source }) = variables.remove("PORT")
        && port
    {
        match text.parse::<u16>() {
            Ok(number) => {
                // The file's `listen` is as explicit as a variable.
                given.entry("listen".to_owned()).or_insert(Given {
                    value: Value::String(format!("0.0.0.0:{number}")),
                    source,
                });
            }
            Err(_) => mistakes.push(format!("{source}: must be a port number between 0 and 65535")),
        }
    }
    let file_of = |option: &OptionDoc| format!("{}_FILE", option.variable());
    for option in options {
        let plain = variables.remove(&option.variable());
        let file = option
            .secret
            .then(|| variables.remove(&file_of(option)))
            .flatten();
        let variable = match (plain, file) {
            (Some(_), Some(file)) => {
                mistakes.push(format!(
                    "{}: {} is set too; remove one of them",
                    file.source,
                    option.variable()
                ));
                continue;
            }
            (None, Some(file)) => match std::fs::read_to_string(&file.text) {
                Ok(text) => Variable {
                    text: without_newline(&text).to_owned(),
                    source: file.source,
                },
                Err(error) => {
                    let path = PathBuf::from(&file.text);
                    mistakes.push(format!(
                        "{}: {} cannot be read: {error}",
                        file.source,
                        path.display()
                    ));
                    continue;
                }
            },
            (Some(plain), None) => plain,
            (None, None) => continue,
        };
        match typed(option, &variable.text) {
            Ok(value) => {
                let source = variable.source;
                given.insert(option.path.clone(), Given { value, source });
            }
            Err(problem) => {
                mistakes.push(format!("{}: {}: {problem}", variable.source, option.path));
            }
        }
    }
    for (name, variable) in variables {
        let path = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        let meant = match path.strip_suffix("_file") {
            Some(path) => nearest(path, options).map(|option| {
                if option.secret {
                    file_of(option)
                } else {
                    option.variable()
                }
            }),
            None => nearest(&path, options).map(OptionDoc::variable),
        };
        mistakes.push(unknown(&variable.source, &name, meant));
    }
}

fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Whether a variable is ours to read. Two are read elsewhere: the name of the file, and what tests set.
fn concerns_us(name: &str) -> bool {
    name == "DATABASE_URL"
        || name == "PORT"
        || (name.starts_with(PREFIX) && name != "TOKENHOUSE_CONFIG" && !name.starts_with("TOKENHOUSE_TEST_"))
}

fn dotenv(path: &Path, variables: &mut BTreeMap<String, Variable>, mistakes: &mut Vec<String>) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            mistakes.push(format!("{}: cannot be read: {error}", path.display()));
            return;
        }
    };
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, text)) if concerns_us(&name) => {
                let source = Source::Dotenv(name.clone());
                variables.insert(name, Variable { text, source });
            }
            Ok(_) => {}
            // Only where: the error itself quotes the line.
            Err(dotenvy::Error::LineParse(bad, _)) => {
                let first = bad.lines().next().unwrap_or_default();
                let line = text.lines().position(|line| line == first).map_or(1, |at| at + 1);
                mistakes.push(format!(
                    "{}:{line}: cannot be read; write NAME=value, and quote a value with spaces",
                    path.display()
                ));
            }
            Err(_) => mistakes.push(format!("{}: cannot be read", path.display())),
        }
    }
}

fn environment(variables: &mut BTreeMap<String, Variable>, mistakes: &mut Vec<String>) {
    for (name, text) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| concerns_us(name)).map(str::to_owned) else {
            continue;
        };
        let source = Source::Variable(name.clone());
        match OsString::into_string(text) {
            Ok(text) => {
                variables.insert(name, Variable { text, source });
            }
            Err(_) => mistakes.push(format!("{source}: is not UTF-8")),
        }
    }
}

/// A variable's text as the type that the option has, which its default shows.
fn typed(option: &OptionDoc, text: &str) -> Result<Value, String> {
    let default = format!("value = {}", option.default)
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    match default {
        Some(Value::Boolean(_)) => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| format!("must be `true` or `false`; the default is `{}`", option.default)),
        Some(Value::Integer(_)) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("must be a whole number; the default is `{}`", option.default)),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => inline(text),
        Some(Value::Array(_)) => Ok(text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Value::from)
            .collect::<Vec<_>>()
            .into()),
        Some(Value::Table(_)) => inline(text),
        _ if text.is_empty() && (option.secret || option.default.is_empty()) => {
            Err("is empty; give it a value, or leave it out".to_owned())
        }
        _ => Ok(Value::from(text)),
    }
}

fn inline(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .ok_or_else(|| "is neither TOML nor JSON".to_owned())
}
