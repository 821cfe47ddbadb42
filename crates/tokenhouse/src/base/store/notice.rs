//! What programs on one database tell each other at once.
//!
//! A notice may get lost: with its connection, when there are too many, on what speaks PostgreSQL's protocol without
//! `LISTEN`. So it only ever makes quicker what reading the tables would bring, and who listens reads them when told
//! that notices may have been missed.

use tokio::sync::mpsc;

/// Notices that wait to be sent; more are dropped.
const WAITING: usize = 4096;

/// Tells all programs that listen on the same database, this one too.
#[derive(Clone, Debug)]
pub struct Notifier(mpsc::Sender<String>);

/// What is told by all programs on the same database.
#[derive(Debug)]
pub struct Notices(mpsc::Receiver<Notice>);

/// What there is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is listened from now on; what was told before was missed.
    Listening,
    /// Somebody said this.
    Told(String),
}

/// The other ends, for an engine.
pub(super) struct Ends {
    pub(super) to_tell: mpsc::Receiver<String>,
    pub(super) told: mpsc::Sender<Notice>,
}

pub(super) fn pair() -> (Notifier, Notices, Ends) {
    let (notifier, to_tell) = mpsc::channel(WAITING);
    let (told, notices) = mpsc::channel(WAITING);
    (Notifier(notifier), Notices(notices), Ends { to_tell, told })
}

impl Notifier {
    /// Sends it when there is a connection; never waits. One line of at most 1 000 bytes.
    pub fn tell(&self, line: String) {
        let _ = self.0.try_send(line);
    }
}

impl Notices {
    /// The next one; nothing when there will be none any more, as on an engine that one program has to itself.
    pub async fn next(&mut self) -> Option<Notice> {
        self.0.recv().await
    }
}
