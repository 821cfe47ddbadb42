//! The texts in which hashes are stored, each read strictly: what a careful writer of that kind would not have
//! written is refused at import, where somebody sees it, instead of failing at a login.
//!
//! All of them are fields between `$`, and only some are PHC strings, so one splitter reads them all.

use std::num::NonZeroU32;

use argon2::{Algorithm, Params, Version};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512};
use data_encoding::{BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use super::arena::Argon2Recipe;
use super::costs::ImportLimits;
use super::fields::{log_n, long_enough, named, number, padded, unpadded};
use super::foreign::HashFormatError::{Malformed, TooExpensive, Unknown};
use super::foreign::{BcryptInput, HashFormatError, Kind};

/// Begins bcrypt of `password + salt`; see [`foreign`](super::foreign).
pub(super) const BCRYPT_SALTED: &str = "$bcrypt-salted$";

/// No known kind writes more; a longer text is not worth splitting.
const LONGEST: usize = 1024;
/// More lanes than this no server was ever configured with.
const MOST_LANES: u32 = 64;

/// Understands `text`, or says why not.
pub(super) fn parse(text: &str, limits: &ImportLimits) -> Result<Kind, HashFormatError> {
    if text.len() > LONGEST || !text.is_ascii() {
        return Err(Malformed("longer than any known hash, or not ASCII"));
    }
    if let Some(rest) = text.strip_prefix(BCRYPT_SALTED) {
        let (salt, hash) = rest.split_once('$').ok_or(Malformed("no hash after the salt"))?;
        let salt = String::from_utf8(
            BASE64_NOPAD
                .decode(salt.as_bytes())
                .map_err(|_| Malformed("salt"))?,
        );
        return bcrypt(
            &format!("${hash}"),
            BcryptInput::WithSalt(salt.map_err(|_| Malformed("salt"))?),
            limits,
        );
    }
    let fields: Vec<&str> = text.split('$').collect();
    match fields.as_slice() {
        ["", "2a" | "2b" | "2y", _, _] => bcrypt(text, BcryptInput::Plain, limits),
        ["bcrypt", "", ..] => bcrypt(&text["bcrypt$".len()..], BcryptInput::Plain, limits),
        ["bcrypt_sha256", "", ..] => bcrypt(&text["bcrypt_sha256$".len()..], BcryptInput::Sha256Hex, limits),
        ["", "bcrypt-sha256", parameters, salt, tag] => passlib_bcrypt(parameters, salt, tag, limits),
        [
            "" | "argon2",
            algorithm @ ("argon2id" | "argon2i" | "argon2d"),
            rest @ ..,
        ] => argon2(algorithm, rest, limits),
        [name @ ("pbkdf2_sha256" | "pbkdf2_sha1"), iterations, salt, tag] => {
            let tag = padded(tag)?;
            pbkdf2(
                &name["pbkdf2_".len()..],
                iterations,
                salt.as_bytes().to_vec(),
                tag,
                limits,
            )
        }
        [
            "",
            name @ ("pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512"),
            iterations,
            salt,
            tag,
        ] => {
            // passlib's own base64 writes "." for "+".
            let name = name.strip_prefix("pbkdf2-").unwrap_or("sha1");
            let [salt, tag] = [salt, tag].map(|text| unpadded(&text.replace('.', "+")));
            pbkdf2(name, iterations, salt?, tag?, limits)
        }
        ["", "scrypt", parameters, salt, tag] => {
            let [log_n, r, p] = named(parameters, ["ln", "r", "p"])?;
            scrypt(log_n, r, p, unpadded(salt)?, unpadded(tag)?, limits)
        }
        ["scrypt", n, salt, r, p, tag] => scrypt(
            log_n(n)?,
            number(r)?,
            number(p)?,
            salt.as_bytes().to_vec(),
            padded(tag)?,
            limits,
        ),
        [method, salt, tag] if method.contains(':') => werkzeug(method, salt, tag, limits),
        _ => Err(Unknown),
    }
}

fn argon2(algorithm: &str, rest: &[&str], limits: &ImportLimits) -> Result<Kind, HashFormatError> {
    let (version, parameters, salt, tag) = match rest {
        ["v=19", parameters, salt, tag] => (Version::V0x13, parameters, salt, tag),
        // A PHC string without a version is of the first one.
        ["v=16", parameters, salt, tag] | [parameters, salt, tag] => (Version::V0x10, parameters, salt, tag),
        _ => return Err(Malformed("not version, parameters, salt and hash")),
    };
    let [memory_kib, iterations, parallelism] = named(parameters, ["m", "t", "p"])?;
    let recipe = Argon2Recipe {
        algorithm: Algorithm::new(algorithm).map_err(|_| Unknown)?,
        version,
        memory_kib,
        iterations,
        parallelism,
    };
    let (salt, tag) = (unpadded(salt)?, long_enough(unpadded(tag)?)?);
    if memory_kib > limits.memory_kib {
        return Err(TooExpensive("memory"));
    }
    if u64::from(memory_kib) * u64::from(iterations) > limits.argon2_work {
        return Err(TooExpensive("memory times iterations"));
    }
    if parallelism > MOST_LANES {
        return Err(TooExpensive("lanes"));
    }
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(Malformed("the salt is shorter than Argon2 allows"));
    }
    Params::new(memory_kib, iterations, parallelism, Some(tag.len()))
        .map_err(|_| Malformed("costs that Argon2 does not have"))?;
    Ok(Kind::Argon2 { recipe, salt, tag })
}

