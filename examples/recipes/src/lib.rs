//! Recipes that belong to whoever submits them, an API and a page.

mod accounts;
mod book;
pub mod config;
mod page;

use axum::Router;
use axum::routing::get;
use tokenhouse::store::Migration;
use tokenhouse::{Algorithm, Builder, Claims, Problem, Tokenhouse};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use config::Config;

/// The house by this application's rules.
pub fn rules(builder: Builder, config: &Config) -> Builder {
    builder
        .migrations("recipes", MIGRATIONS)
        .configure(|settings| {
            settings.tokens.algorithm = Algorithm::Hs256;
            settings.tokens.secret = Some(config.secret.clone());
            settings.tokens.access_lifetime = config.access_lifetime;
            // Whoever signs up here becomes a submitter too, which the house's own door does not know.
            settings.signup.mode = tokenhouse::settings::SignupMode::Closed;
        })
        .payload(|_, claims| {
            Claims {
                sub: claims.sub,
                iat: claims.iat,
                ..Claims::default()
            }
            .with("type", "access_token")
        })
        .verifier(|verifier| verifier.without_issuer().without_audience())
        .problems(|problem| match problem.code {
            "email_taken" => {
                Problem::only_detail(400, "The user with this email already exists in the system")
            }
            "invalid_credentials" => Problem::only_detail(400, "Incorrect username or password"),
            "token_missing" => Problem::only_detail(401, "Not authenticated"),
            code if code.starts_with("token_") => Problem::only_detail(401, "Could not validate credentials"),
            "malformed_body" | "unsupported_media_type" => Problem::only_detail(422, &problem.detail),
            _ => Problem::only_detail(problem.status, &problem.detail),
        })
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Recipe API",
    description = "Log in with *Authorize*: the e-mail address is the username."
))]
struct Documentation;

/// The tutorial's routes with their description, the page, and Tokenhouse's own routes under `/account`.
pub fn routes(house: Tokenhouse) -> Router {
    let doors = OpenApiRouter::new()
        .routes(routes!(accounts::sign_up))
        .routes(routes!(accounts::log_in));
    let others = OpenApiRouter::new()
        .routes(routes!(accounts::me))
        .routes(routes!(book::create))
        .routes(routes!(book::by_id))
        .routes(routes!(book::search));
    let (doors, described) = OpenApiRouter::<Tokenhouse>::with_openapi(Documentation::openapi())
        .merge(doors)
        .split_for_parts();
    let (others, mut description) = OpenApiRouter::with_openapi(described)
        .merge(others)
        .split_for_parts();
    description
        .components
        .get_or_insert_default()
        .add_security_scheme("login", accounts::scheme());

    let routes = Router::new()
        .route("/", get(page::recipes))
        .merge(house.limited(doors))
        .merge(others);
    house
        .observed(routes)
        .merge(house.documentation(description))
        .nest("/account", house.router())
        .with_state(house)
}

/// The application's own tables, in the same database as the accounts.
const MIGRATIONS: &[Migration] = &[Migration {
    name: "0001_recipes",
    sqlite: "
        CREATE TABLE submitters (
            user_id    BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
            first_name TEXT,
            surname    TEXT
        ) WITHOUT ROWID;
        CREATE TABLE recipes (
            id           INTEGER PRIMARY KEY AUTOINCREMENT,
            label        TEXT NOT NULL,
            source       TEXT NOT NULL,
            url          TEXT NOT NULL,
            submitter_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE
        );
        CREATE INDEX recipes_by_submitter ON recipes (submitter_id)",
    postgres: "
        CREATE TABLE submitters (
            user_id    UUID NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
            first_name TEXT,
            surname    TEXT
        );
        CREATE TABLE recipes (
            id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            label        TEXT NOT NULL,
            source       TEXT NOT NULL,
            url          TEXT NOT NULL,
            submitter_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE
        );
        CREATE INDEX recipes_by_submitter ON recipes (submitter_id)",
}];
