//! A PostgreSQL of our own, and what its own load client makes of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

/// A PostgreSQL of our own that flushes the disk at every commit, unlike the one the tests use.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
}

impl Postgres {
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let programs = std::fs::read_dir("/usr/lib/postgresql")
            .context("no PostgreSQL in /usr/lib/postgresql")?
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin"))
            .filter(|path| path.join("initdb").exists() && path.join("pgbench").exists())
            .max()
            .context("no PostgreSQL with initdb and pgbench")?;
        let started = Self {
            programs,
            folder: folder.to_owned(),
        };
        // It refuses to run as root; whoever it runs as must be able to reach its folder.
        ensure!(
            Command::new("chown")
                .args(["65534:65534"])
                .arg(folder)
                .status()?
                .success()
                || !rustix::process::geteuid().is_root(),
            "the folder could not be given away"
        );
        let data = folder.join("data");
        started.run("initdb", |command| {
            command.arg("--pgdata").arg(&data).args([
                "--username=postgres",
                "--auth=trust",
                "--locale=C",
                "--encoding=UTF8",
            ])
        })?;
        let options = format!(
            "-c listen_addresses= -k {} -c max_connections=300",
            folder.display()
        );
        started.run("pg_ctl", |command| {
            command
                .arg("--pgdata")
                .arg(&data)
                .arg("--log")
                .arg(folder.join("server.log"))
                .args(["--silent", "--wait", "start", "-o", &options])
        })?;
        Ok(started)
    }

    fn run(&self, program: &str, arguments: impl Fn(&mut Command) -> &mut Command) -> anyhow::Result<String> {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(&program);
            command
        } else {
            Command::new(&program)
        };
        // To a file and not to a pipe: the server keeps what pg_ctl was given open for ever.
        let said = tempfile::NamedTempFile::new()?;
        let status = arguments(&mut command)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(said.reopen()?)
            .stderr(said.reopen()?)
            .status()?;
        let text = std::fs::read_to_string(said.path())?;
        ensure!(status.success(), "{}: {text}", program.display());
        Ok(text)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}", self.folder.display())
    }

    pub fn sql(&self, text: &str) -> anyhow::Result<String> {
        self.sql_in("postgres", text)
    }

    fn sql_in(&self, database: &str, text: &str) -> anyhow::Result<String> {
        let host = self.folder.clone();
        self.run("psql", |command| {
            command
                .arg("-h")
                .arg(&host)
                .args(["-U", "postgres", "-d", database, "-q", "-t", "-A", "-c", text])
        })
    }

    /// As [`folks::crowd`](crate::folks::crowd), for a database of this server.
    pub fn crowd(&self, database: &str, count: usize) -> anyhow::Result<()> {
        let id = |variant: char| {
            format!(
                "(lpad(to_hex(millisecond), 12, '0') || '7' || substr(random, 1, 3) || '{variant}' \
                 || substr(random, 4, 15))::uuid"
            )
        };
        let (user, session) = (id('8'), id('9'));
        let from = format!(
            "FROM (SELECT n, first + (last - first) * n / {count} AS millisecond, md5(n::text) AS random
                   FROM generate_series(0, {count} - 1) AS n,
                        (SELECT min(created_at) / 1000 AS first, max(created_at) / 1000 AS last FROM users
                         WHERE email NOT LIKE 'crowd%') AS bounds) AS crowd"
        );
        self.sql_in(
            database,
            &format!(
                "INSERT INTO users (id, email, email_key, is_superuser, roles, profile, created_at, updated_at, epoch)
                 SELECT {user}, 'crowd' || n || '@example.org', 'crowd' || n || '@example.org', FALSE, '[]',
                        '{{\"name\":\"One of many\",\"plan\":\"free\"}}', millisecond * 1000, millisecond * 1000, 0
                 {from};
                 INSERT INTO sessions (id, user_id, scope, method, generation, created_at, rotated_at, expires_at)
                 SELECT {session}, {user}, '', 'password', 0, millisecond * 1000, millisecond * 1000,
                        millisecond * 1000 + 31536000000000
                 {from}"
            ),
        )?;
        self.sql_in(database, "VACUUM ANALYZE")?;
        self.sql_in(database, "CHECKPOINT")?;
        Ok(())
    }

    /// pgbench's transactions per second of the one statement that a refresh is, with as many connections.
    pub fn updates(&self, connections: usize, length: Duration) -> anyhow::Result<f64> {
        let script = self.folder.join("update.sql");
        std::fs::write(
            &script,
            "\\set n random(1, 1000)\n\
             UPDATE bench_limit SET generation = generation + 1, rotated_at = rotated_at + 1 WHERE id = :n;\n",
        )?;
        let seconds = length.as_secs().max(1).to_string();
        let said = self.run("pgbench", |command| {
            command
                .arg("-h")
                .arg(&self.folder)
                .args(["-U", "postgres", "-n", "-M", "prepared", "-j", "2"])
                .args(["-c", &connections.to_string(), "-T", &seconds, "-f"])
                .arg(&script)
                .arg("postgres")
        })?;
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next())
            .context("pgbench said no tps")?;
        Ok(rate.parse()?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let stopped = self.run("pg_ctl", |command| {
            command
                .arg("--pgdata")
                .arg(&data)
                .args(["--silent", "--mode=immediate", "stop"])
        });
        if let Err(error) = stopped {
            eprintln!("PostgreSQL could not be stopped: {error:#}");
        }
    }
}
