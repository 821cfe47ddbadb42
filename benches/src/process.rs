//! The programs that are measured: started on a free port, watched through `/proc`, ended by process id.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::{Connection, get};
use crate::options::Options;

/// How long a program may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// `/proc/PID/stat` counts in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    started: Instant,
}

impl Process {
    fn start(command: &mut Command, address: SocketAddr) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self {
            child,
            address,
            started: Instant::now(),
        })
    }

    /// The house under test, on this database.
    pub fn house(options: &Options, database: &str, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = if options.embedded {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["house", &address.to_string(), database]);
            command
        } else {
            let mut command = Command::new(&options.server);
            command.arg("serve");
            command
        };
        // Nothing of whoever started us decides what is measured.
        for (name, _) in std::env::vars() {
            if name.starts_with("TOKENHOUSE_") {
                command.env_remove(name);
            }
        }
        command
            .env("TOKENHOUSE_DATABASE_URL", database)
            .env("TOKENHOUSE_LISTEN", address.to_string())
            .env(
                "TOKENHOUSE_PUBLIC_URL",
                format!("http://localhost:{}", address.port()),
            )
            .env("TOKENHOUSE_MASTER_KEY", "7f".repeat(32))
            .env("TOKENHOUSE_TOKENS__ACCESS_LIFETIME", "6h")
            .env("TOKENHOUSE_RATE_LIMIT__ENABLED", "false")
            .env("TOKENHOUSE_RATE_LIMIT__ACCOUNT_ENABLED", "false")
            .envs(more.iter().copied());
        if std::env::var_os("BENCH_SHOW_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        Self::start(&mut command, address)
    }

    /// The bare axum server it is compared with.
    pub fn hello() -> anyhow::Result<Self> {
        let address = free_address()?;
        let program = std::env::current_exe()?;
        Self::start(
            Command::new(program).args(["hello", &address.to_string()]),
            address,
        )
    }

    /// Waits for the first 200; gives the time since the start.
    pub async fn answers(&mut self, path: &str) -> anyhow::Result<Duration> {
        let request = get(path, None);
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok((200, _)) = connection.exchange(&request).await
            {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the server ended ({status}); BENCH_SHOW_LOG=1 shows what it said");
            }
            ensure!(
                self.started.elapsed() < PATIENCE,
                "{path} was not answered in 20 s"
            );
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Seconds of CPU it has used, all threads together.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything, spaces too.
        let (_, fields) = stat.rsplit_once(')').context("an odd /proc/PID/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// MiB resident: all, and those that are its own (not mapped from files).
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mebibytes = |name: &str| -> anyhow::Result<f64> {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .context("an odd /proc/PID/status")?;
            let kibibytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
            Ok(kibibytes / 1024.0)
        };
        Ok((mebibytes("VmRSS:")?, mebibytes("RssAnon:")?))
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "the server did not end in 20 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// SQLite's address of a file in this folder.
pub fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("bench.db").display())
}

/// The part of a bare axum server: the least that any answer costs here.
pub fn serve_hello(address: &str) -> anyhow::Result<()> {
    let router = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    serve(address, async { Ok(router) })
}

/// The part of an application that has Tokenhouse inside, served like the bare one: what the server program
/// adds to it is the difference between this and `tokenhouse serve`.
pub fn serve_house(address: &str, database: &str) -> anyhow::Result<()> {
    let (public_url, database) = (format!("http://{address}"), database.to_owned());
    serve(address, async move {
        let house = tokenhouse::Tokenhouse::builder()
            .database(&database)
            .public_url(&public_url)
            .configure(|settings| {
                settings.rate_limit.enabled = false;
                settings.rate_limit.account_enabled = false;
                settings.master_key = Some(tokenhouse::Secret::from("7f".repeat(32)));
                settings.tokens.access_lifetime = tokenhouse::settings::Period::minutes(360);
            })
            .build()
            .await?;
        Ok(house.service())
    })
}

fn serve(address: &str, router: impl Future<Output = anyhow::Result<axum::Router>>) -> anyhow::Result<()> {
    use axum::serve::ListenerExt;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = router.await?;
        let listener = tokio::net::TcpListener::bind(address)
            .await?
            .tap_io(|stream| drop(stream.set_nodelay(true)));
        let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            served = async { axum::serve(listener, router).await } => Ok(served?),
            _ = end.recv() => Ok(()),
        }
    })
}
