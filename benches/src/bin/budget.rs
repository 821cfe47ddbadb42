//! One kind of work, so many times, and nothing else: what `scripts/check-budgets` lets valgrind count. It has the
//! system's allocator, which valgrind knows.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::Context;
use data_encoding::BASE64URL_NOPAD;
use tokenhouse::Algorithm;
use tokenhouse::kernel::keys::SigningKey;
use tokenhouse_verify::{Audience, Claims, KeySet, Verifier, header_segment};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, count] = &arguments[..] else {
        eprintln!("budget verify|verify-seen COUNT");
        return ExitCode::FAILURE;
    };
    match run(work, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: &str, count: &str) -> anyhow::Result<()> {
    let count: usize = count.parse()?;
    match work {
        "verify" => verify(count, 0),
        "verify-seen" => verify(count, 1024),
        other => anyhow::bail!("there is no work {other}"),
    }
}

/// Verifies one ES256 token, anew each time unless it may be remembered.
fn verify(count: usize, remembered: usize) -> anyhow::Result<()> {
    const NOW: u64 = 1_800_000_000;
    const ISSUER: &str = "https://id.example.com";
    let key = SigningKey::generate(Algorithm::Es256)?;
    let claims = Claims {
        iss: Some(ISSUER.to_owned()),
        sub: Some("01890a5d-ac96-774b-bcce-b302099a8057".to_owned()),
        aud: Audience::from(ISSUER),
        exp: NOW + 900,
        iat: Some(NOW),
        jti: Some("01890a5d-ac96-774b-bcce-b302099a8058".to_owned()),
        sid: Some("01890a5d-ac96-774b-bcce-b302099a8059".to_owned()),
        scope: Some(String::new()),
        ..Claims::default()
    };
    let mut token = header_segment(Algorithm::Es256, key.kid(), Some("at+jwt"));
    token.push('.');
    BASE64URL_NOPAD.encode_append(&serde_json::to_vec(&claims)?, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    let verifying = key.verifying_key().context("a key that verifies")?;
    let verifier = Verifier::builder()
        .keys(KeySet::new([verifying])?)
        .issuer(ISSUER)
        .audience(ISSUER)
        .token_type("at+jwt")
        .cache_capacity(remembered)
        .build()?;
    for _ in 0..count {
        drop(black_box(verifier.verify_at(black_box(&token), NOW)?));
    }
    Ok(())
}
