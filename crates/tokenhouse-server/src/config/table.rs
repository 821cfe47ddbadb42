//! The options of the server beside those of the library, in the same kind of table.
#![allow(
    unreachable_pub,
    reason = "the table's macro writes `pub` for a library; here nothing leaves the program"
)]

use tokenhouse::settings::table::Show;
use tokenhouse::settings::{OptionDoc, Period};

tokenhouse::settings! {
    /// What the command `tokenhouse` decides beyond the library.
    pub struct ServerSettings ("") {
        /// The address and port to listen on; port 0 takes a free one. `tokenhouse serve` understands `PORT` too: it
        /// means `0.0.0.0:PORT` unless this option is set.
        value listen: String = "127.0.0.1:8080".to_owned(),
        /// How long requests in flight may take to finish after SIGTERM or SIGINT.
        value shutdown_timeout: Period = Period::seconds(10),
        /// How connections are taken.
        section http: ServerHttpSettings = ServerHttpSettings::default(),
        /// What is logged.
        section log: LogSettings = LogSettings::default(),
    }

    /// How connections are taken.
    pub struct ServerHttpSettings ("http") {
        /// How long the head of a request may take to arrive, and a connection may idle before the next one. An
        /// answer must be taken within twice as long.
        value header_timeout: Period = Period::seconds(10),
        /// Bytes the head of a request may have; at least 8192.
        value max_header_bytes: usize = 32_768,
        /// Connections at once; further ones wait to be accepted. Each is an open file: where the system's hard limit
        /// (`LimitNOFILE=`, `ulimit -Hn`) is lower there is room for as many as it allows, and the log says so.
        value max_connections: usize = 16_384,
    }

    /// What is logged, to standard error.
    pub struct LogSettings ("log") {
        /// `text` for people, `json` for programs, `auto` for text on a terminal and JSON elsewhere.
        value format: LogFormat = LogFormat::Auto,
        /// What is worth a line: `error`, `warn`, `info`, `debug` or `trace`, also per part of the program.
        /// `info,tokenhouse::request=debug` shows every request.
        value level: String = "warn,tokenhouse=info".to_owned(),
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Show for LogFormat {
    fn show(&self) -> String {
        format!("\"{self:?}\"").to_lowercase()
    }
}

/// Every option there is, sorted into its section: the library's and the server's `http` are one to an operator.
pub(crate) fn options() -> Vec<OptionDoc> {
    let mut all = ServerSettings::options();
    all.extend(tokenhouse::Settings::options());
    let mut sections: Vec<String> = Vec::new();
    for option in &all {
        let section = section(&option.path).to_owned();
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    all.sort_by_key(|option| sections.iter().position(|name| name == section(&option.path)));
    all
}

/// Whether the option is the server's own.
pub(crate) fn is_servers(path: &str) -> bool {
    ServerSettings::options().iter().any(|option| option.path == path)
}

/// `tokens` of `tokens.access_lifetime`, and nothing of `public_url`.
pub(crate) fn section(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}
