//! A PostgreSQL server of the test's own, which keeps what it acknowledged (`fsync` is on) and can be killed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokenhouse::store::{Store, StoreOptions};

use crate::PATIENCE;

/// PostgreSQL refuses to run as root; this is `nobody`.
const NOBODY: u32 = 65_534;

/// A data directory, and the server on it while there is one.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    /// A program with its arguments that starts the server in its stead, as `strace` does.
    through: Vec<String>,
    server: Option<Child>,
}

/// Where the programs are; where there are none the test is skipped, loudly, and in CI fails.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("TOKENHOUSE_TEST_POSTGRES_BIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    found.extend(debian.into_iter().rev());
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let found = found.into_iter().find(|folder| folder.join("postgres").exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI has to test on PostgreSQL");
        eprintln!("SKIPPED: no PostgreSQL found");
    }
    found
}

impl Postgres {
    /// A new server, running.
    pub(crate) fn new() -> Option<Self> {
        Self::through(|_| Vec::new())
    }

    /// One that another program starts, whose words may name files of the server's folder.
    pub(crate) fn through(words: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let programs = programs()?;
        // Short, as the path of a Unix socket must be.
        let folder = tempfile::Builder::new()
            .prefix("th-pg.")
            .tempdir_in("/tmp")
            .unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut postgres = Self {
            through: words(folder.path()),
            programs,
            folder,
            server: None,
        };
        let made = postgres
            .command("initdb")
            .args([
                "--username=postgres",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg("--pgdata")
            .arg(postgres.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.start();
        Some(postgres)
    }

    fn command(&self, program: &str) -> Command {
        self.as_nobody(Command::new(self.programs.join(program)))
    }

    fn as_nobody(&self, mut command: Command) -> Command {
        command.current_dir("/").stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where its socket lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        url(self.folder())
    }

    /// Starts it; it may still be recovering afterwards.
    pub(crate) fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .unwrap();
        let mut command = self.command("postgres");
        if let [first, rest @ ..] = self.through.as_slice() {
            command = self.as_nobody(Command::new(first));
            command.args(rest).arg(self.programs.join("postgres"));
        }
        let server = command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder())
            .args(["-c", "listen_addresses=", "-c", "max_connections=100"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
    }

    /// Waits until it takes connections.
    pub(crate) async fn ready(&self) {
        let store = self.store().await;
        let began = Instant::now();
        while store.ping().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.url(), StoreOptions::default()).await.unwrap()
    }

    /// Ends it as an operator does (`pg_ctl stop --mode=fast`): connections are cut, the data is tidied.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        kill_process(Pid::from_child(&server), Signal::INT).unwrap();
        server.wait().unwrap();
    }

    /// `kill -9` of the server and of each of its processes.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        let children = children(server.id());
        server.kill().unwrap();
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        server.wait().unwrap();
        // They are no children of this process; the next server waits for the last to be gone.
        let began = Instant::now();
        while children.iter().any(|child| is_running(*child)) {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }

    /// Compares every table with its indexes, block by block.
    pub(crate) fn assert_whole(&self) {
        let output = self
            .command("pg_amcheck")
            .args([
                "--install-missing",
                "--heapallindexed",
                "--parent-check",
                "--username=postgres",
                "--host",
            ])
            .arg(self.folder())
            .arg("postgres")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}{said}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

pub(crate) fn url(folder: &Path) -> String {
    format!("postgres://postgres@/postgres?host={}", folder.display())
}

/// The running processes whose parent this is.
fn children(parent: u32) -> Vec<Pid> {
    let parent = parent.to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, found)| found == parent))
        .filter_map(Pid::from_raw)
        .collect()
}

fn is_running(pid: Pid) -> bool {
    stat(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state != "Z")
}

/// State and parent of a process.
fn stat(pid: i32) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}
