//! Users of a marketplace: they sign up and are logged in at once.

pub mod config;
pub mod import;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenhouse::settings::Identifier;
use tokenhouse::{
    Algorithm, Builder, Claims, CurrentUser, Error, Input, Login, Origin, Problem, Secret, Signup, Timestamp,
    TokenSet, Tokenhouse, User, UserId,
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
            settings.tokens.issuer = Some("phresh.io".to_owned());
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
            "email_taken" => Problem::only_detail(
                400,
                "That email is already taken. Login with that email or register with another one.",
            ),
            "username_taken" => {
                Problem::only_detail(400, "That username is already taken. Please try another one.")
            }
            "token_missing" => Problem::only_detail(401, "Not authenticated"),
            code if code.starts_with("token_") => {
                Problem::only_detail(401, "Could not validate token credentials.")
            }
            "invalid_credentials" => Problem::only_detail(401, "Authentication was unsuccessful."),
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

/// The tutorial's routes, and Tokenhouse's own under `/account`: log out, refresh, change the password, …
pub fn routes(house: Tokenhouse) -> Router {
    let doors = Router::new()
        .route("/api/users/", post(sign_up))
        .route("/api/users/login/token/", post(log_in));
    let routes = Router::new()
        .route("/api/users/me/", get(me))
        .merge(house.limited(doors));
    house
        .observed(routes)
        .nest("/account", house.router())
        .with_state(house)
}

/// A user as this API shows one.
#[derive(Serialize)]
struct UserPublic {
    id: UserId,
    email: Option<String>,
    username: Option<String>,
    email_verified: bool,
    is_active: bool,
    is_superuser: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    access_token: Option<Value>,
}

impl UserPublic {
    fn of(user: User, access_token: Option<Value>) -> Self {
        Self {
            id: user.id,
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

fn token(tokens: &TokenSet) -> Value {
    json!({ "access_token": tokens.access_token.expose(), "token_type": "bearer" })
}

/// The body is embedded, as FastAPI's `Body(…, embed=True)` has it.
#[derive(Deserialize)]
struct Registration {
    new_user: NewUser,
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    username: String,
    password: Secret,
}

async fn sign_up(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(Registration { new_user }): Input<Registration>,
) -> Result<(StatusCode, Json<UserPublic>), Error> {
    let signup = Signup {
        email: Some(new_user.email),
        username: Some(new_user.username),
        password: new_user.password,
        ..Signup::default()
    };
    let login = house
        .open_account(signup, &origin)
        .await?
        .log_in()
        .await?
        .done()?;
    let access_token = token(&login.tokens);
    Ok((
        StatusCode::CREATED,
        Json(UserPublic::of(login.user, Some(access_token))),
    ))
}

#[derive(Deserialize)]
struct LoginForm {
    /// The e-mail address.
    username: String,
    password: Secret,
}

async fn log_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(form): Input<LoginForm>,
) -> Result<Json<Value>, Error> {
    let login = Login {
        identifier: form.username,
        password: form.password,
        ..Login::default()
    };
    let login = house.log_in_with_password(login, &origin).await?.done()?;
    Ok(Json(token(&login.tokens)))
}

async fn me(user: CurrentUser) -> Json<UserPublic> {
    Json(UserPublic::of(user.into_user(), None))
}
