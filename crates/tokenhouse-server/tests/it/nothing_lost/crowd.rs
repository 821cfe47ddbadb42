//! Crowds: the slow, the idle, the endless, and everybody logging in at once. Memory stays bounded, and who only wants
//! to know whether the house is well is told so.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::actors::password;
use super::client::Client;
use super::{chance, server};

const MIB: u64 = 1 << 20;
/// What an answer about health may take, all but one in a hundred.
const PROMPT: Duration = Duration::from_millis(250);

/// Asks for health again and again, on connections old and new.
struct Pulse {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

impl Pulse {
    fn of(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = tokio::spawn(async move {
            let mut took = Vec::new();
            let mut client = Client::new(port);
            while !stopped.load(Ordering::Relaxed) {
                let path = ["/health/live", "/health/ready"][took.len() % 2];
                let began = Instant::now();
                let answer = client.get(path, None).await;
                assert_eq!(answer.unwrap().status, 200);
                took.push(began.elapsed());
                if took.len() % 10 == 0 {
                    client = Client::new(port);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            took
        });
        Self { stop, asking }
    }

    /// All but the slowest one in a hundred were answered within this.
    async fn p99(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.asking.await.unwrap();
        took.sort();
        took[(took.len() - 1) * 99 / 100]
    }
}

/// Memory grows to its highest from now on.
fn forget_peak(running: &crate::Running) -> u64 {
    let forgotten = std::fs::write(format!("/proc/{}/clear_refs", running.child.id()), "5");
    assert!(forgotten.is_ok(), "{forgotten:?}");
    running.memory()
}

fn peak(running: &crate::Running) -> u64 {
    running.status("VmHWM") * 1024
}

/// Sends a byte now and then until it is cut; gives how long that took.
async fn dribble(port: u16, begin: &'static str) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut answer, mut out) = stream.into_split();
    let dribbling = async {
        while out.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300 + chance(400))).await;
        }
    };
    let cut = async {
        let mut bytes = Vec::new();
        let _ = answer.read_to_end(&mut bytes).await;
        assert!(
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    };
    // The answer may come before the cut, which a writer notices only later.
    tokio::join!(dribbling, cut);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_slow_clients_are_cut() {
    let place = server::place();
    let (running, _) = server::start(&place).await;
    let pulse = Pulse::of(running.port);
    let mut slow = JoinSet::new();
    for number in 0..500 {
        let begin = [
            "GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
            "POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 10000\r\n\r\n{\"email\":\"",
        ][number % 2];
        slow.spawn(dribble(running.port, begin));
    }
    let slowest = slow.join_all().await.into_iter().max().unwrap();
    let p99 = pulse.p99().await;
    eprintln!("500 slow clients cut within {slowest:?}; health p99 {p99:?}");
    assert!(slowest < Duration::from_secs(30), "{slowest:?}");
    assert!(p99 < PROMPT, "{p99:?}");
    running.kill();
}

/// Lets this process have so many files open, or as many as the system allows; gives how many.
fn open_files(wanted: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.map_or(wanted, |most| most.min(wanted))
}

/// What idle connections cost.
struct Cost {
    connections: u64,
    each: u64,
    p99: Duration,
}

impl Cost {
    fn is_at_most(&self, bytes: u64, what: &str) {
        let Self {
            connections,
            each,
            p99,
        } = self;
        eprintln!("{connections} {what} connections: {each} bytes each; health p99 {p99:?}");
        assert!(*each <= bytes, "{each} bytes a connection");
        assert!(*p99 < PROMPT, "{p99:?}");
    }
}

/// Opens so many connections to a server of their own, and measures what they take while they idle.
async fn cost<T>(connections: u64, open: impl AsyncFn(u16) -> T) -> Cost {
    let place = server::place().with("TOKENHOUSE_HTTP__HEADER_TIMEOUT", "10m");
    let (running, _) = server::start(&place).await;
    let pulse = Pulse::of(running.port);
    let (before, files) = (running.memory(), running.open_files());
    let mut opened = Vec::new();
    while (opened.len() as u64) < connections {
        let next = (0..100).map(|_| open(running.port));
        opened.extend(futures_util::future::join_all(next).await);
    }
    let began = Instant::now();
    while running.open_files() < files + opened.len() {
        assert!(
            began.elapsed() < crate::PATIENCE,
            "{} are there",
            running.open_files() - files
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let each = running.memory().saturating_sub(before) / opened.len() as u64;
    let p99 = pulse.p99().await;
    drop(opened);
    running.kill();
    Cost {
        connections,
        each,
        p99,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little() {
    let connections = open_files(10_300) - 300;
    if connections < 10_000 {
        eprintln!("only {connections} connections: the system's limit of open files has no room for more");
    }
    let silent = cost(connections, async |port| {
        TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    });
    silent.await.is_at_most(5 * 1024, "silent");
    let kept_alive = cost(connections, async |port| {
        let mut client = Client::new(port);
        assert_eq!(client.get("/health/live", None).await.unwrap().status, 200);
        client
    });
    // hyper keeps a buffer for reading and one for writing, of 8 KiB each, as long as a connection lives.
    kept_alive.await.is_at_most(20 * 1024, "kept alive");
}

/// Sends a head and then these bytes over and over, until it is answered or cut; gives the status and how much of the
/// body was taken.
async fn pour(port: u16, head: &str, chunk: &[u8], most: u64) -> (Option<u16>, u64) {
    // What waits in the system's buffers was not taken by anybody.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(1 << 16).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!("POST /auth/login HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n");
    // It may be refused before it is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let (mut answer, mut out) = stream.into_split();
    let pouring = tokio::spawn({
        let chunk = chunk.to_vec();
        async move {
            let mut sent = 0;
            while sent < most && out.write_all(&chunk).await.is_ok() {
                sent += chunk.len() as u64;
            }
            // Stays open, as whoever means harm would.
            (sent, out)
        }
    });
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = answer.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..read]);
        if bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    drop(answer);
    let (sent, _) = pouring.await.unwrap();
    let status = String::from_utf8_lossy(&bytes)
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_requests_are_refused_before_they_are_read() {
    let place = server::place();
    let (running, _) = server::start(&place).await;
    server::ready(running.port, crate::PATIENCE).await;
    let json = "content-type: application/json";
    let form = "content-type: application/x-www-form-urlencoded";
    let filler = [b'x'; 1 << 16];
    let chunk = [b"10000\r\n".as_slice(), &filler, b"\r\n"].concat();
    let fields: String = (0..100_000).map(|number| format!("f{number}=x&")).collect();
    let deep = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    // What a thousand times its size would come of, if it were unpacked.
    let packed = [[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff].as_slice(), &[0; 20_000]].concat();
    let gibibyte = 1 << 30;
    let before = forget_peak(&running);
    let pulse = Pulse::of(running.port);
    let mut pouring = JoinSet::new();
    for _ in 0..8 {
        for (head, body, most, expected) in [
            (
                format!("{json}\r\ncontent-length: {gibibyte}"),
                filler.to_vec(),
                gibibyte,
                &[413][..],
            ),
            (
                format!("{json}\r\ntransfer-encoding: chunked"),
                chunk.clone(),
                gibibyte,
                &[413],
            ),
            (
                format!("{form}\r\ntransfer-encoding: chunked"),
                chunk.clone(),
                gibibyte,
                &[413],
            ),
            (
                format!("{form}\r\ncontent-length: {}", fields.len()),
                fields.clone().into_bytes(),
                fields.len() as u64,
                &[413],
            ),
            (
                format!("{json}\r\ncontent-length: {}", deep.len()),
                deep.clone().into_bytes(),
                deep.len() as u64,
                &[400],
            ),
            (
                format!(
                    "{json}\r\ncontent-encoding: gzip\r\ncontent-length: {}",
                    packed.len()
                ),
                packed.clone(),
                packed.len() as u64,
                &[400, 415],
            ),
            (
                format!("x-huge: {}\r\ncontent-length: 0", "x".repeat(1 << 20)),
                Vec::new(),
                0,
                &[431],
            ),
        ] {
            let port = running.port;
            pouring.spawn(async move {
                let (status, sent) = pour(port, &head, &body, most).await;
                let what = &head[..head.len().min(80)];
                // A connection cut while it is still being written to may lose its answer on the way.
                assert!(
                    status.is_none_or(|status| expected.contains(&status)),
                    "{what}: {status:?}"
                );
                assert!(
                    sent < 2 * MIB || most < 2 * MIB,
                    "{what}: {sent} bytes were taken"
                );
                status.is_some()
            });
        }
    }
    let outcomes = pouring.join_all().await;
    let answered = outcomes.iter().filter(|answered| **answered).count();
    let p99 = pulse.p99().await;
    let grown = peak(&running).saturating_sub(before);
    eprintln!(
        "{answered} of {} answered; {} KiB more at most; health p99 {p99:?}",
        outcomes.len(),
        grown >> 10
    );
    assert!(answered >= outcomes.len() / 2, "only {answered} were answered");
    assert!(grown < 16 * MIB, "{grown} bytes more");
    assert!(p99 < PROMPT, "{p99:?}");
    running.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_logins_at_once_cost_no_more_than_the_hashing_threads() {
    let place = server::place();
    let (running, _) = server::start(&place).await;
    let mut client = Client::new(running.port);
    let email = "ada@example.org";
    let before = forget_peak(&running);
    let body = json!({ "email": email, "password": password(email, 0) });
    assert_eq!(
        client
            .post("/auth/signup", None, body.clone())
            .await
            .unwrap()
            .status,
        201
    );
    let pulse = Pulse::of(running.port);
    let mut storm = JoinSet::new();
    for _ in 0..500 {
        let (port, body) = (running.port, body.clone());
        storm.spawn(async move {
            let answer = Client::new(port).post("/auth/login", None, body).await.unwrap();
            assert!(answer.is_away() || answer.status == 200, "{answer:?}");
            answer.status == 200
        });
    }
    let welcome = storm
        .join_all()
        .await
        .into_iter()
        .filter(|welcome| *welcome)
        .count();
    let p99 = pulse.p99().await;
    let grown = peak(&running).saturating_sub(before);
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    eprintln!(
        "{welcome} of 500 logged in; {} MiB more at most; health p99 {p99:?}",
        grown >> 20
    );
    assert!(welcome >= 250, "{welcome}");
    assert!(grown < threads * 19 * MIB + 64 * MIB, "{grown} bytes more");
    assert!(p99 < PROMPT, "{p99:?}");
    running.kill();
}
