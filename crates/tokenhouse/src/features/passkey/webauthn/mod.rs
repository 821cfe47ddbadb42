//! W3C Web Authentication, Level 3, the part of a relying party that asks for no attestation: what a browser sent is
//! read, and judged by §7.1 (registering) and §7.2 (authenticating). Pure functions; nothing here knows of accounts.
//!
//! An authenticator signs its own data (which domain, was somebody there, were they verified, how often was it used)
//! and a hash of what the browser says (which challenge, which origin). So the signature binds all of it.

mod authenticator_data;
mod cbor;
mod client_data;
mod public_key;
#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use self::authenticator_data::AuthenticatorData;
use self::client_data::ClientData;
pub(super) use self::public_key::{ALGORITHMS, PublicKey};

/// Bytes a credential's id may have (§4, "Credential ID").
const MAX_ID: usize = 1023;

/// Why a browser's answer is not accepted: for the log and for tests, the caller learns only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    #[error("it is of the other ceremony")]
    Type,
    #[error("it answers another challenge")]
    Challenge,
    #[error("it comes from another origin")]
    Origin,
    #[error("it comes from inside a page of another origin")]
    CrossOrigin,
    #[error("it was made for another domain")]
    RelyingParty,
    #[error("nobody touched the authenticator")]
    NotPresent,
    #[error("the authenticator did not verify who uses it")]
    NotVerified,
    #[error("what it says of backups contradicts itself or what it said before")]
    Backup,
    #[error("its algorithm was not asked for")]
    Algorithm,
    #[error("its public key is none")]
    PublicKey,
    #[error("its signature is not right")]
    Signature,
}

/// Who asks: the domain that credentials belong to, and the origins they are used from.
#[derive(Clone, Debug)]
pub(super) struct RelyingParty {
    pub(super) id: String,
    pub(super) origins: Vec<String>,
}

/// What is asked of an answer.
pub(super) struct Expected<'a> {
    pub(super) party: &'a RelyingParty,
    /// As it was sent, before base64url.
    pub(super) challenge: &'a [u8],
    pub(super) verified: bool,
}

/// A new credential.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Registered {
    pub(super) credential_id: Vec<u8>,
    pub(super) public_key: PublicKey,
    pub(super) aaguid: [u8; 16],
    pub(super) state: State,
}

/// What an authenticator says of itself each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) sign_count: u32,
    pub(super) verified: bool,
    /// Whether the key may be copied to other devices; that never changes.
    pub(super) backup_eligible: bool,
    /// Whether it is.
    pub(super) backed_up: bool,
}

/// The challenge that an answer claims to answer, before anything is checked: to find it again.
pub(super) fn claimed_challenge(client_data: &[u8]) -> Result<Vec<u8>, Refusal> {
    ClientData::read(client_data)?.challenge()
}

/// §7.1, from step 5 on.
pub(super) fn register(
    expected: &Expected<'_>,
    client_data: &[u8],
    attestation_object: &[u8],
) -> Result<Registered, Refusal> {
    ClientData::read(client_data)?.check("webauthn.create", expected)?;
    let object = cbor::attestation_object(attestation_object)?;
    let data = AuthenticatorData::read(object)?;
    let state = check(&data, expected)?;
    let attested = data
        .attested
        .ok_or(Refusal::Malformed("there is no credential in it"))?;
    if attested.credential_id.is_empty() || attested.credential_id.len() > MAX_ID {
        return Err(Refusal::Malformed("the credential's id is too long or empty"));
    }
    Ok(Registered {
        credential_id: attested.credential_id.to_vec(),
        public_key: PublicKey::read(attested.public_key)?,
        aaguid: attested.aaguid,
        state,
    })
}

/// §7.2, from step 10 on, for a credential whose key and nature are known. The counter is for the caller to compare,
/// together with storing it.
pub(super) fn authenticate(
    expected: &Expected<'_>,
    key: &PublicKey,
    backup_eligible: bool,
    client_data: &[u8],
    authenticator_data: &[u8],
    signature: &[u8],
) -> Result<State, Refusal> {
    ClientData::read(client_data)?.check("webauthn.get", expected)?;
    let data = AuthenticatorData::read(authenticator_data)?;
    let state = check(&data, expected)?;
    if state.backup_eligible != backup_eligible {
        return Err(Refusal::Backup);
    }
    let mut signed = authenticator_data.to_vec();
    signed.extend_from_slice(digest(&SHA256, client_data).as_ref());
    if !key.verifies(&signed, signature) {
        return Err(Refusal::Signature);
    }
    Ok(state)
}

/// What both ceremonies ask of the authenticator's data.
fn check(data: &AuthenticatorData<'_>, expected: &Expected<'_>) -> Result<State, Refusal> {
    let domain = digest(&SHA256, expected.party.id.as_bytes());
    if verify_slices_are_equal(data.rp_id_hash, domain.as_ref()).is_err() {
        return Err(Refusal::RelyingParty);
    }
    if !data.is_present {
        return Err(Refusal::NotPresent);
    }
    if expected.verified && !data.state.verified {
        return Err(Refusal::NotVerified);
    }
    if data.state.backed_up && !data.state.backup_eligible {
        return Err(Refusal::Backup);
    }
    Ok(data.state)
}
