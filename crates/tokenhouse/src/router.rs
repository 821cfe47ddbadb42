//! Every route, and what lies around them.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::CACHE_CONTROL;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Flow, OAuth2, Password, Scopes, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Server};
use utoipa_axum::router::OpenApiRouter;

use crate::base::error::{Code, Error};
use crate::base::http::Origin;
use crate::base::http::observe::observe;
use crate::features;
use crate::kernel::house::Tokenhouse;
use crate::kernel::{account, health, keys, session};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tokenhouse",
        description = "Accounts, login and tokens. Errors are problem documents (RFC 9457) with a stable `code`.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(crate::base::http::Problem, crate::base::error::FieldError)),
    tags(
        (name = "Account", description = "Opening, reading, changing and closing one's account"),
        (name = "Sessions", description = "Logging in, staying logged in, logging out"),
        (name = "Tokens", description = "What checks them"),
        (name = "Operation", description = "For whoever runs it")
    )
)]
struct Documentation;

/// The routes with their documentation: what is braked per address, then what is not.
fn documented(house: &Tokenhouse) -> OpenApiRouter<Tokenhouse> {
    let braked = braked_routes().route_layer(from_fn_with_state(house.clone(), limit_by_address));
    assembled(braked, house.0.settings.http.metrics)
}

fn braked_routes() -> OpenApiRouter<Tokenhouse> {
    features::ALL
        .iter()
        .fold(session::routes::limited_routes(), |routes, feature| {
            routes.merge((feature.routes)())
        })
}

fn assembled(guarded: OpenApiRouter<Tokenhouse>, metrics: bool) -> OpenApiRouter<Tokenhouse> {
    let metrics = if metrics {
        health::metrics_routes()
    } else {
        OpenApiRouter::new()
    };
    OpenApiRouter::with_openapi(Documentation::openapi())
        .merge(guarded)
        .merge(account::routes::routes())
        .merge(session::routes::routes())
        .merge(keys::routes::routes())
        .merge(health::routes())
        .merge(metrics)
}

impl Tokenhouse {
    /// The routes, to be merged or nested into an application's own; unknown paths stay the application's.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (routes, mut openapi) = documented(self).split_for_parts();
        describe(&mut openapi);
        let openapi = Arc::new(openapi);
        let mut routes = routes.route(
            "/openapi.json",
            axum::routing::get(move |uri| serve_openapi(uri, openapi)),
        );
        if self.0.settings.http.docs {
            routes = routes.merge(crate::docs::routes());
        }
        routes
            .method_not_allowed_fallback(method_not_allowed)
            .with_state::<S>(self.clone())
            .layer(from_fn_with_state(self.0.observer.clone(), observe))
    }

    /// The routes as a whole service: unknown paths are answered too, and browsers of the allowed origins may
    /// call it.
    pub fn service(&self) -> Router {
        let routes = self.router::<()>().fallback(not_found);
        // Layered again for the fallback alone: the routes have it already.
        let fallback = Router::new()
            .fallback(not_found)
            .layer(from_fn_with_state(self.0.observer.clone(), observe));
        let service = routes.reset_fallback().merge(fallback);
        match self.0.cors.clone() {
            Some(cors) => service.layer(cors),
            None => service,
        }
    }

    /// The description of the routes (OpenAPI 3.1).
    #[must_use]
    pub fn openapi(&self) -> OpenApi {
        let mut openapi = documented(self).into_openapi();
        describe(&mut openapi);
        openapi
    }
}

/// The description of every route there can be (OpenAPI 3.1), without a house.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut openapi = assembled(braked_routes(), true).into_openapi();
    describe(&mut openapi);
    openapi
}

fn describe(openapi: &mut OpenApi) {
    openapi.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let password = Flow::Password(Password::new("auth/login", Scopes::new()));
    let scheme = SecurityScheme::OAuth2(OAuth2::with_description(
        [password],
        "Log in with e-mail address or username; the access token is then sent as `Authorization: Bearer`.",
    ));
    openapi
        .components
        .get_or_insert_default()
        .add_security_scheme("password", scheme);
}

/// Where it is mounted is known only from the request; the addresses in it are relative to that.
async fn serve_openapi(OriginalUri(uri): OriginalUri, openapi: Arc<OpenApi>) -> Response {
    let mount = uri.path().trim_end_matches("/openapi.json");
    let mut openapi = (*openapi).clone();
    openapi.servers = Some(vec![Server::new(if mount.is_empty() { "/" } else { mount })]);
    let password = Flow::Password(Password::new(format!("{mount}/auth/login"), Scopes::new()));
    if let Some(RefOr::T(SecurityScheme::OAuth2(scheme))) = openapi
        .components
        .as_mut()
        .and_then(|components| components.security_schemes.get_mut("password"))
    {
        *scheme = OAuth2::new([password]);
    }
    ([(CACHE_CONTROL, "no-cache")], Json(openapi)).into_response()
}

async fn limit_by_address(
    State(house): State<Tokenhouse>,
    origin: Origin,
    request: Request,
    next: Next,
) -> Response {
    if let (Some(limit), Some(address)) = (&house.0.address_limit, origin.network())
        && let Err(wait) = limit.admit(address, house.0.clock.now())
    {
        return Error::new(
            Code::RateLimited,
            "too many requests from your address; wait before the next one",
        )
        .retry_after(wait)
        .into_response();
    }
    next.run(request).await
}

async fn not_found() -> Error {
    Error::new(
        Code::NotFound,
        "there is no such path; /openapi.json lists those there are",
    )
}

async fn method_not_allowed() -> Error {
    Error::new(
        Code::MethodNotAllowed,
        "the path is there, but not for this method; the Allow header says for which",
    )
}
