//! Databases on a throwaway PostgreSQL server. How one is started only `scripts/postgres` knows.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tokenhouse::base::entropy::Entropy;
use tokio_postgres::NoTls;

/// A running server on which databases can be made.
pub struct Cluster {
    admin: String,
}

/// The server of this run: the one `TOKENHOUSE_TEST_DATABASE_URL` names, which many test processes can share
/// (`scripts/postgres run cargo nextest run`), or else one that lives as long as this process.
///
/// Where there is no PostgreSQL the tests on it are skipped, loudly; with `CI` set that is a failure.
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| match std::env::var("TOKENHOUSE_TEST_DATABASE_URL") {
            Ok(admin) => Some(Cluster { admin }),
            Err(_) => start(),
        })
        .as_ref()
}

fn start() -> Option<Cluster> {
    // Short, as the path of a Unix socket must be; the script removes it when this process has ended.
    let folder = tempfile::Builder::new()
        .prefix("th-pg.")
        .tempdir_in("/tmp")
        .unwrap()
        .keep();
    let started = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres"))
        .arg("start")
        .arg(folder)
        .arg(std::process::id().to_string())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    if started.status.success() {
        return Some(Cluster {
            admin: String::from_utf8(started.stdout).unwrap().trim().to_owned(),
        });
    }
    assert!(std::env::var_os("CI").is_none(), "CI has to test on PostgreSQL");
    eprintln!("SKIPPED: no PostgreSQL, its half of the tests does not run");
    None
}

impl Cluster {
    /// An empty database.
    pub fn database(&self) -> Database {
        let random = Entropy::system().bytes::<8>().unwrap();
        let name = format!("test_{:016x}", u64::from_be_bytes(random));
        self.administer(format!("CREATE DATABASE {name} STRATEGY FILE_COPY"));
        Database {
            url: self.url(&name),
            name,
            admin: self.admin.clone(),
        }
    }

    /// The address of another database on the same server.
    fn url(&self, name: &str) -> String {
        let (address, parameters) = self.admin.split_once('?').unwrap_or((&self.admin, ""));
        let (server, _) = address.rsplit_once('/').unwrap();
        format!("{server}/{name}?{parameters}")
    }

    fn administer(&self, sql: String) {
        administer(self.admin.clone(), sql).unwrap();
    }
}

/// A database, dropped with this value.
pub struct Database {
    url: String,
    name: String,
    admin: String,
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may have gone with the test; nobody misses the database then.
        let _ = administer(
            self.admin.clone(),
            format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
    }
}

/// On a thread with a runtime of its own, so that it can be called inside a test's runtime and in `drop`.
fn administer(admin: String, sql: String) -> Result<(), tokio_postgres::Error> {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async {
                let (client, connection) = tokio_postgres::connect(&admin, NoTls).await?;
                let connection = tokio::spawn(connection);
                let outcome = client.batch_execute(&sql).await;
                drop(client);
                let _ = connection.await;
                outcome
            })
    })
    .join()
    .unwrap()
}
