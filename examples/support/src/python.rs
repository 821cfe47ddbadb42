//! The tutorials' own Python, with the real packages.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Runs `program`, which finds `given` as JSON in its standard input and prints JSON.
///
/// Without Python the answer is `None`, loudly; with `CI` set that is a failure.
#[must_use]
pub fn python(program: &str, given: &Value) -> Option<Value> {
    let mut child = Command::new(interpreter()?)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(given.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the Python program failed");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

/// The interpreter that `scripts/python-env` makes.
#[must_use]
pub fn interpreter() -> Option<&'static str> {
    static INTERPRETER: OnceLock<Option<String>> = OnceLock::new();
    INTERPRETER
        .get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python-env");
            let made = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
            if made.status.success() {
                return Some(String::from_utf8(made.stdout).unwrap().trim().to_owned());
            }
            skipped("no Python with the tutorials' packages");
            None
        })
        .as_deref()
}

/// Says what is not tested here; with `CI` set that is a failure.
pub fn skipped(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI has to test this: {what}");
    eprintln!("SKIPPED: {what}");
}
