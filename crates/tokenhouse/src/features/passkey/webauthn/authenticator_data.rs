//! What the authenticator says: the authenticator data (§6.1).

use super::{Refusal, State, cbor};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8],
    pub(super) is_present: bool,
    pub(super) state: State,
    pub(super) attested: Option<Attested<'a>>,
}

/// A new credential (§6.5.1).
pub(super) struct Attested<'a> {
    pub(super) aaguid: [u8; 16],
    pub(super) credential_id: &'a [u8],
    /// A `COSE_Key`.
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut rest = bytes;
        let rp_id_hash = take(&mut rest, 32)?;
        let flags = take(&mut rest, 1)?[0];
        let sign_count = u32::from_be_bytes(array(&mut rest)?);
        let attested = if flags & ATTESTED == 0 {
            None
        } else {
            let aaguid = array(&mut rest)?;
            let length = usize::from(u16::from_be_bytes(array(&mut rest)?));
            let credential_id = take(&mut rest, length)?;
            let length = cbor::item_length(rest)?;
            Some(Attested {
                aaguid,
                credential_id,
                public_key: take(&mut rest, length)?,
            })
        };
        if flags & EXTENSIONS != 0 {
            let length = cbor::item_length(rest)?;
            take(&mut rest, length)?;
        }
        if !rest.is_empty() {
            return Err(Refusal::Malformed("bytes follow the authenticator data"));
        }
        Ok(Self {
            rp_id_hash,
            is_present: flags & PRESENT != 0,
            state: State {
                sign_count,
                verified: flags & VERIFIED != 0,
                backup_eligible: flags & BACKUP_ELIGIBLE != 0,
                backed_up: flags & BACKED_UP != 0,
            },
            attested,
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Refusal> {
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or(Refusal::Malformed("the authenticator data end too early"))?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Refusal> {
    let taken = take(rest, N)?;
    taken
        .try_into()
        .map_err(|_| Refusal::Malformed("the authenticator data end too early"))
}
