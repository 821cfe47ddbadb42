//! The command as its users meet it: the real binary, in an empty folder, on a port of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]
#![cfg(unix)]

mod configuration;
mod keys;
mod mail;
mod moving;
mod nodes;
mod nothing_lost;
mod refusals;
mod secrets;
mod serving;
#[path = "../../../tokenhouse/tests/it/support/smtp.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "of the library's tests, which use all of it"
)]
mod smtp;
mod telemetry;
mod users;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery staple";
const SIGNUP: &str = r#"{"email":"ada@example.org","password":"correct horse battery staple"}"#;
/// How long a test waits for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder in which the command is run, with the variables it sees.
struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
    /// A program with its arguments that starts the command in its stead, as `strace` does.
    through: Vec<String>,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            through: Vec::new(),
        }
    }

    /// With what `serve` needs.
    fn for_serve() -> Self {
        Self::new()
            .with("TOKENHOUSE_PUBLIC_URL", "http://localhost:8080")
            .with("TOKENHOUSE_LISTEN", "127.0.0.1:0")
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(old, _)| old != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().copied().map(str::to_owned).collect();
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let words: Vec<&str> = self
            .through
            .iter()
            .map(String::as_str)
            .chain([env!("CARGO_BIN_EXE_tokenhouse")])
            .chain(arguments.iter().copied())
            .collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.path())
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with("", arguments)
    }

    /// Runs to the end, with `input` on standard input.
    fn run_with(&self, input: &str, arguments: &[&str]) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        // A command that refuses before it reads closes the pipe first.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a server and waits until it says where it listens.
    fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).spawn().unwrap();
        let (sender, lines) = channel();
        let sources: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for source in sources {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(source).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let mut running = Running {
            child,
            port: 0,
            lines,
            said: String::new(),
        };
        // `serve` logs a sentence, `dev` prints a page.
        let (before, port) = if arguments[0] == "dev" {
            ("Tokenhouse  http://localhost:", "Tokenhouse  http://localhost:")
        } else {
            ("listening on http://", "0.0.0.0:")
        };
        let line = running.wait_for(before);
        let port = line
            .split_once(port)
            .or_else(|| line.split_once("listening on http://127.0.0.1:"))
            .unwrap()
            .1;
        let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
        running.port = digits.parse().unwrap();
        running
    }

    fn serve(&self) -> Running {
        let mut running = self.start_serve();
        running.said.clear();
        running
    }

    fn start_serve(&self) -> Running {
        self.start(&["serve"])
    }
}

/// A server under test; it is killed with the test.
struct Running {
    child: Child,
    port: u16,
    lines: Receiver<String>,
    said: String,
}

impl Running {
    /// The next line with `text`; fails when it does not come.
    fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("`{text}` was never said, but:\n{}", self.said),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; gives everything it said.
    fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        (status, std::mem::take(&mut self.said))
    }

    fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.post_with(path, "", body)
    }

    fn post_with(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn exchange(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of what comes until the end of the connection.
fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn field(body: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    value[name].as_str().unwrap().to_owned()
}
