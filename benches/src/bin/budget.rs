//! One kind of work, so many times, and nothing else: what `scripts/check-budgets` lets valgrind count. It has the
//! system's allocator, which valgrind knows.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use data_encoding::BASE64URL_NOPAD;
use tokenhouse::kernel::keys::SigningKey;
use tokenhouse::{Algorithm, Secret, Tokenhouse};
use tokenhouse_verify::{Audience, Claims, KeySet, Verifier, header_segment};
use tower::ServiceExt;

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
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ask(work, count)),
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

/// Asks the house on an embedded database, without a network.
async fn ask(work: &str, count: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("budget.db").display());
    let house = Tokenhouse::builder()
        .database(&database)
        .public_url("http://localhost:1")
        .configure(|settings| {
            settings.rate_limit.enabled = false;
            settings.master_key = Some(Secret::from("7f".repeat(32)));
        })
        .without_jobs()
        .build()
        .await?;
    let service = house.service();
    let body = r#"{"email":"ada@example.org","password":"correct horse battery staple"}"#;
    let mut tokens = post(&service, "/auth/signup", body.to_owned()).await?;
    for _ in 0..count {
        match work {
            "me" => {
                let bearer = format!("Bearer {}", text(&tokens, "access_token")?);
                let request = Request::get("/users/me").header("authorization", bearer);
                exchange(&service, request.body(Body::empty())?).await?;
            }
            "refresh" => {
                let body = format!("{{\"refresh_token\":\"{}\"}}", text(&tokens, "refresh_token")?);
                tokens = post(&service, "/auth/refresh", body).await?;
            }
            other => anyhow::bail!("there is no work {other}"),
        }
    }
    drop(service);
    house.close().await;
    Ok(())
}

fn text(answer: &serde_json::Value, name: &str) -> anyhow::Result<String> {
    Ok(answer[name]
        .as_str()
        .context("an answer without tokens")?
        .to_owned())
}

async fn post(service: &Router, path: &str, body: String) -> anyhow::Result<serde_json::Value> {
    let request = Request::post(path).header("content-type", "application/json");
    let answer = exchange(service, request.body(Body::from(body))?).await?;
    Ok(serde_json::from_slice(&answer)?)
}

async fn exchange(service: &Router, mut request: Request<Body>) -> anyhow::Result<Vec<u8>> {
    let from: SocketAddr = "127.0.0.1:9".parse()?;
    request.extensions_mut().insert(ConnectInfo(from));
    let answer = service.clone().oneshot(request).await?;
    ensure!(answer.status().is_success(), "answered {}", answer.status());
    Ok(to_bytes(answer.into_body(), 1 << 20).await?.to_vec())
}
