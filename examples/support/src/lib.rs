//! What the contract tests of the examples stand on: a database on either engine, an application spoken to through its
//! router, and the tutorials' own Python.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod client;
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::must_use_candidate,
    reason = "the library's own test support"
)]
#[path = "../../../crates/tokenhouse/tests/it/support/postgres.rs"]
mod postgres;
mod python;

pub use client::{Answer, App, members, segment, signed};
pub use python::{TUTORIAL_USER, interpreter, python, skipped};

use tempfile::TempDir;

/// An empty database of its own for one test, gone with it.
pub struct Place {
    url: String,
    _kept: Kept,
}

#[allow(dead_code, reason = "held until the test ends")]
enum Kept {
    Folder(TempDir),
    Database(postgres::Database),
}

impl Place {
    /// An SQLite file that does not exist yet.
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("example.db").display());
        Self {
            url,
            _kept: Kept::Folder(folder),
        }
    }

    /// An empty PostgreSQL database, or nothing where there is no PostgreSQL (loudly; with `CI` set that fails).
    #[must_use]
    pub fn postgres() -> Option<Self> {
        let database = postgres::cluster()?.database();
        Some(Self {
            url: database.url().to_owned(),
            _kept: Kept::Database(database),
        })
    }

    /// For `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Starts a program with this environment and nothing else, in an empty folder; it must refuse, and what it says is given.
#[must_use]
pub fn refusal(program: &str, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(program)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it left something behind"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// Makes two tests of one body: `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($place:ident: &Place) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn test($place: &$crate::Place) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(&$crate::Place::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(place) = $crate::Place::postgres() {
                    test(&place).await;
                }
            }
        }
    )*};
}
