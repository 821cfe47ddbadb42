//! `tokenhouse doctor`: look at everything a house needs, change nothing, and say what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};
use tokenhouse::base::clock::Clock;
use tokenhouse::base::entropy::Entropy;
use tokenhouse::base::hashing::{Argon2Costs, HashingOptions, HashingPool};
use tokenhouse::kernel::keys::{MasterKey, root_key};
use tokenhouse::store::{EngineKind, SchemaState, Store, StoreOptions, query};
use tokenhouse::{MIGRATIONS, Secret};

use super::serve::refuse_unsafe;
use super::{load, runtime, sqlite_file};
use crate::config::{Config, Places};
use crate::failure::Failure;
use crate::serve::OTHER_FILES;

/// A clock this far from the database's makes tokens expire early or live long.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Look for what is wrong, and say what to do about it.
///
/// Changes nothing. Exits with 1 when something would keep the server from running; warnings do not count.
#[derive(Args)]
pub(crate) struct Doctor {}

#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn ok(&self, what: &str, finding: impl Display) {
        println!("ok    {what:<12} {finding}");
    }

    fn warn(&self, what: &str, finding: impl Display) {
        println!("warn  {what:<12} {finding}");
    }

    fn fail(&mut self, what: &str, finding: impl Display) {
        self.failed += 1;
        println!("fail  {what:<12} {finding}");
    }
}

impl Doctor {
    pub(crate) fn run(&self, places: &Places) -> Result<(), Failure> {
        let config = load(places)?;
        let mut report = Report::default();
        match refuse_unsafe(&config) {
            Ok(()) => report.ok("config", "valid, and safe for `tokenhouse serve`"),
            Err(error) => {
                for mistake in error.0 {
                    report.warn("config", format!("`tokenhouse serve` refuses: {mistake}"));
                }
            }
        }
        open_files(&config, &report);
        runtime()?.block_on(async {
            if let Some(file) = sqlite_file(config.settings.database_url.expose()) {
                files(&file, &config, &mut report);
            }
            database(&config, &mut report).await;
            mail(&config, &mut report).await;
            hashing(&config, &mut report).await;
        });
        match report.failed {
            0 => Ok(()),
            1 => Err(Failure::new("1 check failed")),
            failed => Err(Failure::new(format!("{failed} checks failed"))),
        }
    }
}

fn open_files(config: &Config, report: &Report) {
    let wanted = config.server.http.max_connections as u64 + OTHER_FILES;
    // The server raises its own limit to the hard one.
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < wanted => report.warn(
            "open files",
            format!(
                "{limit} may be open, but http.max_connections asks for {wanted}: raise it (LimitNOFILE=, ulimit -Hn) \
                 or lower http.max_connections"
            ),
        ),
        Some(limit) => report.ok("open files", format!("{limit} may be open")),
        None => report.ok("open files", "no limit"),
    }
}

/// What lies on the disk of an embedded database.
fn files(file: &Path, config: &Config, report: &mut Report) {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Rights, read-only mounts and quotas at once: whether a file can be made is asked by making one.
    let probe = folder.join(format!(".tokenhouse-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => report.ok("directory", format!("{} can be written to", folder.display())),
        Err(error) => report.fail(
            "directory",
            format!(
                "{} cannot be written to ({error}): create it, or give it to the user that runs the server",
                folder.display()
            ),
        ),
    }
    private(file, "database", report);
    if config.settings.master_key.is_none() {
        private(&master_key_file(file), "key file", report);
    }
}

fn private(file: &Path, what: &str, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(file) else {
        report.ok(what, format!("{} is made at the first start", file.display()));
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        report.ok(what, format!("{} is its owner's alone", file.display()));
    } else {
        report.fail(
            what,
            format!(
                "others may open {} (mode {mode:o}): `chmod 600` it",
                file.display()
            ),
        );
    }
}

/// As the library names it.
fn master_key_file(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}.master-key", database.display()))
}

async fn database(config: &Config, report: &mut Report) {
    let settings = &config.settings;
    let file = sqlite_file(settings.database_url.expose());
    if file.as_ref().is_some_and(|file| !file.exists()) {
        return;
    }
    let store = match Store::open(settings.database_url.expose(), StoreOptions::default()).await {
        Ok(store) => store,
        Err(error) => return report.fail("database", error),
    };
    if let Err(error) = store.ping().await {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        return report.fail("database", format!("{error}: {}", cause.unwrap_or_default()));
    }
    let engine = store.engine().name();
    match store.schema(MIGRATIONS).await {
        Ok(SchemaState::Current) => report.ok("schema", format!("{engine} answers and is up to date")),
        Ok(SchemaState::Empty) => {
            report.ok(
                "schema",
                format!("{engine} answers and is empty; the first start makes the tables"),
            );
            store.close().await;
            return;
        }
        Ok(SchemaState::Older { pending }) => report.fail(
            "schema",
            format!(
                "lacks {}: back up, then run `tokenhouse migrate`",
                pending.join(", ")
            ),
        ),
        Ok(SchemaState::Expanded { unknown }) => report.ok(
            "schema",
            format!(
                "{engine} answers; a newer version has added to it ({}), which this one can work with",
                unknown.join(", ")
            ),
        ),
        Ok(SchemaState::Newer { unknown }) => report.fail(
            "schema",
            format!(
                "was changed by a newer version (it has {}): run that version, or restore a backup",
                unknown.join(", ")
            ),
        ),
        Err(error) => report.fail("schema", error),
    }
    keys(config, file.as_deref(), &store, report).await;
    clock(&store, report).await;
    dead_mail(&store, report).await;
    store.close().await;
}

