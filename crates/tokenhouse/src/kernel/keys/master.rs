//! The master key: what opens the root key in the database, of which everything else is made. It comes from the
//! settings, or lies in a file of mode 0600 beside the embedded database; it is never in the database.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::secret::Secret;

const LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;
/// The first byte of everything sealed, so that the form can change one day.
const VERSION: u8 = 1;

/// Why there is no master key to work with; each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The setting holds something else.
    #[error("master_key must be 32 random bytes in hex or base64; `openssl rand -hex 32` makes one")]
    Malformed,
    /// PostgreSQL is shared by nodes, so the key cannot be made on one of them.
    #[error(
        "master_key is not set: on PostgreSQL it must be given, the same on every node \
         (TOKENHOUSE_MASTER_KEY or TOKENHOUSE_MASTER_KEY_FILE); `openssl rand -hex 32` makes one"
    )]
    Missing,
    /// The database holds sealed keys, and the file that opens them is not there.
    #[error(
        "the master key file {0} is missing, but the database holds keys sealed under it: put the file back or set master_key"
    )]
    FileMissing(PathBuf),
    /// The file cannot be used.
    #[error("the master key file {0}: {1}")]
    File(PathBuf, String),
    /// The key is not the one that sealed what is in the database.
    #[error(
        "the master key is not the one that the keys in this database were sealed under; nothing was changed"
    )]
    Wrong,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] crate::base::entropy::EntropyError),
}

/// 32 bytes that others are derived from: the operator's master key, or the root key that it opens.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; LENGTH]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

struct OkmLength;

impl KeyType for OkmLength {
    fn len(&self) -> usize {
        LENGTH
    }
}

impl MasterKey {
    /// Reads 32 bytes in hex or base64.
    ///
    /// # Errors
    /// [`MasterKeyError::Malformed`].
    pub fn parse(text: &Secret) -> Result<Self, MasterKeyError> {
        let text = text.expose().trim().as_bytes();
        [&HEXLOWER_PERMISSIVE, &BASE64, &BASE64URL_NOPAD]
            .into_iter()
            .find_map(|encoding| {
                <[u8; LENGTH]>::try_from(Zeroizing::new(encoding.decode(text).ok()?).as_slice()).ok()
            })
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .ok_or(MasterKeyError::Malformed)
    }

    /// Reads the file beside the embedded database; makes it when `may_create` and it is not there.
    ///
    /// # Errors
    /// When it is missing, unreadable, readable by others, or holds something else.
    pub fn from_file(path: &Path, may_create: bool, entropy: &Entropy) -> Result<Self, MasterKeyError> {
        let file_error = |error: std::io::Error| MasterKeyError::File(path.to_owned(), error.to_string());
        match std::fs::read_to_string(path) {
            Ok(text) => {
                refuse_if_readable_by_others(path)?;
                Self::parse(&Secret::from(text))
                    .map_err(|error| MasterKeyError::File(path.to_owned(), error.to_string()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && may_create => {
                let key = Self(Zeroizing::new(entropy.bytes()?));
                let text = Zeroizing::new(format!("{}\n", HEXLOWER.encode(&*key.0)));
                // A name of its own each time: what a crash left behind is in nobody's way.
                let mut beside = path.as_os_str().to_owned();
                beside.push(format!(".{}.new", HEXLOWER.encode(&entropy.bytes::<8>()?)));
                match make(path, Path::new(&beside), &text) {
                    Ok(()) => Ok(key),
                    // Another process was faster: its key is the one.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        Self::from_file(path, false, entropy)
                    }
                    Err(error) => Err(file_error(error)),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(MasterKeyError::FileMissing(path.to_owned()))
            }
            Err(error) => Err(file_error(error)),
        }
    }

    /// A new one.
    pub(super) fn random(entropy: &Entropy) -> Result<Self, MasterKeyError> {
        Ok(Self(Zeroizing::new(entropy.bytes()?)))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, MasterKeyError> {
        let bytes = <[u8; LENGTH]>::try_from(bytes).map_err(|_| MasterKeyError::Wrong)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// What tells it from others in the database; nothing can be made of it.
    #[must_use]
    pub fn name(&self) -> String {
        HEXLOWER.encode(&self.derive("name of a master key")[..8])
    }

    /// A key for one purpose; knowing it tells nothing of the master key or of other purposes (HKDF, RFC 5869).
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; LENGTH]> {
        let mut key = Zeroizing::new([0; LENGTH]);
        let pseudo_random = Salt::new(HKDF_SHA256, b"tokenhouse").extract(&*self.0);
        let info = [purpose.as_bytes()];
        // Both calls fail only for lengths beyond 255 hashes.
        if let Ok(okm) = pseudo_random.expand(&info, OkmLength) {
            let _ = okm.fill(&mut *key);
        }
        key
    }

    /// Encrypts `secret` so that it opens only with the same `context` (AES-256-GCM).
    ///
    /// # Errors
    /// When the system has no randomness for the nonce.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let mut sealed = secret.to_vec();
        let key = self
            .sealing_key()
            .map_err(|_| crate::base::entropy::EntropyError)?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut sealed)
            .map_err(|_| crate::base::entropy::EntropyError)?;
        let mut out = Vec::with_capacity(1 + NONCE_LENGTH + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Decrypts what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// [`MasterKeyError::Wrong`] when it was sealed under another key, for another context, or changed since.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (&[VERSION], rest) = sealed.split_at_checked(1).ok_or(MasterKeyError::Wrong)? else {
            return Err(MasterKeyError::Wrong);
        };
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LENGTH).ok_or(MasterKeyError::Wrong)?;
        let nonce =
            aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| MasterKeyError::Wrong)?;
        let mut plain = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .sealing_key()
            .and_then(|key| {
                key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut plain)
                    .map(|text| text.len())
            })
            .map_err(|_| MasterKeyError::Wrong)?;
        plain.truncate(length);
        Ok(plain)
    }

    fn sealing_key(&self) -> Result<RandomizedNonceKey, aws_lc_rs::error::Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.derive("seal signing keys"))
    }
}

