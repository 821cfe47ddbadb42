//! The recipes.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokenhouse::store::{FromRow, Row, StoreError, query};
use tokenhouse::{Code, CurrentUser, Error, FieldError, Input, Tokenhouse, UserId, Uuid};
use utoipa::{IntoParams, ToSchema};

/// A recipe, which somebody submitted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recipe {
    pub(crate) id: i64,
    pub(crate) label: String,
    pub(crate) source: String,
    pub(crate) url: String,
    #[schema(value_type = String)]
    pub(crate) submitter_id: UserId,
}

impl FromRow for Recipe {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            label: row.get(1)?,
            source: row.get(2)?,
            url: row.get(3)?,
            submitter_id: UserId(row.get::<Uuid>(4)?),
        })
    }
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewRecipe {
    #[schema(example = "Chicken Vesuvio")]
    label: String,
    #[schema(example = "Serious Eats")]
    source: String,
    #[schema(example = "https://www.seriouseats.com/chicken-vesuvio-recipe")]
    url: String,
}

/// Submit a recipe
///
/// It belongs to whoever is logged in, whatever the body says.
#[utoipa::path(post, path = "/api/v1/recipes/", request_body = NewRecipe, security(("login" = [])), responses(
    (status = 201, body = Recipe), (status = 401, description = "Not logged in"),
))]
pub(crate) async fn create(
    State(house): State<Tokenhouse>,
    user: CurrentUser,
    Input(new): Input<NewRecipe>,
) -> Result<(StatusCode, Json<Recipe>), Error> {
    // It becomes a link on a page, where `javascript:` would be a program.
    if !new.url.starts_with("https://") && !new.url.starts_with("http://") {
        let fault = FieldError::new("url", "url_invalid", "must begin with https:// or http://");
        return Err(Error::invalid_fields(vec![fault]));
    }
    let recipe = query(
        "INSERT INTO recipes (label, source, url, submitter_id)
         VALUES ($1, $2, $3, $4)
         RETURNING id, label, source, url, submitter_id",
    )
    .bind(new.label)
    .bind(new.source)
    .bind(new.url)
    .bind(user.id);
    Ok((
        StatusCode::CREATED,
        Json(recipe.one(&mut house.store().single()).await?),
    ))
}

/// One recipe
#[utoipa::path(get, path = "/api/v1/recipes/{id}", params(("id" = i64, Path)), responses(
    (status = 200, body = Recipe), (status = 404, description = "There is none"),
))]
pub(crate) async fn by_id(
    State(house): State<Tokenhouse>,
    Path(id): Path<String>,
) -> Result<Json<Recipe>, Error> {
    let id: i64 = id.parse().map_err(|_| {
        Error::invalid_fields(vec![FieldError::new(
            "id",
            "not_a_number",
            "must be a whole number",
        )])
    })?;
    query("SELECT id, label, source, url, submitter_id FROM recipes WHERE id = $1")
        .bind(id)
        .optional(&mut house.store().read().await?)
        .await?
        .map(Json)
        .ok_or_else(|| Error::new(Code::NotFound, format!("Recipe with ID {id} not found")))
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct Search {
    /// Part of a label.
    #[param(example = "chicken")]
    keyword: Option<String>,
    /// How many at most; 10 where nothing is said.
    max_results: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    results: Vec<Recipe>,
}

/// Search by label
#[utoipa::path(get, path = "/api/v1/recipes/search/", params(Search), responses((status = 200, body = Found)))]
pub(crate) async fn search(
    State(house): State<Tokenhouse>,
    Query(search): Query<Search>,
) -> Result<Json<Found>, Error> {
    let keyword = search.keyword.unwrap_or_default();
    let results = matching(&house, &keyword, search.max_results.unwrap_or(10).min(100)).await?;
    Ok(Json(Found { results }))
}

/// The newest recipes whose label has `keyword` in it, whatever the case.
pub(crate) async fn matching(house: &Tokenhouse, keyword: &str, limit: u32) -> Result<Vec<Recipe>, Error> {
    // What LIKE would take for more than itself is escaped.
    let literal = keyword
        .to_lowercase()
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    let recipes = query(
        "SELECT id, label, source, url, submitter_id
         FROM recipes
         WHERE LOWER(label) LIKE $1 ESCAPE '\\'
         ORDER BY id DESC
         LIMIT $2",
    )
    .bind(format!("%{literal}%"))
    .bind(limit);
    Ok(recipes.all(&mut house.store().read().await?).await?)
}
