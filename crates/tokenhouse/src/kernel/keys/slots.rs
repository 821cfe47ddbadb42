//! The exchange of the master key. Nothing is derived from it, and nothing sealed under it, but one thing: the *root key*,
//! 32 random bytes that are made at the first start, of which all the rest is. The database holds the root key sealed,
//! in a slot for each master key that may open it. To exchange the master key is to add a slot, to give every node the
//! new key, and to remove the old slot: three steps, each one statement or a restart, with both keys good in between. No
//! session ends, no recovery code dies, nothing is sealed anew.
//!
//! A house from before there were slots has its master key for a root key, and goes on with it.

use jiff::Timestamp;

use super::{KeyringError, MasterKey, MasterKeyError, sql};
use crate::base::entropy::Entropy;
use crate::base::error::{Code, Error};
use crate::base::store::{Executor, Store, query};
use crate::kernel::event::{self, Event};
use crate::kernel::house::Tokenhouse;

/// What it is sealed for, so that nothing else that a master key sealed is taken for it.
const CONTEXT: &str = "root key";

/// A master key that opens the house, as an operator sees it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MasterKeyInfo {
    /// What tells it from others; nothing can be made of it.
    pub name: String,
    /// Whether it is the one this house was opened with.
    pub in_use: bool,
    /// Since when it opens the house.
    pub created_at: Timestamp,
}

const ALL: &str = "SELECT name, sealed, created_at FROM key_slots ORDER BY created_at, name";

const INSERT: &str = "
    INSERT INTO key_slots (name, sealed, created_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING";

/// Only where the one that stays is there: without it nobody could open the house.
const KEEP_ONLY: &str = "
    DELETE FROM key_slots
    WHERE name <> $1
      AND EXISTS (SELECT 1 FROM key_slots AS own WHERE own.name = $1)";

async fn all(on: &mut impl Executor) -> Result<Vec<(String, Vec<u8>, Timestamp)>, KeyringError> {
    Ok(query(ALL).all(on).await?)
}

/// The root key that `master` opens among these slots. Without any it is the master key itself.
pub(crate) fn root_among<'a>(
    master: &MasterKey,
    slots: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<MasterKey, MasterKeyError> {
    let own = master.name();
    let mut are_there = false;
    for (name, sealed) in slots {
        if name == own {
            return MasterKey::from_bytes(&master.open(CONTEXT, sealed)?);
        }
        are_there = true;
    }
    if are_there {
        Err(MasterKeyError::Wrong)
    } else {
        Ok(master.clone())
    }
}

/// The root key of the house in a database; nothing where there is no house yet.
///
/// # Errors
/// When `master` opens none of its slots.
pub async fn root_key(master: &MasterKey, on: &mut impl Executor) -> Result<Option<MasterKey>, KeyringError> {
    // In this order: a slot is made before anything else, and what another node makes in between would else look like
    // a house without.
    if !sql::any(on).await? {
        return Ok(None);
    }
    let slots = all(on).await?;
    let slots = slots
        .iter()
        .map(|(name, sealed, _)| (name.as_str(), sealed.as_slice()));
    Ok(Some(root_among(master, slots)?))
}

/// The same, making one for a new house. Of nodes that do so together one is first, and the others take its key.
pub(crate) async fn find_root_key(
    master: &MasterKey,
    store: &Store,
    now: Timestamp,
) -> Result<MasterKey, KeyringError> {
    if let Some(root) = root_key(master, &mut store.read().await?).await? {
        return Ok(root);
    }
    let root = MasterKey::random(&Entropy::system())?;
    query(INSERT)
        .bind(master.name())
        .bind(root.sealed_under(master)?)
        .bind(now)
        .execute(&mut store.single())
        .await?;
    // Perhaps another node's.
    let root = root_key(master, &mut store.read().await?).await?;
    root.ok_or_else(|| MasterKeyError::Wrong.into())
}

impl MasterKey {
    fn sealed_under(&self, master: &Self) -> Result<Vec<u8>, MasterKeyError> {
        master.seal(CONTEXT, self.bytes())
    }
}

impl Tokenhouse {
    /// The master keys that open this house, oldest first; none where it is from before they could be exchanged.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyInfo>, Error> {
        let slots = all(&mut self.0.store.read().await?).await?;
        let own = &self.0.keys.slot;
        let info = |(name, _, created_at): (String, Vec<u8>, Timestamp)| MasterKeyInfo {
            in_use: name == *own,
            name,
            created_at,
        };
        Ok(slots.into_iter().map(info).collect())
    }

    /// Lets another master key open this house too. Gives its name.
    ///
    /// # Errors
    /// `conflict` where the house is from before master keys could be exchanged; when the database cannot be reached.
    pub async fn add_master_key(&self, new: &MasterKey) -> Result<String, Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        if all(&mut tx).await?.is_empty() {
            return Err(Error::new(
                Code::Conflict,
                "this house is from before master keys could be exchanged: all it holds is derived from its master key",
            ));
        }
        let sealed = self.0.keys.master().sealed_under(new).map_err(Error::internal)?;
        query(INSERT)
            .bind(new.name())
            .bind(sealed)
            .bind(now)
            .execute(&mut tx)
            .await?;
        self.note_master_key(&mut tx, "master_key.added", now).await?;
        tx.commit().await?;
        Ok(new.name())
    }

    /// Lets only the master key that this house was opened with open it. Gives how many others did.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn remove_other_master_keys(&self) -> Result<u64, Error> {
        let mut tx = self.0.store.write().await?;
        let removed = query(KEEP_ONLY)
            .bind(self.0.keys.slot.as_str())
            .execute(&mut tx)
            .await?;
        let now = self.0.clock.now();
        self.note_master_key(&mut tx, "master_key.others_removed", now)
            .await?;
        tx.commit().await?;
        Ok(removed)
    }

    async fn note_master_key(
        &self,
        tx: &mut crate::base::store::Tx,
        kind: &'static str,
        now: Timestamp,
    ) -> Result<(), Error> {
        event::write(tx, &self.0.entropy, Event::new(kind, now)).await
    }
}
