//! Notices over `LISTEN` and `NOTIFY`, on a connection of their own: one from a pool would forget them.
//!
//! They are sent here too, after the change they tell of has been committed. Inside its transaction `NOTIFY` would
//! take a lock of the whole server from before the commit is flushed until after it, so that such commits would wait
//! for the disk one by one (`docs/decisions/0006-what-may-be-revoked.md` has the figures).

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::notice::{Ends, Notice};

/// After a connection was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// After a server said that it cannot; it may be replaced by one that can.
const MUCH_LATER: Duration = Duration::from_secs(60);
/// A connection whose other side is gone is found out by asking.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the server may take to answer that.
const ANSWER: Duration = Duration::from_secs(5);
/// PostgreSQL takes less than 8 000 bytes.
const MOST_BYTES: usize = 6000;

/// How to listen.
pub(super) struct Line {
    config: Config,
    tls: MakeRustlsConnect,
    closed: watch::Sender<bool>,
}

enum End {
    /// Nobody is there any more to tell or to be told.
    Over,
    Lost(tokio_postgres::Error),
    /// The server knows no `LISTEN`, or does not allow it.
    Refused(tokio_postgres::Error),
    Silent,
}

impl Line {
    pub(super) fn new(mut config: Config, tls: MakeRustlsConnect) -> Self {
        // So that an operator sees which connection this is.
        let name = format!(
            "{} notices",
            config.get_application_name().unwrap_or("tokenhouse")
        );
        config.application_name(name);
        Self {
            config,
            tls,
            closed: watch::Sender::new(false),
        }
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Listens until it is closed, or nobody tells and hears any more. Needs a runtime.
    pub(super) fn open(&self, channel: &'static str, ends: Ends) {
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let mut closed = self.closed.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => {}
                () = keep_listening(&config, &tls, channel, ends) => {}
            }
        });
    }
}

async fn keep_listening(config: &Config, tls: &MakeRustlsConnect, channel: &'static str, mut ends: Ends) {
    let mut was_told = false;
    // Also while the server is away somebody must notice that nobody needs it any more.
    while !ends.to_tell.is_closed() {
        let wait = match listen(config, tls, channel, &mut ends, &mut was_told).await {
            End::Over => return,
            End::Silent => {
                tracing::debug!("the connection that notices come on is silent; there will be a new one");
                AGAIN
            }
            End::Lost(error) => {
                tracing::debug!(%error, "the connection that notices come on was lost; there will be a new one");
                AGAIN
            }
            End::Refused(error) => {
                // Once, not every minute.
                if !std::mem::replace(&mut was_told, true) {
                    tracing::info!(
                        %error,
                        "this database tells nodes nothing at once; they read its tables as often as the settings say"
                    );
                }
                MUCH_LATER
            }
        };
        sleep(wait).await;
    }
}

async fn listen(
    config: &Config,
    tls: &MakeRustlsConnect,
    channel: &'static str,
    ends: &mut Ends,
    was_told: &mut bool,
) -> End {
    let (client, mut connection) = match timeout(ANSWER, config.connect(tls.clone())).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return End::Lost(error),
        Err(_) => return End::Silent,
    };
    let told = ends.told.clone();
    let drive = async move {
        let mut messages = poll_fn(|context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(notice)) => {
                    for line in notice.payload().lines() {
                        if told.send(Notice::Told(line.to_owned())).await.is_err() {
                            return End::Over;
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => return End::Lost(error),
            }
        }
        End::Silent
    };
    tokio::select! {
        end = drive => end,
        end = converse(&client, channel, ends, was_told) => end,
    }
}

async fn converse(client: &Client, channel: &'static str, ends: &mut Ends, was_told: &mut bool) -> End {
    match timeout(ANSWER, client.batch_execute(&format!("LISTEN {channel}"))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.as_db_error().is_some() => return End::Refused(error),
        Ok(Err(error)) => return End::Lost(error),
        Err(_) => return End::Silent,
    }
    *was_told = false;
    if ends.told.send(Notice::Listening).await.is_err() {
        return End::Over;
    }
    let mut beats = interval(HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let answered = tokio::select! {
            line = ends.to_tell.recv() => {
                let Some(line) = line else { return End::Over };
                let text = with_those_that_wait(line, ends);
                let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                    [(&channel, Type::TEXT), (&text, Type::TEXT)];
                let sent = client.query_typed("SELECT pg_notify($1, $2)", &values);
                timeout(ANSWER, sent).await.map(|sent| sent.map(|_| ()))
            }
            _ = beats.tick() => timeout(ANSWER, client.batch_execute("SELECT 1")).await,
        };
        match answered {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Lost(error),
            Err(_) => return End::Silent,
        }
    }
}

/// As many lines as one notice takes.
fn with_those_that_wait(mut text: String, ends: &mut Ends) -> String {
    while text.len() < MOST_BYTES {
        let Ok(line) = ends.to_tell.try_recv() else { break };
        text.push('\n');
        text.push_str(&line);
    }
    text
}
