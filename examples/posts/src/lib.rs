//! Posts that everybody may read and only users may write.

pub mod config;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenhouse::store::{FromRow, Migration, Row, StoreError, query};
use tokenhouse::{
    Algorithm, Builder, Claims, CurrentUser, Error, Input, Login, Origin, Problem, Secret, Signup, Timestamp,
    Tokenhouse, Uuid,
};

use config::Config;

/// The house by this application's rules.
pub fn rules(builder: Builder, config: &Config) -> Builder {
    builder
        .migrations("posts", MIGRATIONS)
        .configure(|settings| {
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(config.secret.clone());
            settings.tokens.access_lifetime = config.access_lifetime;
        })
        // Besides `exp`, which every token has.
        .payload(|user, _| Claims::default().with("user_id", user.id.to_string()))
        .verifier(|verifier| verifier.without_issuer().without_audience().without_subject())
        .problems(|problem| match problem.code {
            code if code.starts_with("token_") => Problem::only_detail(401, "Could not validate credentials"),
            "invalid_credentials" => Problem::only_detail(403, "Invalid Credentials"),
            "malformed_body" | "unsupported_media_type" => Problem::only_detail(422, &problem.detail),
            _ => Problem::only_detail(problem.status, &problem.detail),
        })
}

/// The tutorial's routes, and Tokenhouse's own under `/account`: log out, refresh, change the password, …
pub fn routes(house: Tokenhouse) -> Router {
    let doors = Router::new()
        .route("/users/", post(sign_up))
        .route("/login", post(log_in));
    let routes = Router::new()
        .route("/posts/", get(list_posts).post(create_post))
        .merge(house.limited(doors));
    house
        .observed(routes)
        .nest("/account", house.router())
        .with_state(house)
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    password: Secret,
}

async fn sign_up(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(new): Input<NewUser>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let signup = Signup {
        email: Some(new.email),
        password: new.password,
        ..Signup::default()
    };
    let user = house.open_account(signup, &origin).await?.commit().await?;
    let answer = json!({ "id": user.id, "email": user.email, "created_at": user.created_at });
    Ok((StatusCode::CREATED, Json(answer)))
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
    let tokens = house.log_in_with_password(login, &origin).await?.done()?.tokens;
    Ok(Json(
        json!({ "access_token": tokens.access_token.expose(), "token_type": "bearer" }),
    ))
}

#[derive(Serialize)]
struct Post {
    id: i64,
    title: String,
    content: String,
    published: bool,
    owner_id: Uuid,
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct NewPost {
    title: String,
    content: String,
    #[serde(default = "published")]
    published: bool,
}

fn published() -> bool {
    true
}

async fn list_posts(State(house): State<Tokenhouse>) -> Result<Json<Vec<Post>>, Error> {
    let posts = query(
        "SELECT id, title, content, published, owner_id, created_at
         FROM posts
         WHERE published
         ORDER BY id DESC
         LIMIT 100",
    );
    Ok(Json(posts.all(&mut house.store().read().await?).await?))
}

/// Whoever names `CurrentUser` is entered by nobody who is not logged in.
async fn create_post(
    State(house): State<Tokenhouse>,
    user: CurrentUser,
    Input(new): Input<NewPost>,
) -> Result<Json<Post>, Error> {
    let post = query(
        "INSERT INTO posts (title, content, published, owner_id, created_at)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id, title, content, published, owner_id, created_at",
    )
    .bind(new.title)
    .bind(new.content)
    .bind(new.published)
    .bind(user.id)
    .bind(house.clock().now());
    Ok(Json(post.one(&mut house.store().single()).await?))
}

impl FromRow for Post {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            title: row.get(1)?,
            content: row.get(2)?,
            published: row.get(3)?,
            owner_id: row.get(4)?,
            created_at: row.get(5)?,
        })
    }
}

/// The application's own tables, in the same database as the accounts. Ids are 16 bytes, times microseconds.
const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_posts",
    sqlite: "
        CREATE TABLE posts (
            id         INTEGER PRIMARY KEY AUTOINCREMENT,
            title      TEXT    NOT NULL,
            content    TEXT    NOT NULL,
            published  BOOLEAN NOT NULL,
            owner_id   BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            created_at BIGINT  NOT NULL
        );
        CREATE INDEX posts_by_owner ON posts (owner_id)",
    postgres: "
        CREATE TABLE posts (
            id         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            title      TEXT    NOT NULL,
            content    TEXT    NOT NULL,
            published  BOOLEAN NOT NULL,
            owner_id   UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            created_at BIGINT  NOT NULL
        );
        CREATE INDEX posts_by_owner ON posts (owner_id)",
}];
