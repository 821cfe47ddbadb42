//! Leases: of all nodes that could do a job, one does it.
//!
//! A lease is a row that one guarded statement takes or prolongs. The node that has it prolongs it whenever the job
//! is due; a node that stops lets go of it, and one that dies is followed by another when the lease is over. It
//! spares work and promises nothing more: a node that was paused may find that another has begun meanwhile, so each
//! job must bear to be done twice, by guarded statements of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::house::Tokenhouse;
use crate::base::clock::after;
use crate::base::entropy::{Entropy, EntropyError};
use crate::base::error::Error;
use crate::base::store::query;

/// How long a node that stops tries to let go of its leases; they end by themselves.
const LET_GO: Duration = Duration::from_secs(1);

/// This node among those on the same database.
pub(crate) struct Node {
    id: Uuid,
    leads: AtomicBool,
}

impl Node {
    /// Always by the system's chance: two nodes of one name would both believe to hold a lease.
    pub(crate) fn new() -> Result<Self, EntropyError> {
        let random = Entropy::system().bytes()?;
        Ok(Self {
            id: uuid::Builder::from_random_bytes(random).into_uuid(),
            leads: AtomicBool::new(false),
        })
    }
}

/// A lease that runs longer than any may was written by a clock that was wrong, and holds nobody up.
const TAKE: &str = "
    INSERT INTO leases (job, node, held_until)
    VALUES ($1, $2, $3)
    ON CONFLICT (job) DO UPDATE
    SET node = $2, held_until = $3
    WHERE leases.node = $2 OR leases.held_until <= $4 OR leases.held_until > $5";

const LET_ALL_GO: &str = "DELETE FROM leases WHERE node = $1";

impl Tokenhouse {
    /// Whether this node is the one to do `job` now. It stays the one for `lasting`, and longer by asking again in
    /// time. Give every lease of a job the same length.
    pub(crate) async fn leads(&self, job: &'static str, lasting: Duration) -> Result<bool, Error> {
        let now = self.0.clock.now();
        let taken = query(TAKE)
            .bind(job)
            .bind(self.0.node.id)
            .bind(after(now, lasting))
            .bind(now)
            .bind(after(now, lasting.saturating_mul(2)))
            .execute(&mut self.0.store.single())
            .await?;
        if taken > 0 {
            self.0.node.leads.store(true, Ordering::Relaxed);
        }
        Ok(taken > 0)
    }

    /// Lets another node take over at once. Where the database is away, the leases end by themselves.
    pub(crate) async fn let_leases_go(&self) {
        if !self.0.node.leads.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut single = self.0.store.single();
        let gone = query(LET_ALL_GO).bind(self.0.node.id).execute(&mut single);
        if !matches!(tokio::time::timeout(LET_GO, gone).await, Ok(Ok(_))) {
            tracing::debug!("the leases of this node could not be let go; they end by themselves");
        }
    }
}
