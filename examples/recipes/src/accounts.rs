//! Signing up, logging in, who am I.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse::store::query;
use tokenhouse::{CurrentUser, Error, Input, Login, Origin, Secret, Signup, Tokenhouse, UserId};
use utoipa::ToSchema;
use utoipa::openapi::security::{Flow, OAuth2, Password, Scopes, SecurityScheme};

/// What *Authorize* on the documentation page needs to know.
pub(crate) fn scheme() -> SecurityScheme {
    let form = Flow::Password(Password::new("/api/v1/auth/login", Scopes::new()));
    SecurityScheme::OAuth2(OAuth2::new([form]))
}

/// A user as this API shows one.
#[derive(Serialize, ToSchema)]
pub(crate) struct Submitter {
    #[schema(value_type = String)]
    id: UserId,
    email: Option<String>,
    first_name: Option<String>,
    surname: Option<String>,
    is_superuser: bool,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewSubmitter {
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(value_type = String, example = "correct horse battery staple")]
    password: Secret,
    first_name: Option<String>,
    surname: Option<String>,
}

/// Sign up
#[utoipa::path(post, path = "/api/v1/auth/signup", request_body = NewSubmitter, responses(
    (status = 201, body = Submitter), (status = 400, description = "The e-mail address is taken"),
    (status = 422, description = "Not acceptable"),
))]
pub(crate) async fn sign_up(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(new): Input<NewSubmitter>,
) -> Result<(StatusCode, Json<Submitter>), Error> {
    let signup = Signup {
        email: Some(new.email),
        password: new.password,
        ..Signup::default()
    };
    // The account and the submitter come into being together, or neither does.
    let mut account = house.open_account(signup, &origin).await?;
    query("INSERT INTO submitters (user_id, first_name, surname) VALUES ($1, $2, $3)")
        .bind(account.user().id)
        .bind(new.first_name.clone())
        .bind(new.surname.clone())
        .execute(account.tx())
        .await?;
    let user = account.commit().await?;
    let submitter = Submitter {
        id: user.id,
        email: user.email,
        first_name: new.first_name,
        surname: new.surname,
        is_superuser: user.is_superuser,
    };
    Ok((StatusCode::CREATED, Json(submitter)))
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct LoginForm {
    /// The e-mail address.
    username: String,
    #[schema(value_type = String)]
    password: Secret,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    access_token: String,
    token_type: &'static str,
}

/// Log in
#[utoipa::path(post, path = "/api/v1/auth/login",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Token), (status = 400, description = "Incorrect username or password")),
)]
pub(crate) async fn log_in(
    State(house): State<Tokenhouse>,
    origin: Origin,
    Input(form): Input<LoginForm>,
) -> Result<Json<Token>, Error> {
    let login = Login {
        identifier: form.username,
        password: form.password,
        ..Login::default()
    };
    let tokens = house.log_in_with_password(login, &origin).await?.done()?.tokens;
    Ok(Json(Token {
        access_token: tokens.access_token.expose().to_owned(),
        token_type: "bearer",
    }))
}

/// Who am I
#[utoipa::path(get, path = "/api/v1/auth/me", security(("login" = [])), responses(
    (status = 200, body = Submitter), (status = 401, description = "Not logged in"),
))]
pub(crate) async fn me(State(house): State<Tokenhouse>, user: CurrentUser) -> Result<Json<Submitter>, Error> {
    let names: Option<(Option<String>, Option<String>)> =
        query("SELECT first_name, surname FROM submitters WHERE user_id = $1")
            .bind(user.id)
            .optional(&mut house.store().read().await?)
            .await?;
    let (first_name, surname) = names.unwrap_or_default();
    Ok(Json(Submitter {
        id: user.id,
        email: user.email.clone(),
        first_name,
        surname,
        is_superuser: user.is_superuser,
    }))
}
