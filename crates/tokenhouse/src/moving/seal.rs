//! The envelope of an export: encrypted and authenticated piece by piece, so that it is read and written in little
//! memory, and that nothing can be changed, moved, doubled or cut off unnoticed.
//!
//! It is the construction called STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015), as age and Tink have it: each
//! piece is sealed by AES-256-GCM under a nonce that counts the pieces and says which is the last. The key is
//! derived from the master key and a salt of the file's own, so no nonce returns under one key.

use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::HEXLOWER;

use super::MovingError;
use crate::base::entropy::Entropy;
use crate::kernel::keys::MasterKey;

/// The first line of a sealed export.
pub(super) const MAGIC: &[u8] = b"tokenhouse export 1, sealed\n";
const SALT_LENGTH: usize = 32;
/// Tells a wrong key from a damaged file.
const CHECK_LENGTH: usize = 16;
/// Bytes of text in a piece.
const PIECE: usize = 64 * 1024;

struct Keys {
    seal: LessSafeKey,
    check: [u8; CHECK_LENGTH],
}

fn keys(master: &MasterKey, salt: &[u8; SALT_LENGTH]) -> io::Result<Keys> {
    let salt = HEXLOWER.encode(salt);
    let seal = UnboundKey::new(&AES_256_GCM, &*master.derive(&format!("seal export {salt}")))
        .map_err(|_| io::Error::other("the cipher cannot be set up"))?;
    let mut check = [0; CHECK_LENGTH];
    check.copy_from_slice(&master.derive(&format!("recognise export {salt}"))[..CHECK_LENGTH]);
    Ok(Keys {
        seal: LessSafeKey::new(seal),
        check,
    })
}

/// The number of the piece, and whether it is the last.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[NONCE_LEN - 1] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}

/// Seals what is written to it.
pub(super) struct Sealing<W> {
    out: W,
    key: LessSafeKey,
    piece: Vec<u8>,
    number: u64,
}

impl<W: Write> Sealing<W> {
    pub(super) fn begin(mut out: W, master: &MasterKey, entropy: &Entropy) -> io::Result<Self> {
        let salt: [u8; SALT_LENGTH] = entropy.bytes().map_err(io::Error::other)?;
        let keys = keys(master, &salt)?;
        out.write_all(MAGIC)?;
        out.write_all(&salt)?;
        out.write_all(&keys.check)?;
        Ok(Self {
            out,
            key: keys.seal,
            piece: Vec::with_capacity(PIECE + MAX_TAG_LEN),
            number: 0,
        })
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        self.key
            .seal_in_place_append_tag(nonce(self.number, is_last), Aad::from(MAGIC), &mut self.piece)
            .map_err(|_| io::Error::other("a piece cannot be sealed"))?;
        self.number += 1;
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Seals the last piece; without it the file is one that was cut off.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // A full piece is sealed only when more follows, as it may be the last.
        if self.piece.len() == PIECE {
            self.seal(false)?;
        }
        let taken = text.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&text[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what [`Sealing`] made; a piece that is not as it was is an error of the kind `InvalidData`, and nothing of it
/// is given out.
pub(super) struct Opening<R> {
    from: R,
    key: LessSafeKey,
    piece: Vec<u8>,
    given: usize,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Opening<R> {
    /// `from` stands behind the first line.
    pub(super) fn begin(mut from: R, master: &MasterKey) -> Result<Self, MovingError> {
        let mut salt = [0; SALT_LENGTH];
        let mut check = [0; CHECK_LENGTH];
        let short = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => MovingError::Damaged("it ends in its first lines".to_owned()),
            _ => error.into(),
        };
        from.read_exact(&mut salt).map_err(short)?;
        from.read_exact(&mut check).map_err(short)?;
        let keys = keys(master, &salt)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&keys.check, &check)
            .map_err(|_| MovingError::WrongKey)?;
        Ok(Self {
            from,
            key: keys.seal,
            piece: Vec::with_capacity(PIECE + MAX_TAG_LEN),
            given: 0,
            number: 0,
            ended: false,
        })
    }

    fn open(&mut self) -> io::Result<()> {
        self.piece.clear();
        self.given = 0;
        let most = u64::try_from(PIECE + MAX_TAG_LEN).unwrap_or(u64::MAX);
        (&mut self.from).take(most).read_to_end(&mut self.piece)?;
        let is_last = self.from.fill_buf()?.is_empty();
        let opened = self
            .key
            .open_in_place(nonce(self.number, is_last), Aad::from(MAGIC), &mut self.piece)
            .map(|text| text.len())
            .map_err(|_| {
                let from = self.number * most;
                let reason = format!("it was cut off or changed within the 64 KiB after byte {from}");
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?;
        self.piece.truncate(opened);
        self.number += 1;
        self.ended = is_last;
        Ok(())
    }
}

impl<R: BufRead> Read for Opening<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.open()?;
        }
        let text = &self.piece[self.given..];
        let count = text.len().min(out.len());
        out[..count].copy_from_slice(&text[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn master(digit: &str) -> MasterKey {
        MasterKey::parse(&Secret::from(digit.repeat(64))).unwrap()
    }

    fn sealed(text: &[u8]) -> Vec<u8> {
        let mut sealing = Sealing::begin(Vec::new(), &master("1"), &Entropy::seeded(1)).unwrap();
        sealing.write_all(text).unwrap();
        sealing.end().unwrap()
    }

    fn opened(file: &[u8], master: &MasterKey) -> Result<Vec<u8>, MovingError> {
        let mut text = Vec::new();
        let after = file.strip_prefix(MAGIC).ok_or(MovingError::NotAnExport)?;
        Opening::begin(after, master)?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7] {
            let text: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let file = sealed(&text);
            assert!(opened(&file, &master("1")).unwrap() == text, "{length} bytes");
            assert!(matches!(opened(&file, &master("2")), Err(MovingError::WrongKey)));
        }
    }

    #[test]
    fn a_byte_changed_anywhere_is_noticed() {
        let file = sealed(&[7; 300]);
        for place in 0..file.len() {
            let mut changed = file.clone();
            changed[place] ^= 1;
            assert!(opened(&changed, &master("1")).is_err(), "byte {place}");
            assert!(
                opened(&file[..place], &master("1")).is_err(),
                "cut off at {place}"
            );
        }
        assert!(opened(&[file.as_slice(), b"x"].concat(), &master("1")).is_err());
    }

    #[test]
    fn pieces_cannot_be_left_out_doubled_or_exchanged() {
        let text: Vec<u8> = (0..4 * PIECE).map(|place| (place / PIECE) as u8).collect();
        let file = sealed(&text);
        let head = MAGIC.len() + SALT_LENGTH + CHECK_LENGTH;
        let (head, pieces) = file.split_at(head);
        let pieces: Vec<&[u8]> = pieces.chunks(PIECE + MAX_TAG_LEN).collect();
        assert_eq!(pieces.len(), 4);
        for order in [
            vec![0, 1, 2],
            vec![0, 1, 3],
            vec![0, 0, 1, 2, 3],
            vec![0, 2, 1, 3],
            vec![1, 2, 3],
            vec![0, 1, 2, 3, 3],
            vec![],
        ] {
            let changed: Vec<u8> = order.iter().fold(head.to_vec(), |mut file, piece| {
                file.extend_from_slice(pieces[*piece]);
                file
            });
            assert!(opened(&changed, &master("1")).is_err(), "{order:?}");
        }
    }
}
