//! The options as a file to start from, as documentation, and as they are in effect.

use std::fmt::Write as _;

use tokenhouse::settings::OptionDoc;

use super::{Config, table};

const WIDTH: usize = 100;

/// A TOML file with every option, each a comment.
pub(crate) fn default_file() -> String {
    let mut out = String::from(
        "# Tokenhouse: every option, with its default. Take the `#` away from what you change.\n\
         # Precedence: environment > .env > this file > defaults.\n",
    );
    let mut section = "";
    let options = table::options();
    for option in &options {
        let own = table::section(&option.path);
        if own != section {
            section = own;
            let _ = write!(out, "\n[{section}]\n");
        }
        out.push('\n');
        for line in wrapped(&option.doc) {
            let _ = writeln!(out, "# {line}");
        }
        let variable = option.variable();
        let _ = if option.secret {
            writeln!(out, "# Environment: {variable} or {variable}_FILE")
        } else {
            writeln!(out, "# Environment: {variable}")
        };
        let default = if option.default.is_empty() {
            "\"\""
        } else {
            &option.default
        };
        let _ = writeln!(out, "# {} = {default}", name(option));
    }
    out
}

fn name(option: &OptionDoc) -> &str {
    option.path.rsplit('.').next().unwrap_or(&option.path)
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() {
                line.push_str(word);
            } else if line.len() + word.len() < WIDTH {
                line.push(' ');
                line.push_str(word);
            } else {
                lines.push(word.to_owned());
            }
        }
    }
    lines
}

/// `docs/configuration.md`.
pub(crate) fn documentation() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made by `tokenhouse config docs`; change the tables in the code instead. -->\n\n\
         Tokenhouse runs without any configuration. What is decided is taken from, in this order of precedence:\n\n\
         1. the environment: `TOKENHOUSE_` and the option's name in capitals, with `__` between section and name;\n\
         2. `.env` in the working directory, with the same names;\n\
         3. a TOML file: `--config FILE` or `TOKENHOUSE_CONFIG`, else `tokenhouse.toml` in the working directory;\n\
         4. the defaults below.\n\n\
         - Lists are written in a variable with commas (`a,b`), tables as JSON or inline TOML.\n\
         - Lengths of time have a unit: `\"500ms\"`, `\"30s\"`, `\"15m\"`, `\"12h\"`, `\"30d\"`.\n\
         - A secret can be given as a file: the variable's name with `_FILE` holds its path, and one final newline is \
         not part of it.\n\
         - `DATABASE_URL` is understood like `TOKENHOUSE_DATABASE_URL`, and `PORT` by `tokenhouse serve` as \
         `0.0.0.0:PORT`; the names with `TOKENHOUSE_` and, for `PORT`, `listen` in the file win.\n\
         - An option that does not exist is an error, in the file as well as in the environment.\n\
         - Traces go out over OTLP (HTTP, protobuf) when the standard `OTEL_EXPORTER_OTLP_ENDPOINT` or\n  \
         `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set and `OTEL_TRACES_EXPORTER` is not `none`; the other `OTEL_…`\n  \
         variables are honoured.\n\n\
         `tokenhouse config default` prints a file to start from, `tokenhouse config check` what is in effect.\n",
    );
    let mut section = None;
    let options = table::options();
    for option in &options {
        let own = table::section(&option.path);
        if section != Some(own) {
            section = Some(own);
            let title = if own.is_empty() {
                "The basics".to_owned()
            } else {
                format!("`[{own}]`")
            };
            let _ = write!(
                out,
                "\n## {title}\n\n| option | variable | default | |\n|---|---|---|---|\n"
            );
        }
        let default = if option.default.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", option.default)
        };
        let secret = if option.secret { " (or `…_FILE`)" } else { "" };
        let _ = writeln!(
            out,
            "| `{}` | `{}`{secret} | {default} | {} |",
            name(option),
            option.variable(),
            option.doc.replace('|', "\\|")
        );
    }
    out
}

/// What is in effect, as TOML with the places in comments, secrets hidden.
pub(crate) fn effective(config: &Config) -> String {
    let mut out = String::new();
    let mut section = "";
    let options = table::options();
    for option in &options {
        let own = table::section(&option.path);
        if own != section {
            section = own;
            let _ = write!(out, "\n[{section}]\n");
        }
        let name = name(option);
        let _ = match config.given.get(&option.path) {
            Some(given) if option.secret => {
                writeln!(out, "{name} = \"(hidden)\" # {}", given.source)
            }
            Some(given) => writeln!(out, "{name} = {} # {}", given.value, given.source),
            None if option.default.is_empty() => writeln!(out, "# {name} is not set"),
            None => writeln!(out, "{name} = {}", option.default),
        };
    }
    out
}
