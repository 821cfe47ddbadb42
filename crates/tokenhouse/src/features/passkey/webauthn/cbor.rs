//! The little CBOR (RFC 8949) that there is.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

use super::Refusal;

const MALFORMED: Refusal = Refusal::Malformed("the CBOR is none");

/// The authenticator data in an attestation object (§6.5.4). Its statement is not looked at: none was asked for, so
/// nothing would be believed.
pub(super) fn attestation_object(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let read = || -> Result<_, Error> {
        let mut decoder = Decoder::new(bytes);
        let members = length(decoder.map()?)?;
        let mut data = None;
        for _ in 0..members {
            match decoder.str()? {
                "authData" if data.is_none() => data = Some(decoder.bytes()?),
                "authData" => return Err(Error::message("twice")),
                _ => decoder.skip()?,
            }
        }
        Ok((data, decoder.position()))
    };
    match read().map_err(|_| MALFORMED)? {
        (Some(data), end) if end == bytes.len() => Ok(data),
        _ => Err(Refusal::Malformed(
            "the attestation object lacks the data, or goes on",
        )),
    }
}

/// How long the item is that the bytes begin with.
pub(super) fn item_length(bytes: &[u8]) -> Result<usize, Refusal> {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().map_err(|_| MALFORMED)?;
    Ok(decoder.position())
}

/// The members of a `COSE_Key` (RFC 9052 §7) that any of our algorithms has.
#[derive(Default)]
pub(super) struct CoseKey<'a> {
    pub(super) key_type: Option<i64>,
    pub(super) algorithm: Option<i64>,
    /// -1: the curve, or the modulus of RSA.
    pub(super) curve: Option<i64>,
    pub(super) modulus: Option<&'a [u8]>,
    /// -2: x, or the exponent of RSA.
    pub(super) x: Option<&'a [u8]>,
    /// -3
    pub(super) y: Option<&'a [u8]>,
}

pub(super) fn cose_key(bytes: &[u8]) -> Result<CoseKey<'_>, Refusal> {
    let read = || -> Result<_, Error> {
        let mut decoder = Decoder::new(bytes);
        let members = length(decoder.map()?)?;
        let mut key = CoseKey::default();
        let mut seen = Vec::new();
        for _ in 0..members {
            let label = decoder.i64()?;
            if seen.contains(&label) {
                return Err(Error::message("twice"));
            }
            seen.push(label);
            match label {
                1 => key.key_type = Some(decoder.i64()?),
                3 => key.algorithm = Some(decoder.i64()?),
                -1 if decoder.datatype()? == Type::Bytes => key.modulus = Some(decoder.bytes()?),
                -1 => key.curve = Some(decoder.i64()?),
                -2 => key.x = Some(decoder.bytes()?),
                -3 => key.y = Some(decoder.bytes()?),
                _ => decoder.skip()?,
            }
        }
        Ok((key, decoder.position()))
    };
    match read().map_err(|_| MALFORMED)? {
        (key, end) if end == bytes.len() => Ok(key),
        _ => Err(Refusal::Malformed("bytes follow the public key")),
    }
}

/// CTAP2's canonical form has no maps of unknown length; and no honest one has many members.
fn length(members: Option<u64>) -> Result<u64, Error> {
    members
        .filter(|members| *members <= 32)
        .ok_or_else(|| Error::message("of unknown length, or too long"))
}