/// Whether the master key is there, and opens what was sealed under it.
async fn keys(config: &Config, file: Option<&Path>, store: &Store, report: &mut Report) {
    let rows = async {
        let mut reader = store.read().await?;
        query("SELECT kid, sealed FROM signing_keys ORDER BY created_at")
            .all::<(String, Vec<u8>)>(&mut reader)
            .await
    };
    let rows = match rows.await {
        Ok(rows) => rows,
        Err(error) => return report.fail("master key", error),
    };
    let master = match (&config.settings.master_key, file) {
        (Some(text), _) => MasterKey::parse(text),
        (None, Some(file)) => {
            let file = master_key_file(file);
            if rows.is_empty() && !file.exists() {
                return report.ok("master key", "is made at the first start");
            }
            MasterKey::from_file(&file, false, &Entropy::system())
        }
        (None, None) => Err(tokenhouse::kernel::keys::MasterKeyError::Missing),
    };
    let master = match master {
        Ok(master) => master,
        Err(error) => return report.fail("master key", error),
    };
    let root = async { root_key(&master, &mut store.read().await?).await };
    let opened = match root.await {
        Ok(Some(root)) => rows
            .iter()
            .try_for_each(|(kid, sealed)| root.open(kid, sealed).map(drop)),
        Ok(None) => Ok(()),
        Err(error) => return report.fail("master key", error),
    };
    match opened {
        Ok(()) => report.ok("master key", format!("opens the signing keys ({})", rows.len())),
        Err(error) => report.fail("master key", error),
    }
}

async fn clock(store: &Store, report: &mut Report) {
    let now = Clock::system().now();
    let told = async {
        let mut reader = store.read().await?;
        let text = match store.engine() {
            EngineKind::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
            // It has no clock of its own, but remembers what it was told.
            EngineKind::Sqlite => "SELECT COALESCE(MAX(created_at), 0) FROM signing_keys",
        };
        query(text).one::<(Timestamp,)>(&mut reader).await
    };
    let Ok((theirs,)) = told.await else {
        return report.warn("clock", "could not be compared with the database's");
    };
    let apart = now.duration_since(theirs);
    let wrong = match store.engine() {
        EngineKind::Postgres => apart.unsigned_abs() > CLOCK_TOLERANCE,
        EngineKind::Sqlite => theirs > now,
    };
    if wrong {
        report.fail(
            "clock",
            format!("it is {now} here, but the database says {theirs}: set the clock (NTP)"),
        );
    } else {
        report.ok("clock", format!("it is {now}"));
    }
}

/// Whether the server that mail goes to lets us in. Nothing is sent.
async fn mail(config: &Config, report: &mut Report) {
    let smtp = match config.settings.mail_server() {
        Ok(Some(smtp)) => smtp,
        Ok(None) => {
            return report.warn(
                "mail",
                "none is sent: forgotten passwords cannot be replaced; set mail.host and mail.from",
            );
        }
        Err(error) => return report.fail("mail", config.place(&error)),
    };
    match smtp.connect().await {
        Ok(connection) => {
            connection.end().await;
            report.ok("mail", format!("{}:{} lets us in", smtp.host, smtp.port));
        }
        Err(error) => report.fail("mail", error),
    }
}

async fn dead_mail(store: &Store, report: &Report) {
    let counted = async {
        let mut reader = store.read().await?;
        query("SELECT COUNT(*) FROM outbox WHERE state = 'dead'")
            .one::<(i64,)>(&mut reader)
            .await
    };
    match counted.await {
        Ok((0,)) | Err(_) => {}
        Ok((count,)) => report.warn(
            "mail",
            format!("{count} could not be sent and were given up: `tokenhouse mail list` says why"),
        ),
    }
}

/// What a login costs on this machine.
async fn hashing(config: &Config, report: &mut Report) {
    let passwords = &config.settings.passwords;
    let options = HashingOptions {
        costs: Argon2Costs {
            memory_kib: passwords.memory_kib,
            iterations: passwords.iterations,
            parallelism: passwords.parallelism,
        },
        threads: 1,
        ..HashingOptions::default()
    };
    let measured = async {
        let pool = HashingPool::start(options, Entropy::system()).map_err(|error| error.to_string())?;
        let hash = || async { pool.hash(Secret::from("a password to measure with")).await };
        // The first one touches its memory for the first time.
        hash().await.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        hash().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(begun.elapsed().as_millis())
    };
    match measured.await {
        Err(error) => report.fail("hashing", error),
        Ok(millis @ 0..10) => report.warn(
            "hashing",
            format!(
                "{millis} ms per password: this machine is quick, double passwords.iterations or memory_kib"
            ),
        ),
        Ok(millis @ 10..500) => report.ok("hashing", format!("{millis} ms per password and core")),
        Ok(millis) => report.warn(
            "hashing",
            format!("{millis} ms per password: logins are slow, lower passwords.iterations or memory_kib"),
        ),
    }
}
