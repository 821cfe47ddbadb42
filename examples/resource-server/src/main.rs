//! `cargo run -p resource-server`; see the README.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use resource_server::{Config, Guard, routes};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("resource-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return Err(error).context("the file .env cannot be read");
    }
    tracing_subscriber::fmt().init();
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let issuer = variable("ISSUER").context("ISSUER is not set: the public_url of the Tokenhouse")?;
    let guard = Guard::new(Config {
        audience: variable("AUDIENCE").unwrap_or(issuer.clone()),
        issuer,
        fetch_again_after: Duration::from_secs(1),
        refuse_after: variable("REFUSE_AFTER_SECONDS")
            .map(|seconds| seconds.parse().map(Duration::from_secs))
            .transpose()
            .context("REFUSE_AFTER_SECONDS is no number of seconds")?,
    })
    .await?;
    let follower = Arc::clone(&guard);
    tokio::spawn(async move { follower.follow_keys().await });
    let follower = Arc::clone(&guard);
    tokio::spawn(async move { follower.follow_revocations().await });

    let bind = variable("BIND").unwrap_or("127.0.0.1:8001".to_owned());
    let listener = TcpListener::bind(&bind)
        .await
        .with_context(|| format!("cannot listen on {bind}"))?;
    println!("resource-server listens on http://{}", listener.local_addr()?);
    axum::serve(listener, routes(guard)).await?;
    Ok(())
}
