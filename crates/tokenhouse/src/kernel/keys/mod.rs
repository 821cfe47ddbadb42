//! The keyring: which key signs, which others still verify, and what is published.
//!
//! A key is `next` (published, so that caches know it before it signs), `active` (the one that signs),
//! `retired` (verifying until the last token it signed has died), then gone. There is at most one `next`
//! and one `active`, and the database says so with unique indexes, so nodes that rotate at once agree.

mod master;
pub(crate) mod routes;
mod signing;
mod slots;
mod sql;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokenhouse_verify::{Algorithm, Jwks, KeySet, header_segment};
use zeroize::Zeroizing;

pub use self::master::{MasterKey, MasterKeyError};
pub use self::signing::{KeyError, SigningKey};
pub use self::slots::{MasterKeyInfo, root_key};
pub(crate) use self::slots::{find_root_key, root_among};
use super::event::{self, Event};
use super::house::Tokenhouse;
use super::look::{Looks, PATIENCE, unknown};
use super::token::all_dead;
use crate::base::clock::before;
use crate::base::entropy::Entropy;
use crate::base::error::{Code, Error};
use crate::base::settings::Settings;
use crate::base::store::{Store, Tx};

/// A key as an operator sees it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeyInfo {
    /// Its name in token headers.
    pub kid: String,
    /// What it signs.
    pub algorithm: String,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When a retired key goes.
    pub expires_at: Option<Timestamp>,
}

/// Why the house has no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The master key.
    #[error(transparent)]
    Master(#[from] MasterKeyError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::base::store::StoreError),
    /// What the database holds makes no sense.
    #[error("the signing key {0} in the database cannot be read: {1}")]
    Unreadable(String, String),
    /// Nodes kept rotating at the same time.
    #[error("another node is rotating keys at this moment; try again")]
    Contended,
}

impl From<KeyringError> for Error {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => error.into(),
            KeyringError::Contended => Self::new(
                Code::Unavailable,
                "another node is rotating keys at this moment; try again",
            )
            .retry_after(std::time::Duration::from_secs(1)),
            other => Self::internal(other),
        }
    }
}

/// Between two looks for unknown keys.
const LOOKS_APART: Duration = Duration::from_millis(50);

/// What is in use, swapped as a whole.
pub(crate) struct Ring {
    pub(crate) active: Arc<SigningKey>,
    pub(crate) header: String,
    pub(crate) jwks: String,
    activated_at: Timestamp,
    infos: Vec<KeyInfo>,
}

/// The keys of a house.
pub(crate) struct Keyring {
    /// The root key.
    master: MasterKey,
    /// The name of the master key that opened it.
    slot: String,
    ring: ArcSwap<Ring>,
    reloading: tokio::sync::Mutex<()>,
    /// The looks for a key that this node does not know.
    looking: Looks<()>,
}

/// Where the master key comes from, in the order of precedence.
///
/// # Errors
/// When it is nowhere, or not what it should be.
pub(crate) async fn find_master_key(
    settings: &Settings,
    file: Option<PathBuf>,
    store: &Store,
    entropy: &Entropy,
) -> Result<MasterKey, KeyringError> {
    if let Some(text) = &settings.master_key {
        return Ok(MasterKey::parse(text)?);
    }
    let file = file.ok_or(MasterKeyError::Missing)?;
    // A new file beside keys that an old one sealed would only hide what went wrong.
    let may_create = !sql::any(&mut store.read().await?).await?;
    Ok(MasterKey::from_file(&file, may_create, entropy)?)
}

/// The master key that is there, without making one.
pub(crate) fn given_master_key(
    settings: &Settings,
    file: Option<PathBuf>,
    entropy: &Entropy,
) -> Result<MasterKey, MasterKeyError> {
    match &settings.master_key {
        Some(text) => MasterKey::parse(text),
        None => MasterKey::from_file(&file.ok_or(MasterKeyError::Missing)?, false, entropy),
    }
}

