//! `tokenhouse dev`: everything on this machine, nothing to configure.

mod mailbox;

use std::path::Path;

use clap::Args;
use tokenhouse::base::http::address::is_loopback;
use tokenhouse::{Secret, Tokenhouse};
use tokio::time::Instant;

use self::mailbox::Mailbox;
use super::{build, host_of, load, runtime};
use crate::config::{Config, Places};
use crate::failure::Failure;
use crate::serve::{self, Signals};
use crate::telemetry;

const FOLDER: &str = "tokenhouse-data";
pub(super) const DATABASE: &str = "tokenhouse-data/tokenhouse.db";

/// Run on this machine, for development: nothing to configure.
///
/// Listens on a loopback address only, keeps accounts and keys in ./tokenhouse-data, catches all mail and shows it at
/// /dev/mail, and prints a request to begin with. Everything can be configured as for `serve`. Delete the folder to begin anew.
#[derive(Args)]
pub(crate) struct Dev {
    /// The port; 0 takes a free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
}

impl Dev {
    pub(crate) fn run(self, places: &Places) -> Result<(), Failure> {
        let mut config = load(places)?;
        if let Some(port) = self.port {
            config.server.listen = format!("{}:{port}", host_of(&config.server.listen));
        }
        if !is_loopback(host_of(&config.server.listen)) {
            return Err(Failure::usage(config.told(
                "listen",
                "`tokenhouse dev` is for this machine only, such as 127.0.0.1:8080; `tokenhouse serve` is for others",
            )));
        }
        let telemetry = telemetry::begin(&config.server.log)?;
        let deadline = runtime()?.block_on(run(config))?;
        telemetry.end(deadline);
        Ok(())
    }
}

async fn run(mut config: Config) -> Result<Instant, Failure> {
    let signals = Signals::hear()?;
    // The port first: when it is taken nothing else has happened.
    let listener = serve::listen(&config.server.listen).await?;
    let port = listener.local_addr()?.port();
    if !config.is_given("public_url") {
        config.settings.public_url = format!("http://localhost:{port}");
    }
    if !config.is_given("database_url") {
        make_private(Path::new(FOLDER)).map_err(|error| {
            Failure::new(format!("the directory ./{FOLDER} cannot be made here: {error}"))
        })?;
        config.settings.database_url = Secret::from(format!("sqlite://{DATABASE}"));
    }
    // Whatever the configuration says: nobody is to get mail from a machine that something is tried out on.
    let mailbox = Mailbox::default();
    let house = build(&config, Tokenhouse::builder().mailer(mailbox.catch())).await?;
    println!("{}", banner(&config, port));
    serve::serve(house, listener, &config.server, signals, mailbox.routes()).await
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other,
    }
}

fn banner(config: &Config, port: u16) -> String {
    let host = host_of(&config.server.listen);
    let address = if host == "127.0.0.1" {
        format!("http://localhost:{port}")
    } else {
        format!("http://{host}:{port}")
    };
    let place = if config.is_given("database_url") {
        "in the configured database".to_owned()
    } else {
        format!("in ./{FOLDER}")
    };
    let docs = if config.settings.http.docs {
        format!("\n  API docs    {address}/docs")
    } else {
        String::new()
    };
    format!(
        "\n  Tokenhouse  {address}{docs}\n  Mail        {address}/dev/mail\n  Data        {place}\n\n  Try it:\n\n    \
         curl {address}/auth/signup -H 'content-type: application/json' \
         -d '{{\"email\":\"ada@example.org\",\"password\":\"correct horse battery staple\"}}'\n\n  \
         Ctrl-C stops it.\n"
    )
}
