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

/// The row that the tutorials with a salt column would have written for `email`, `username` and `password`: their own
/// `AuthService`, and the columns of their `users` table.
pub const TUTORIAL_USER: &str = r#"
import json, sys
import bcrypt
from passlib.context import CryptContext

pwd_context = CryptContext(schemes=["bcrypt"], deprecated="auto")

class AuthService:
    def generate_salt(self) -> str:
        return bcrypt.gensalt().decode()
    def hash_password(self, *, password: str, salt: str) -> str:
        return pwd_context.hash(password + salt)

given = json.load(sys.stdin)
service = AuthService()
salt = service.generate_salt()
print(json.dumps({
    "id": 1, "email": given["email"], "username": given["username"], "email_verified": False, "salt": salt,
    "password": service.hash_password(password=given["password"], salt=salt), "is_active": True,
    "is_superuser": False, "created_at": "2021-05-16T15:19:30.408545", "updated_at": "2021-05-16T15:19:30.408578",
}))
"#;

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
