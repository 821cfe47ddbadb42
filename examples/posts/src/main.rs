//! `cargo run -p posts`; see the README.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use posts::config::{Config, variable};
use tokenhouse::{Secret, Tokenhouse};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("posts: {error:#}");
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
    let config = Config::from_environment()?;
    let database = variable("DATABASE_URL").unwrap_or("sqlite://posts.db".to_owned());
    let bind = variable("BIND").unwrap_or("127.0.0.1:8000".to_owned());

    let builder = Tokenhouse::builder()
        .database(&database)
        // Made at the first start. Several nodes on one PostgreSQL are given the same MASTER_KEY instead.
        .master_key_file("posts.master-key")
        .configure(|settings| settings.master_key = variable("MASTER_KEY").map(Secret::from));
    let house = posts::rules(builder, &config).build().await?;
    let routes = posts::routes(house.clone());

    let listener = TcpListener::bind(&bind)
        .await
        .with_context(|| format!("cannot listen on {bind}"))?;
    println!("posts listens on http://{}", listener.local_addr()?);
    axum::serve(
        listener,
        routes.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await?;
    house.close().await;
    Ok(())
}
