//! The load client: HTTP/1.1 over kept-alive loopback connections, one request at a time on each, so that
//! the same few microseconds of client lie in every figure, ours and the limits'.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::report::quantile;

/// An answer later than this is a fault of the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one connection asks, one request after the other.
pub trait Script: Send + 'static {
    /// Writes the next request.
    fn ask(&mut self, out: &mut Vec<u8>);
    /// Takes its answer.
    fn hear(&mut self, _status: u16, _body: &[u8]) {}
}

/// The same request for ever.
pub struct Same(pub Vec<u8>);

impl Script for Same {
    fn ask(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// A `GET`, with a bearer token where one is given.
pub fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token
        .map(|token| format!("authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n").into_bytes()
}

/// A `POST` of JSON.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What came of it.
#[derive(Default)]
pub struct Load {
    /// Of every answer, sorted, in nanoseconds.
    pub latencies: Vec<u64>,
    pub statuses: BTreeMap<u16, u64>,
    pub elapsed: Duration,
}

impl Load {
    pub fn count(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Answers of this status per second.
    pub fn rate(&self, status: u16) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        let count = self.count(status) as f64;
        count / self.elapsed.as_secs_f64()
    }

    pub fn milliseconds(&self, share: f64) -> f64 {
        quantile(&self.latencies, share) / 1e6
    }

    /// Refuses a run in which anything but `expected` was answered.
    pub fn all(self, expected: u16) -> anyhow::Result<Self> {
        match self.statuses.iter().find(|(status, _)| **status != expected) {
            Some((status, count)) => bail!("{count} answers were {status}, not {expected}"),
            None if self.statuses.is_empty() => bail!("there were no answers"),
            None => Ok(self),
        }
    }
}

/// When the next request is sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When the last one has been answered.
    Closed,
    /// Every so often; the latency counts from when it should have been sent, so that a server that stalls
    /// does not hide it by keeping the client from asking.
    Every(Duration),
}

/// Every script on a connection of its own, for `length`.
pub async fn run<S: Script>(
    address: SocketAddr,
    scripts: impl IntoIterator<Item = S>,
    pace: Pace,
    length: Duration,
) -> anyhow::Result<(Load, Vec<S>)> {
    let mut connections = Vec::new();
    for script in scripts {
        connections.push((Connection::open(address).await?, script));
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    for (place, (mut connection, mut script)) in (0_u32..).zip(connections) {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut statuses = BTreeMap::new();
            let mut request = Vec::new();
            let mut due = started;
            if let Pace::Every(interval) = pace {
                due += interval * place / count;
            }
            while due.duration_since(started) < length {
                if let Pace::Every(_) = pace {
                    tokio::time::sleep_until(due.into()).await;
                }
                request.clear();
                script.ask(&mut request);
                let (status, body) = timeout(PATIENCE, connection.exchange(&request))
                    .await
                    .context("no answer in a minute")??;
                script.hear(status, body);
                let now = Instant::now();
                latencies.push(u64::try_from(now.duration_since(due).as_nanos()).unwrap_or(u64::MAX));
                *statuses.entry(status).or_insert(0_u64) += 1;
                due = match pace {
                    Pace::Closed => now,
                    Pace::Every(interval) => due + interval,
                };
            }
            anyhow::Ok((latencies, statuses, script))
        });
    }
    let mut load = Load::default();
    let mut scripts = Vec::new();
    while let Some(task) = tasks.join_next().await {
        let (latencies, statuses, script) = task??;
        load.latencies.extend(latencies);
        for (status, count) in statuses {
            *load.statuses.entry(status).or_insert(0) += count;
        }
        scripts.push(script);
    }
    load.elapsed = started.elapsed();
    load.latencies.sort_unstable();
    Ok((load, scripts))
}

/// One kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Sends a request and reads its whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            filled += read;
            if let Some((status, from, to)) = whole(&self.buffer[..filled])? {
                return Ok((status, &self.buffer[from..to]));
            }
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
        }
    }
}

/// Status, and where the body lies, once all of it is there.
fn whole(answer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&answer[..end])?;
    let status: u16 = head.get(9..12).context("no status line")?.parse()?;
    let length: usize = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        })
        .unwrap_or(0);
    let to = end + 4 + length;
    Ok((answer.len() >= to).then_some((status, end + 4, to)))
}
