//! The HTTP server around the house: bounded connections, bounded heads, and an end that loses no request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokenhouse::Tokenhouse;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::Service as _;

use crate::config::table::ServerSettings;
use crate::failure::Failure;
use crate::telemetry;

/// Streams that one HTTP/2 connection may have open at once.
const STREAMS: u32 = 128;
/// How long to wait after the system could not accept, which is when it has no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long a server that stops answers on its connections and asks each client to go elsewhere, before it closes
/// those that idle: a request that crosses the closing of its connection is lost, and busy clients have asked by then.
const LINGER: Duration = Duration::from_secs(1);
/// Files that are open besides connections.
pub(crate) const OTHER_FILES: u64 = 128;
/// How long the system keeps trying to hand over what the other side does not acknowledge. Without it a peer that is
/// gone, or that never reads, holds the system's memory for minutes after its connection was cut here.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Takes the port, or says in a sentence why not.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is taken by another process: stop that one, or choose another port with TOKENHOUSE_LISTEN"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("not allowed to listen on {address}: ports below 1024 need a privilege, choose another")
            }
            io::ErrorKind::InvalidInput => {
                format!("listen: `{address}` is no address with a port, such as 127.0.0.1:8080")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
    })
}

/// The signals that end the program.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they no longer end the program by themselves.
    pub(crate) fn hear() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Serves until a signal, the house and the routes `beside` it, then finishes what is in flight and closes the house. Gives the moment at which
/// `shutdown_timeout` is over, for what is left to do after it.
pub(crate) async fn serve(
    house: Tokenhouse,
    listener: TcpListener,
    settings: &ServerSettings,
    mut signals: Signals,
    beside: Router,
) -> Result<Instant, Failure> {
    let room = room(settings.http.max_connections, raise_open_files());
    if room < settings.http.max_connections {
        tracing::warn!(
            room,
            "http.max_connections is more than the system's limit of open files has room for: raise that \
             (LimitNOFILE=, ulimit -Hn)"
        );
    }
    let server = Arc::new(Server {
        router: house.service().merge(beside),
        builder: builder(settings),
        patience: *settings.http.header_timeout,
        stopping: AtomicBool::new(false),
    });
    let room = Arc::new(Semaphore::new(room));
    // Every connection holds a receiver: that none is left means that all have ended.
    let (stop, _) = watch::channel(());
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = accept(&listener, &server, &room, &stop) => "",
    };
    let let_in = let_in_already(listener);
    let deadline = Instant::now() + *settings.shutdown_timeout;
    tracing::info!(
        signal,
        connections = stop.receiver_count(),
        "stopping: no new connections are taken, requests in flight are finished"
    );
    for (stream, peer) in let_in {
        tokio::spawn(Arc::clone(&server).connection(stream, peer, stop.subscribe(), ()));
    }
    server.stopping.store(true, Ordering::Relaxed);
    // What is on its way on a connection that idles would be lost with it.
    tokio::select! {
        () = stop.closed() => {}
        () = tokio::time::sleep_until(deadline.min(Instant::now() + LINGER)) => {}
    }
    let _ = stop.send(());
    tokio::select! {
        () = stop.closed() => {}
        () = tokio::time::sleep_until(deadline) => {
            tracing::warn!("requests were still in flight after shutdown_timeout; they were cut off");
        }
        _ = signals.next() => return Err(Failure::new("stopped at once by a second signal")),
    }
    house.close().await;
    tracing::info!("stopped");
    Ok(deadline)
}

/// Many systems start programs with 1024 open files for the sake of `select(2)`, which nothing here uses, and let
/// them ask for more. Gives the limit from then on, if there is one.
fn raise_open_files() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let mut limit = before;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => before.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            before.current
        }
    }
}

/// Connections to take at once: past the limit of open files `accept` fails, and waiting for room is better.
fn room(wanted: usize, open_files: Option<u64>) -> usize {
    open_files.map_or(wanted, |limit| {
        let most = limit.saturating_sub(OTHER_FILES).max(1);
        usize::try_from(most).map_or(wanted, |most| most.min(wanted))
    })
}

fn builder(settings: &ServerSettings) -> Builder<TokioExecutor> {
    let http = &settings.http;
    let head = http.max_header_bytes;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(*http.header_timeout)
        .max_buf_size(head.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(*http.header_timeout)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX));
    builder
}

struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    /// `header_timeout`: how long a connection may be without a request.
    patience: Duration,
    /// Whether answers ask their clients to go elsewhere.
    stopping: AtomicBool,
}

/// Closes the port. Whom the system has let in already would be reset by that, so they are taken out before.
fn let_in_already(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut let_in = Vec::new();
    if let Ok(listener) = listener.into_std() {
        // It does not block: the first who is not there ends this.
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                let_in.push((stream, peer));
            }
        }
    }
    let_in
}

/// Accepts as long as it is polled.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    room: &Arc<Semaphore>,
    stop: &watch::Sender<()>,
) {
    loop {
        // Waiting for room before accepting leaves the rest in the system's queue, where they cost nothing.
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Handed over, and not awaited in a task of its own: that would have room for it twice.
                tokio::spawn(Arc::clone(server).connection(stream, peer, stop.subscribe(), permit));
            }
            // The peer went away before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted; `tokenhouse doctor` shows the limits");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// What happens on a connection, so that one on which nothing does can be ended: hyper ends an HTTP/1 connection that
/// idles, but neither an HTTP/2 one that answers pings nor a client that does not take its answers.
struct Activity {
    opened: Instant,
    /// Whether a request ever arrived.
    used: AtomicBool,
    /// Requests that are being answered.
    running: AtomicUsize,
    /// Milliseconds from `opened` to when the last answer was ready.
    answered: AtomicU64,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            used: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
        })
    }

    fn begin(self: &Arc<Self>) -> Running {
        self.used.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Since when no request was being answered; nothing while one is.
    fn quiet_since(&self) -> Option<Instant> {
        let quiet = self.running.load(Ordering::Acquire) == 0;
        quiet.then(|| self.opened + Duration::from_millis(self.answered.load(Ordering::Relaxed)))
    }
}

/// A request that is being answered; also one whose client gave up ends.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let passed = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.answered.fetch_max(passed, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

impl Server {
    /// Ends after `patience` without a request: first the client is told, and what it was answered is still sent;
    /// after as long again the connection is cut. Until then it holds its place among the connections.
    async fn connection<T>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut stop: watch::Receiver<()>,
        _place: T,
    ) {
        // An answer is one small write, which must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        bound_unacknowledged(&stream);
        let activity = Activity::new();
        let service = {
            let (server, activity) = (Arc::clone(&self), Arc::clone(&activity));
            service_fn(move |mut request: Request<Incoming>| {
                let running = activity.begin();
                request.extensions_mut().insert(ConnectInfo(peer));
                let request = request.map(Body::new);
                let server = Arc::clone(&server);
                // In a box, which is there only while there is a request: hyper keeps the room for what it is given
                // here as long as the connection lives.
                Box::pin(telemetry::continue_trace(request, move |request| async move {
                    let version = request.version();
                    let Ok::<_, Infallible>(mut response) = server.router.clone().call(request).await;
                    drop(running);
                    // HTTP/2 has a frame for it.
                    if server.stopping.load(Ordering::Relaxed) && version < Version::HTTP_2 {
                        response
                            .headers_mut()
                            .insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response)
                }))
            })
        };
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut look = std::pin::pin!(tokio::time::sleep(self.patience));
        let mut told = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended early");
                    }
                    return;
                }
                _ = stop.changed(), if !told => {}
                () = look.as_mut() => {
                    let now = Instant::now();
                    let until = activity.quiet_since().unwrap_or(now) + self.patience;
                    if until > now {
                        look.as_mut().reset(until);
                        continue;
                    }
                    // hyper's timeout begins once it knows the version: who sends nothing at all would stay for ever.
                    if told || !activity.used.load(Ordering::Relaxed) {
                        tracing::debug!("a connection was cut, its client being slow or silent");
                        return;
                    }
                }
            }
            told = true;
            connection.as_mut().graceful_shutdown();
            look.as_mut().reset(Instant::now() + self.patience);
        }
    }
}

#[cfg(target_os = "linux")]
fn bound_unacknowledged(stream: &TcpStream) {
    let limit = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, limit);
}

#[cfg(not(target_os = "linux"))]
fn bound_unacknowledged(_: &TcpStream) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_taken_than_files_can_be_open() {
        assert_eq!(room(16_384, None), 16_384);
        assert_eq!(room(16_384, Some(1_048_576)), 16_384);
        assert_eq!(room(16_384, Some(4096)), 4096 - 128);
        assert_eq!(room(16_384, Some(100)), 1);
    }
}