impl Keyring {
    /// Loads the keys; makes or activates one where the settings ask for another than what signs now, unless that is
    /// to be kept.
    pub(crate) async fn load(
        master: MasterKey,
        slot: String,
        store: &Store,
        settings: &Settings,
        keep: bool,
        now: Timestamp,
    ) -> Result<(Self, KeySet), KeyringError> {
        let wanted = wanted_secret(settings)?;
        for _ in 0..5 {
            let rows = sql::all(&mut store.read().await?).await?;
            let (ring, keys) = match read_ring(&master, rows)? {
                Some((ring, keys)) if keep || fits(&ring.active, settings, wanted.as_ref()) => (ring, keys),
                _ => {
                    let key = match &wanted {
                        Some(secret) => SigningKey::from_private(Algorithm::Hs256, secret.clone())?,
                        None => generate(settings.tokens.algorithm).await?,
                    };
                    let mut tx = store.write().await?;
                    match make_active(&mut tx, &master, &key, settings, now).await {
                        Ok(()) => tx.commit().await?,
                        Err(KeyringError::Contended) => {}
                        Err(error) => return Err(error),
                    }
                    continue;
                }
            };
            return Ok((
                Self {
                    master,
                    slot,
                    ring: ArcSwap::from_pointee(ring),
                    reloading: tokio::sync::Mutex::new(()),
                    looking: Looks::new((), LOOKS_APART),
                },
                keys,
            ));
        }
        Err(KeyringError::Contended)
    }

    pub(crate) fn ring(&self) -> arc_swap::Guard<Arc<Ring>> {
        self.ring.load()
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }
}

/// A shared secret that the settings bring.
fn wanted_secret(settings: &Settings) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    if settings.tokens.algorithm != Algorithm::Hs256 {
        return Ok(None);
    }
    Ok(settings
        .tokens
        .secret
        .as_ref()
        .map(|secret| Zeroizing::new(secret.expose().as_bytes().to_vec())))
}

fn fits(active: &SigningKey, settings: &Settings, secret: Option<&Zeroizing<Vec<u8>>>) -> bool {
    active.algorithm() == settings.tokens.algorithm
        && secret.is_none_or(|secret| {
            aws_lc_rs::constant_time::verify_slices_are_equal(secret, active.private()).is_ok()
        })
}

/// RSA keys take a second of computing, which must not stop the requests of this thread.
async fn generate(algorithm: Algorithm) -> Result<SigningKey, KeyError> {
    tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
        .await
        .map_err(|_| KeyError::Failed)?
}

fn read_ring(master: &MasterKey, rows: Vec<sql::KeyRow>) -> Result<Option<(Ring, KeySet)>, KeyringError> {
    let mut active = None;
    let mut verifying = Vec::with_capacity(rows.len());
    let mut jwks = Vec::with_capacity(rows.len());
    let mut infos = Vec::with_capacity(rows.len());
    for row in rows {
        let unreadable = |error: String| KeyringError::Unreadable(row.kid.clone(), error);
        let algorithm: Algorithm = row
            .algorithm
            .parse()
            .map_err(|_| unreadable("unknown algorithm".to_owned()))?;
        let key = SigningKey::from_private(algorithm, master.open(&row.kid, &row.sealed)?)
            .map_err(|error| unreadable(error.to_string()))?;
        verifying.push(key.verifying_key()?);
        jwks.extend(key.public().cloned());
        if row.state == "active" {
            active = Some((key, row.activated_at.unwrap_or(row.created_at)));
        }
        infos.push(KeyInfo {
            kid: row.kid,
            algorithm: row.algorithm,
            state: row.state,
            created_at: row.created_at,
            activated_at: row.activated_at,
            expires_at: row.expires_at,
        });
    }
    let Some((active, activated_at)) = active else {
        return Ok(None);
    };
    let keys = KeySet::new(verifying)
        .map_err(|error| KeyringError::Unreadable(active.kid().to_owned(), error.to_string()))?;
    let jwks = serde_json::to_string(&Jwks { keys: jwks })
        .map_err(|error| KeyringError::Unreadable(active.kid().to_owned(), error.to_string()))?;
    // The spelling that the verifier knows without parsing.
    let header = header_segment(active.algorithm(), active.kid(), Some("at+jwt"));
    Ok(Some((
        Ring {
            active: Arc::new(active),
            header,
            jwks,
            activated_at,
            infos,
        },
        keys,
    )))
}

