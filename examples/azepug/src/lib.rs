//! The login of a backend: a user with a token in the answer.

pub mod config;
pub mod import;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokenhouse::settings::Identifier;
use tokenhouse::{
    Algorithm, Builder, Claims, Error, Input, Login, Origin, Problem, Secret, Signup, Timestamp, Tokenhouse,
    User,
};

use config::Config;

/// The house by this application's rules.
pub fn rules(builder: Builder, config: &Config) -> Builder {
    builder
        .configure(|settings| {
            settings.accounts.identifier = Identifier::Both;
            settings.passwords.min_length = 7;
            settings.passwords.max_length = 100;
            settings.passwords.check_common = false;
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(config.secret.clone());
            settings.tokens.access_lifetime = config.access_lifetime;
            settings.tokens.issuer = Some("azepug.az".to_owned());
            settings.tokens.audience = Some(config.audience.clone());
        })
        .username_rule(username_rule)
        .payload(|user, claims| {
            Claims {
                iss: claims.iss,
                sub: user.email.clone(),
                aud: claims.aud,
                iat: claims.iat,
                ..Claims::default()
            }
            .with("username", user.username.clone())
        })
        .problems(|problem| match problem.code {
            "email_taken" | "username_taken" => Problem::only_detail(400, &problem.detail),
            "malformed_body" | "unsupported_media_type" => Problem::only_detail(422, &problem.detail),
            _ => Problem::only_detail(problem.status, &problem.detail),
        })
}

/// ASCII letters, digits, `_` and `-`, three at least.
fn username_rule(name: &str) -> Result<(), String> {
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    {
        return Err("Invalid characters in username.".to_owned());
    }
    if name.len() < 3 {
        return Err("Username must be 3 characters or more.".to_owned());
    }
    Ok(())
}

/// The tutorial's routes, and Tokenhouse's own under `/account`: who am I, log out, refresh, …
pub fn routes(house: Tokenhouse) -> Router {
    let doors = Router::new()
        .route("/users/create", post(create))
        .route("/users/login", post(log_in));
    house
        .observed(house.limited(doors))
        .nest("/account", house.router())
        .with_state(house)
}

/// A user as this API shows one.
#[derive(Serialize)]
struct UserPublic {
    email: Option<String>,
    username: Option<String>,
    email_verified: bool,
    is_active: bool,
    is_superuser: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    access_token: Option<AccessToken>,
}

#[derive(Serialize)]
struct AccessToken {
    access_token: String,
    token_type: &'static str,
}

impl UserPublic {
    fn of(user: User, access_token: Option<AccessToken>) -> Self {
        Self {
            email: user.email,
            username: user.username,
            email_verified: user.email_verified,
            is_active: user.is_active,
            is_superuser: user.is_superuser,
            created_at: user.created_at,
            updated_at: user.updated_at,
            access_token,
        }
    }
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    username: String,
    password: Secret,
}

async fn create(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(new): Input<NewUser>,
) -> Result<Json<UserPublic>, Error> {
    let signup = Signup {
        email: Some(new.email),
        username: Some(new.username),
        password: new.password,
        ..Signup::default()
    };
    let user = house.open_account(signup, &origin).await?.commit().await?;
    Ok(Json(UserPublic::of(user, None)))
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: Secret,
}

async fn log_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(credentials): Input<Credentials>,
) -> Result<Json<UserPublic>, Error> {
    let login = Login {
        identifier: credentials.username,
        password: credentials.password,
        ..Login::default()
    };
    let login = house.log_in_with_password(login, &origin).await?.done()?;
    let token = AccessToken {
        access_token: login.tokens.access_token.expose().to_owned(),
        token_type: "bearer",
    };
    Ok(Json(UserPublic::of(login.user, Some(token))))
}
