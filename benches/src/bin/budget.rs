//! One kind of work, so many times, and nothing else: what `scripts/check-budgets` lets valgrind count. It has the
//! system's allocator, which valgrind knows.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokenhouse::kernel::keys::SigningKey;
use tokenhouse::{Algorithm, Clock, Timestamp, Tokenhouse};
use tokenhouse_verify::{Audience, Claims, KeySet, Verifier, header_segment};
use tower::ServiceExt as _;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, count] = &arguments[..] else {
        eprintln!("budget verify|verify-seen|me|refresh COUNT");
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
        "me" => ask_a_house(count, Work::Me),
        "refresh" => ask_a_house(count, Work::Refresh),
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

#[derive(Clone, Copy)]
enum Work {
    /// `GET /users/me` with one token.
    Me,
    /// `POST /auth/refresh`, each with the token of the one before.
    Refresh,
}

/// Asks a whole house on SQLite, without HTTP on a wire: from the router to the database and back.
///
/// Its time stands still. Not only because what happens now and then would be counted: to read the machine's, rustix
/// asks the kernel where the vDSO lies, and valgrind (3.19) has moved it away without saying so.
fn ask_a_house(count: usize, work: Work) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    runtime.block_on(async {
        let house = Tokenhouse::builder()
            .database(&format!("sqlite://{}", folder.path().join("budget.db").display()))
            .public_url("http://localhost:8080")
            .clock(Clock::manual(Timestamp::from_second(1_800_000_000)?))
            .configure(|settings| {
                settings.rate_limit.enabled = false;
                settings.master_key = Some("7f".repeat(32).into());
            })
            .build()
            .await?;
        let router = house.service();
        let account = json!({ "email": "ada@example.org", "password": "correct horse battery staple" });
        let mut answer = post(&router, "/auth/signup", &account).await?;
        let access = format!("Bearer {}", answer["access_token"].as_str().context("no token")?);
        for _ in 0..count {
            match work {
                Work::Me => {
                    let request = Request::get("/users/me").header(AUTHORIZATION, &access);
                    drop(black_box(ask(&router, request.body(Body::empty())?).await?));
                }
                Work::Refresh => {
                    let held = json!({ "refresh_token": answer["refresh_token"] });
                    answer = post(&router, "/auth/refresh", &held).await?;
                }
            }
        }
        house.close().await;
        Ok(())
    })
}

async fn post(router: &Router, path: &str, body: &Value) -> anyhow::Result<Value> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    let answer = ask(router, request.body(Body::from(body.to_string()))?).await?;
    Ok(serde_json::from_slice(&answer)?)
}

async fn ask(router: &Router, request: Request<Body>) -> anyhow::Result<axum::body::Bytes> {
    let answer = router.clone().oneshot(request).await?;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await?;
    ensure!(
        status == StatusCode::OK || status == StatusCode::CREATED,
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body)
}
