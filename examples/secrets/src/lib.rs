//! A top secret for whoever is logged in, and refresh tokens that work once.

pub mod config;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokenhouse::settings::{Identifier, Period};
use tokenhouse::{
    AccessToken, Algorithm, BearerToken, Builder, Claims, Error, Input, Login, Origin, Problem, Secret,
    Signup, TokenSet, Tokenhouse,
};

use config::Config;

/// The house by this application's rules.
pub fn rules(builder: Builder, config: &Config) -> Builder {
    builder
        .configure(|settings| {
            settings.accounts.identifier = Identifier::Username;
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(config.secret.clone());
            settings.tokens.access_lifetime = config.access_lifetime;
            // A login lasts ten hours from the last refresh, however often it is refreshed.
            settings.sessions.idle_lifetime = Period::minutes(10 * 60);
            // A refresh token works once, to the letter. Tokenhouse would by itself give an honest client that lost the
            // answer, or has two tabs, the same successor again for 30 s; a copy that is used later ends the session
            // either way.
            settings.sessions.refresh_grace = Period::seconds(0);
        })
        .payload(|user, claims| Claims {
            sub: user.username.clone(),
            scope: Some("access_token".to_owned()),
            iat: claims.iat,
            ..Claims::default()
        })
        .verifier(|verifier| verifier.without_issuer().without_audience())
        .problems(|problem| match problem.code {
            "token_missing" => Problem::only_detail(401, "Not authenticated"),
            "token_expired" => Problem::only_detail(401, "Token expired"),
            "token_invalid" | "token_revoked" => Problem::only_detail(401, "Invalid token"),
            "refresh_expired" => Problem::only_detail(401, "Refresh token expired"),
            "refresh_invalid" | "refresh_reused" => Problem::only_detail(401, "Invalid refresh token"),
            "invalid_credentials" => Problem::only_detail(401, "Invalid username or password"),
            "username_taken" => Problem::only_detail(409, "Account already exists"),
            "malformed_body" | "unsupported_media_type" => Problem::only_detail(422, &problem.detail),
            _ => Problem::only_detail(problem.status, &problem.detail),
        })
}

/// The tutorial's routes, and Tokenhouse's own under `/account`: log out, change the password, …
pub fn routes(house: Tokenhouse) -> Router {
    let doors = Router::new()
        .route("/signup", post(sign_up))
        .route("/login", post(log_in))
        .route("/refresh_token", get(refresh));
    let routes = Router::new()
        .route("/secret", post(secret))
        .route("/notsecret", get(not_secret))
        .merge(house.limited(doors));
    house
        .observed(routes)
        .nest("/account", house.router())
        .with_state(house)
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: Secret,
}

async fn sign_up(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(new): Input<Credentials>,
) -> Result<Json<Value>, Error> {
    let signup = Signup {
        username: Some(new.username),
        password: new.password,
        ..Signup::default()
    };
    let user = house.open_account(signup, &origin).await?.commit().await?;
    Ok(Json(json!({ "key": user.username })))
}

async fn log_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(credentials): Input<Credentials>,
) -> Result<Json<Value>, Error> {
    let login = Login {
        identifier: credentials.username,
        password: credentials.password,
        ..Login::default()
    };
    Ok(pair(
        &house.log_in_with_password(login, &origin).await?.done()?.tokens,
    ))
}

/// The refresh token is the bearer; it is used up, and its successor comes with the new access token.
async fn refresh(
    State(house): State<Tokenhouse>,
    origin: Origin,
    BearerToken(token): BearerToken,
) -> Result<Json<Value>, Error> {
    let (_, tokens) = house.refresh(&token, &origin).await?;
    Ok(pair(&tokens))
}

fn pair(tokens: &TokenSet) -> Json<Value> {
    Json(json!({
        "access_token": tokens.access_token.expose(),
        "refresh_token": tokens.refresh_token.expose(),
    }))
}

/// Nobody gets in here without a good access token; a refresh token is none.
async fn secret(_: AccessToken) -> Json<&'static str> {
    Json("Top Secret data only authorized users can access this info")
}

async fn not_secret() -> Json<&'static str> {
    Json("Not secret data")
}
