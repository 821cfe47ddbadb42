//! A PostgreSQL server that can be made to hang: a Unix socket in front of the real one.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Forwards to a server, until it is told to hold everything back.
pub struct Proxy {
    url: String,
    frozen: Arc<watch::Sender<bool>>,
    _folder: TempDir,
}

impl Proxy {
    pub fn before(url: &str) -> Self {
        // The path of a Unix socket is short.
        let folder = tempfile::Builder::new()
            .prefix("th-px.")
            .tempdir_in("/tmp")
            .unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let server: Config = url.parse().unwrap();
        let own = format!(
            "postgres://{}@/{}?host={}",
            server.get_user().unwrap(),
            server.get_dbname().unwrap(),
            folder.path().display()
        );
        let frozen = Arc::new(watch::Sender::new(false));
        let gate = frozen.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), gate.clone()));
            }
        });
        Self {
            url: own,
            frozen,
            _folder: folder,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Nothing gets through any more, and nothing is lost or refused either.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

async fn forward(client: UnixStream, server: Config, gate: watch::Receiver<bool>) {
    let port = server.get_ports().first().copied().unwrap_or(5432);
    match server.get_hosts().first() {
        Some(Host::Unix(folder)) => {
            let path: PathBuf = folder.join(format!(".s.PGSQL.{port}"));
            both(client, UnixStream::connect(path).await.unwrap(), gate).await;
        }
        Some(Host::Tcp(host)) => {
            let server = TcpStream::connect((host.as_str(), port)).await.unwrap();
            both(client, server, gate).await;
        }
        None => panic!("the test's server has no address"),
    }
}

async fn both(client: UnixStream, server: impl AsyncRead + AsyncWrite, gate: watch::Receiver<bool>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    // Whichever end closes first, the other follows.
    tokio::select! {
        () = one_way(from_client, to_server, gate.clone()) => {}
        () = one_way(from_server, to_client, gate) => {}
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if gate.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