/// Puts `key` in the place of the one that signs.
async fn make_active(
    tx: &mut Tx,
    master: &MasterKey,
    key: &SigningKey,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), KeyringError> {
    sql::drop_next(tx, key.kid()).await?;
    sql::retire_active(tx, now, all_dead(settings, now), key.kid(), Timestamp::MAX).await?;
    if sql::insert(tx, key, "active", master.seal(key.kid(), key.private())?, now).await? == 0 {
        sql::activate(tx, now, key.kid()).await?;
    }
    // Another node's key may have taken the one place since ours was made free.
    let signs = sql::all(tx)
        .await?
        .into_iter()
        .any(|row| row.kid == key.kid() && row.state == "active");
    if signs {
        Ok(())
    } else {
        Err(KeyringError::Contended)
    }
}

impl Tokenhouse {
    /// The keys there are, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.0.keys.ring().infos.clone()
    }

    /// Retires the key that signs, puts `next` in its place and makes a new `next`.
    ///
    /// # Errors
    /// When the database cannot be reached, or another node rotates at the same moment.
    pub async fn rotate_keys(&self) -> Result<(), Error> {
        self.rotate_keys_older_than(Timestamp::MAX).await
    }

    /// Rotates if the key that signs has done so since `activated_before`; otherwise another node was faster.
    async fn rotate_keys_older_than(&self, activated_before: Timestamp) -> Result<(), Error> {
        let now = self.0.clock.now();
        let settings = &self.0.settings;
        let shared_secret = wanted_secret(settings).map_err(KeyringError::from)?.is_some();
        if shared_secret {
            return Err(Error::new(
                Code::Forbidden,
                "the HS256 secret comes from the settings: change tokens.secret there",
            ));
        }
        let (fresh, sealed) = self.fresh_key().await?;
        let mut tx = self.0.store.write().await?;
        let next = sql::all(&mut tx)
            .await?
            .into_iter()
            .find(|row| row.state == "next")
            .map(|row| row.kid);
        let Some(next) = next else {
            // None was published ahead. One is now, so that the rotation after this one finds caches warm.
            make_active(&mut tx, self.0.keys.master(), &fresh, settings, now).await?;
            self.rotated(&mut tx, fresh.kid(), now).await?;
            tx.commit().await?;
            self.tell_of_keys();
            self.reload_keys().await?;
            self.publish_next(now).await?;
            return self.reload_keys().await;
        };
        if sql::retire_active(&mut tx, now, all_dead(settings, now), &next, activated_before).await? == 0 {
            return Err(KeyringError::Contended.into());
        }
        // Others may have rotated twice since it was read: a key that has been retired must not sign again.
        if sql::promote(&mut tx, now, &next).await? == 0 {
            return Err(KeyringError::Contended.into());
        }
        sql::insert(&mut tx, &fresh, "next", sealed, now).await?;
        self.rotated(&mut tx, &next, now).await?;
        tx.commit().await?;
        self.tell_of_keys();
        self.reload_keys().await
    }

    /// Brings in a key made elsewhere (PEM) and makes it the one that signs; gives its `kid`.
    ///
    /// # Errors
    /// When it is no P-256, Ed25519 or RSA (at least 2048 bits) key, or signs another algorithm than the
    /// settings ask for.
    pub async fn import_key(&self, pem: &str) -> Result<String, Error> {
        let invalid = |error: KeyError| Error::new(Code::InvalidFields, error.to_string());
        let wanted = self.0.settings.tokens.algorithm;
        let key = SigningKey::from_pem(pem, wanted).map_err(invalid)?;
        if key.algorithm() != wanted {
            return Err(Error::new(
                Code::InvalidFields,
                format!(
                    "the key signs {}, but tokens.algorithm is {wanted}; set it to {0} first",
                    key.algorithm()
                ),
            ));
        }
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        make_active(&mut tx, self.0.keys.master(), &key, &self.0.settings, now).await?;
        self.rotated(&mut tx, key.kid(), now).await?;
        tx.commit().await?;
        self.tell_of_keys();
        self.reload_keys().await?;
        Ok(key.kid().to_owned())
    }

    async fn rotated(&self, tx: &mut Tx, kid: &str, now: Timestamp) -> Result<(), Error> {
        event::write(
            tx,
            &self.0.entropy,
            Event {
                data: serde_json::json!({ "kid": kid }),
                ..Event::new("key.rotated", now)
            },
        )
        .await
    }

    /// Follows what other nodes did to the keys.
    pub(crate) async fn reload_keys(&self) -> Result<(), Error> {
        // One at a time, so that nobody puts back what they read before another's change.
        let _alone = self.0.keys.reloading.lock().await;
        let rows = sql::all(&mut self.0.store.read().await?).await?;
        let same = {
            let ring = self.0.keys.ring();
            ring.infos.len() == rows.len()
                && ring
                    .infos
                    .iter()
                    .zip(&rows)
                    .all(|(info, row)| info.kid == row.kid && info.state == row.state)
        };
        if !same && let Some((ring, keys)) = read_ring(self.0.keys.master(), rows)? {
            self.0.verifier.set_keys(keys);
            self.0.keys.ring.store(Arc::new(ring));
            tracing::info!(
                kid = self.0.keys.ring().active.kid(),
                "the signing keys were reloaded"
            );
        }
        Ok(())
    }

    /// Looks for a key that another node may have begun to sign with. The next who come share a look, so that no token is
    /// refused for one that somebody else's forged token has used up, and forged names of keys cost twenty statements a
    /// second at most.
    ///
    /// # Errors
    /// When the database cannot be asked in time: the token may be good.
    pub(crate) async fn look_for_new_keys(&self) -> Result<(), Error> {
        let clock = &self.0.clock;
        let look = async {
            match self.0.keys.looking.since(clock, clock.steady()).await? {
                None => Ok(()),
                Some(turn) => turn.end(clock, self.reload_keys().await),
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| Err(unknown()))
    }

    /// What the clock asks for: publish a `next`, rotate an old `active`, drop what no token needs any more.
    pub(crate) async fn tend_keys(&self) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.store.write().await?;
        sql::sweep(&mut tx, now).await?;
        tx.commit().await?;
        let settings = &self.0.settings;
        let period = *settings.tokens.rotate_after;
        if !period.is_zero() && wanted_secret(settings).map_err(KeyringError::from)?.is_none() {
            // Another node may have rotated since this one last looked.
            self.reload_keys().await?;
            let due = before(now, period);
            if self.0.keys.ring().activated_at <= due {
                self.rotate_keys_older_than(due).await?;
            }
            self.publish_next(now).await?;
        }
        self.reload_keys().await
    }

    /// A new key as the settings want it, and its private half sealed.
    async fn fresh_key(&self) -> Result<(SigningKey, Vec<u8>), KeyringError> {
        let fresh = generate(self.0.settings.tokens.algorithm).await?;
        let sealed = self.0.keys.master().seal(fresh.kid(), fresh.private())?;
        Ok((fresh, sealed))
    }

    async fn publish_next(&self, now: Timestamp) -> Result<(), Error> {
        if self.0.keys.ring().infos.iter().any(|info| info.state == "next") {
            return Ok(());
        }
        let (fresh, sealed) = self.fresh_key().await?;
        sql::insert(&mut self.0.store.single(), &fresh, "next", sealed, now).await?;
        self.tell_of_keys();
        Ok(())
    }
}