/// Makes the file at once and whole, or not at all: half a key would keep every later start from succeeding. It is
/// written `beside` first, and takes its name only if nobody has it.
fn make(path: &Path, beside: &Path, text: &str) -> std::io::Result<()> {
    let made = write_new(beside, text).and_then(|()| match std::fs::hard_link(beside, path) {
        // There are file systems without links, where the file must be made in place.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            write_new(path, text)
        }
        linked => linked,
    });
    // Also when the disk was full; if it stays, it does no harm.
    let _ = std::fs::remove_file(beside);
    made?;
    sync_folder_of(path)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Without this the name itself may be gone after a power failure.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn refuse_if_readable_by_others(path: &Path) -> Result<(), MasterKeyError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata =
        std::fs::metadata(path).map_err(|error| MasterKeyError::File(path.to_owned(), error.to_string()))?;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(MasterKeyError::File(
        path.to_owned(),
        "others may read it; `chmod 600` it, and consider it known".to_owned(),
    ))
}

#[cfg(not(unix))]
fn refuse_if_readable_by_others(_: &Path) -> Result<(), MasterKeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u64) -> MasterKey {
        MasterKey(Zeroizing::new(Entropy::seeded(seed).bytes().unwrap()))
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_and_context() {
        let sealed = key(1).seal("kid", b"private").unwrap();
        assert_eq!(*key(1).open("kid", &sealed).unwrap(), b"private");
        assert!(key(2).open("kid", &sealed).is_err());
        assert!(key(1).open("other", &sealed).is_err());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(key(1).open("kid", &changed).is_err(), "byte {position}");
            assert!(key(1).open("kid", &sealed[..position]).is_err());
        }
        assert!(!sealed.windows(7).any(|window| window == b"private"));
    }

    #[test]
    fn hex_and_base64_are_read_and_nothing_else() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let base64 = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
        let of = |text: &str| MasterKey::parse(&Secret::from(text)).map(|key| *key.0);
        assert_eq!(of(hex).unwrap(), of(base64).unwrap());
        for bad in ["", "secret", &hex[2..], &format!("{hex}00")] {
            assert!(of(bad).is_err());
        }
    }

    #[test]
    fn the_file_is_made_once_and_must_be_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master-key");
        let entropy = Entropy::seeded(1);
        assert!(matches!(
            MasterKey::from_file(&path, false, &entropy),
            Err(MasterKeyError::FileMissing(_))
        ));
        let made = MasterKey::from_file(&path, true, &entropy).unwrap();
        assert_eq!(*MasterKey::from_file(&path, true, &entropy).unwrap().0, *made.0);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(
            MasterKey::from_file(&path, true, &entropy),
            Err(MasterKeyError::File(..))
        ));
    }

    #[test]
    fn the_file_appears_whole_and_what_a_crash_left_beside_it_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let path = folder.path().join("master-key");
        let left = folder.path().join("master-key.0123456789abcdef.new");
        std::fs::write(&left, "half a k").unwrap();
        let made = MasterKey::from_file(&path, true, &Entropy::seeded(1)).unwrap();
        assert_eq!(
            *MasterKey::from_file(&path, false, &Entropy::seeded(2)).unwrap().0,
            *made.0
        );
        assert_eq!(names(), ["master-key", "master-key.0123456789abcdef.new"]);
        // Who comes second changes nothing, and cleans up.
        let beside = folder.path().join("master-key.new");
        let second = make(&path, &beside, "another").unwrap_err();
        assert_eq!(second.kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            *MasterKey::from_file(&path, true, &Entropy::seeded(3)).unwrap().0,
            *made.0
        );
        assert_eq!(names().len(), 2);
    }
}
