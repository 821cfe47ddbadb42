//! Whatever text comes as a refresh token, only what this house made is read, and it is read as it was made.
//!
//! The first byte chooses how the rest is used: as the whole token, behind the prefix, as the body in base64url, as
//! changes to a good token, or as what a good token says.
#![no_main]

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use tokenhouse::SessionId;
use tokenhouse::kernel::session::{PREFIX, Presented, RefreshTokens};
use uuid::Uuid;

static TOKENS: LazyLock<RefreshTokens> = LazyLock::new(|| RefreshTokens::under(&[7; 32]));
static STRANGER: LazyLock<RefreshTokens> = LazyLock::new(|| RefreshTokens::under(&[8; 32]));

const GOOD: Presented = Presented {
    session: SessionId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
    generation: 41,
};

/// Nobody guesses a MAC: what is read was made here.
fn refuse_or_same(text: &str) {
    if let Some(read) = TOKENS.read(text) {
        assert_eq!(TOKENS.make(read).expose(), text, "one token has two spellings");
        assert_eq!(read, GOOD, "a token was read that nobody made");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((way, rest)) = data.split_first() else {
        return;
    };
    match way % 5 {
        0 => refuse_or_same(&String::from_utf8_lossy(rest)),
        1 => refuse_or_same(&format!("{PREFIX}{}", String::from_utf8_lossy(rest))),
        2 => refuse_or_same(&format!("{PREFIX}{}", BASE64URL_NOPAD.encode(rest))),
        3 => {
            let mut text = TOKENS.make(GOOD).expose().as_bytes().to_vec();
            for change in rest.chunks_exact(2) {
                let position = usize::from(change[0]) % text.len();
                text[position] = change[1];
            }
            refuse_or_same(&String::from_utf8_lossy(&text));
        }
        _ => {
            let Some((bytes, _)) = rest.split_first_chunk::<24>() else {
                return;
            };
            let (id, generation) = bytes.split_at(16);
            let presented = Presented {
                session: SessionId(Uuid::from_slice(id).unwrap()),
                generation: i64::from_be_bytes(generation.try_into().unwrap()),
            };
            let token = TOKENS.make(presented);
            assert_eq!(TOKENS.read(token.expose()), Some(presented));
            assert_eq!(STRANGER.read(token.expose()), None);
        }
    }
});
