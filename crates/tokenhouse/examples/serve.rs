//! A house on an ephemeral port and a database that goes away with it: what the browser tests visit when they
//! are not told to start the real program.
//!
//! Prints its address, and ends when its standard input does, so that it never outlives who started it.

use axum::Router;
use tokenhouse::Tokenhouse;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mount = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let folder = tempfile::tempdir()?;
    let house = Tokenhouse::builder()
        .database(&format!("sqlite://{}", folder.path().join("house.db").display()))
        .public_url(&format!("http://{address}"))
        .build()
        .await?;
    let service = match mount.as_deref() {
        Some(mount) => Router::new().nest(mount, house.router()),
        None => house.service(),
    };
    println!("http://{address}{}", mount.unwrap_or_default());
    axum::serve(listener, service)
        .with_graceful_shutdown(async {
            // Whatever it is told, only the end matters.
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        })
        .await?;
    house.close().await;
    Ok(())
}