fn bcrypt(hash: &str, input: BcryptInput, limits: &ImportLimits) -> Result<Kind, HashFormatError> {
    // `$2x$` marks hashes of a defect in handling non-ASCII passwords, which the crate does not repeat.
    if !["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|prefix| hash.starts_with(prefix))
    {
        return Err(Malformed("not a bcrypt hash of version 2a, 2b or 2y"));
    }
    let hash = canonical_bcrypt(hash).ok_or(Malformed("not 60 characters of bcrypt"))?;
    hash.parse::<bcrypt::HashParts>()
        .map_err(|_| Malformed("not a bcrypt hash"))?;
    let cost = number(hash.get(4..6).unwrap_or_default())?;
    if cost > limits.bcrypt_cost {
        return Err(TooExpensive("bcrypt cost"));
    }
    if cost < 4 {
        return Err(Malformed("a cost that bcrypt does not have"));
    }
    Ok(Kind::Bcrypt { hash, input })
}

/// Clears the bits that the last character of the salt and of the hash carry beyond the 16 and 23 bytes: some
/// writers left chance in them, and a strict decoder would refuse their hashes.
fn canonical_bcrypt(hash: &str) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = hash.as_bytes().to_vec();
    if bytes.len() != 60 {
        return None;
    }
    for (position, kept) in [(28, 0b11_0000), (59, 0b11_1100)] {
        let value = ALPHABET
            .iter()
            .position(|character| *character == bytes[position])?;
        bytes[position] = ALPHABET[value & kept];
    }
    String::from_utf8(bytes).ok()
}

/// `v=2,t=2b,r=12` of today's passlib, or `2b,12` of the one before.
fn passlib_bcrypt(
    parameters: &str,
    salt: &str,
    tag: &str,
    limits: &ImportLimits,
) -> Result<Kind, HashFormatError> {
    let wrong = Malformed("parameters");
    let (version, cost, input) = match parameters.strip_prefix("v=2,t=") {
        Some(rest) => {
            let (version, cost) = rest.split_once(",r=").ok_or(wrong)?;
            (version, cost, BcryptInput::HmacBase64(salt.to_owned()))
        }
        None => {
            let (version, cost) = parameters.split_once(',').ok_or(wrong)?;
            (version, cost, BcryptInput::Sha256Base64)
        }
    };
    bcrypt(
        &format!("${version}${:02}${salt}{tag}", number(cost)?),
        input,
        limits,
    )
}

fn pbkdf2(
    digest: &str,
    iterations: &str,
    salt: Vec<u8>,
    tag: Vec<u8>,
    limits: &ImportLimits,
) -> Result<Kind, HashFormatError> {
    let (algorithm, digest_length): (pbkdf2::Algorithm, usize) = match digest {
        "sha1" => (PBKDF2_HMAC_SHA1, 20),
        "sha256" => (PBKDF2_HMAC_SHA256, 32),
        "sha512" => (PBKDF2_HMAC_SHA512, 64),
        _ => return Err(Unknown),
    };
    let tag = long_enough(tag)?;
    let iterations = NonZeroU32::new(number(iterations)?).ok_or(Malformed("no iterations"))?;
    // Each block of output repeats all the iterations.
    let blocks = tag.len().div_ceil(digest_length) as u64;
    if u64::from(iterations.get()) * blocks > u64::from(limits.pbkdf2_iterations) {
        return Err(TooExpensive("iterations"));
    }
    Ok(Kind::Pbkdf2 {
        algorithm,
        iterations,
        salt,
        tag,
    })
}

fn scrypt(
    log_n: u32,
    r: u32,
    p: u32,
    salt: Vec<u8>,
    tag: Vec<u8>,
    limits: &ImportLimits,
) -> Result<Kind, HashFormatError> {
    if log_n > 31 {
        return Err(TooExpensive("N"));
    }
    if r == 0 || p == 0 || log_n == 0 {
        return Err(Malformed("costs that scrypt does not have"));
    }
    // Three factors of 32 bits do not fit 64: multiplied so that too much stays too much.
    let memory = (1_u64 << log_n).saturating_mul(u64::from(r));
    if memory.saturating_mul(128) / 1024 > u64::from(limits.memory_kib) {
        return Err(TooExpensive("memory"));
    }
    if memory.saturating_mul(u64::from(p)) > limits.scrypt_work {
        return Err(TooExpensive("N times r times p"));
    }
    let log_n = u8::try_from(log_n).map_err(|_| TooExpensive("N"))?;
    let params =
        scrypt::Params::new(log_n, r, p).map_err(|_| Malformed("costs that scrypt does not have"))?;
    Ok(Kind::Scrypt {
        params,
        salt,
        tag: long_enough(tag)?,
    })
}

/// `scrypt:N:r:p` or `pbkdf2:digest:iterations`, the salt as text, the hash in hexadecimal.
fn werkzeug(method: &str, salt: &str, tag: &str, limits: &ImportLimits) -> Result<Kind, HashFormatError> {
    let tag = HEXLOWER_PERMISSIVE
        .decode(tag.as_bytes())
        .map_err(|_| Malformed("hash"))?;
    let salt = salt.as_bytes().to_vec();
    match method.split(':').collect::<Vec<_>>().as_slice() {
        ["scrypt", n, r, p] => scrypt(log_n(n)?, number(r)?, number(p)?, salt, tag, limits),
        ["pbkdf2", digest, iterations] => pbkdf2(digest, iterations, salt, tag, limits),
        _ => Err(Unknown),
    }
}
