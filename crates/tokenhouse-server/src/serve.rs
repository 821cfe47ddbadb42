//! The HTTP server around the house: bounded connections, bounded heads, and an end that loses no request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokenhouse::Tokenhouse;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tower::Service as _;

use crate::config::table::ServerSettings;
use crate::failure::Failure;
use crate::telemetry;

/// Streams that one HTTP/2 connection may have open at once.
const STREAMS: u32 = 128;
/// How long to wait after the system could not accept, which is when it has no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

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

/// Serves until a signal, then finishes what is in flight and closes the house.
pub(crate) async fn serve(
    house: Tokenhouse,
    listener: TcpListener,
    settings: &ServerSettings,
    mut signals: Signals,
) -> Result<(), Failure> {
    raise_open_files();
    let graceful = GracefulShutdown::new();
    let server = Arc::new(Server {
        router: house.service(),
        builder: builder(settings),
        header_timeout: *settings.http.header_timeout,
    });
    let room = Arc::new(Semaphore::new(settings.http.max_connections));
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = accept(&listener, &server, &room, &graceful) => "",
    };
    drop(listener);
    tracing::info!(
        signal,
        connections = graceful.count(),
        "stopping: no new connections are taken, requests in flight are finished"
    );
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(*settings.shutdown_timeout) => {
            tracing::warn!("requests were still in flight after shutdown_timeout; they were cut off");
        }
        _ = signals.next() => return Err(Failure::new("stopped at once by a second signal")),
    }
    house.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Many systems start programs with 1024 open files for the sake of `select(2)`, which nothing here uses, and let
/// them ask for more.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
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
    header_timeout: Duration,
}

/// Accepts as long as it is polled.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    room: &Arc<Semaphore>,
    graceful: &GracefulShutdown,
) {
    loop {
        // Waiting for room before accepting leaves the rest in the system's queue, where they cost nothing.
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = Arc::clone(server).connection(stream, peer, graceful.watcher());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
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

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // An answer is one small write, which must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let begun = Arc::new(AtomicBool::new(false));
        let service = {
            let (router, begun) = (self.router.clone(), Arc::clone(&begun));
            service_fn(move |mut request: Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(ConnectInfo(peer));
                let request = request.map(Body::new);
                let mut router = router.clone();
                telemetry::continue_trace(request, move |request| async move {
                    let Ok::<_, Infallible>(response) = router.call(request).await;
                    Ok::<_, Infallible>(response)
                })
            })
        };
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = watcher.watch(connection);
        let mut connection = std::pin::pin!(connection);
        // hyper's timeout begins once it knows the version: who sends nothing at all would stay for ever.
        let first_head = tokio::time::sleep(self.header_timeout);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = first_head => {
                if !begun.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended early");
        }
    }
}
