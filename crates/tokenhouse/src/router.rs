//! Every route, and what lies around them.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::base::error::{Code, Error};
use crate::base::http::observe::{PageMaker, PageOf, Watch, observe};
use crate::base::http::{Origin, Problem, page};
use crate::base::settings::HttpSettings;
use crate::kernel::Feature;
use crate::kernel::house::Tokenhouse;
use crate::kernel::pages::{self, Visit};
use crate::kernel::{account, factor_undo, health, keys, login, recovery, session};
use crate::openapi::{self as description};
use crate::{docs, features};

/// The routes with their documentation: what is braked per address, then what is not.
fn documented(house: &Tokenhouse) -> OpenApiRouter<Tokenhouse> {
    let braked =
        braked_routes(&house.0.features).route_layer(from_fn_with_state(house.clone(), limit_by_address));
    assembled(braked, &house.0.settings.http)
}

fn braked_routes(features: &[Feature]) -> OpenApiRouter<Tokenhouse> {
    let mut braked = features.iter().fold(
        session::routes::limited_routes()
            .merge(account::routes::limited_routes())
            .merge(login::routes::routes())
            .merge(recovery::routes::routes())
            .merge(factor_undo::routes()),
        |routes, feature| routes.merge((feature.routes)()),
    );
    description::describe_limit(braked.get_openapi_mut());
    braked
}

fn assembled(braked: OpenApiRouter<Tokenhouse>, settings: &HttpSettings) -> OpenApiRouter<Tokenhouse> {
    let metrics = if settings.metrics {
        health::metrics_routes()
    } else {
        OpenApiRouter::new()
    };
    let feed = if settings.revocation_feed {
        session::feed::routes()
    } else {
        OpenApiRouter::new()
    };
    OpenApiRouter::with_openapi(description::common())
        .merge(braked)
        .merge(account::routes::routes())
        .merge(session::routes::routes())
        .merge(keys::routes::routes())
        .merge(feed)
        .merge(health::routes())
        .merge(metrics)
}

impl Tokenhouse {
    /// The routes, to be merged or nested into an application's own; unknown paths stay the application's.
    ///
    /// Serve the application with `into_make_service_with_connect_info::<SocketAddr>()`: without the address of
    /// the client there is no limit per address, and users do not see where their devices logged in from.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.routes()
            .layer(from_fn_with_state(self.watch(true), observe))
            // The layer has covered the answer to unknown paths too, which is not ours to give.
            .reset_fallback()
    }

    /// The routes as a whole service: unknown paths are answered too, and browsers of the allowed origins may
    /// call it.
    pub fn service(&self) -> Router {
        let routes = self.routes().fallback(not_found);
        let routes = if self.0.settings.pages.enabled {
            routes
                .route("/", axum::routing::get(front_door).with_state(self.clone()))
                .method_not_allowed_fallback(method_not_allowed)
        } else {
            routes
        };
        let routes = match self.0.cors.clone() {
            Some(cors) => routes.layer(cors),
            None => routes,
        };
        routes.layer(from_fn_with_state(self.watch(true), observe))
    }

    /// The description of the routes (OpenAPI 3.1).
    #[must_use]
    pub fn openapi(&self) -> OpenApi {
        let mut openapi = documented(self).into_openapi();
        description::complete(&mut openapi);
        openapi
    }

    /// Every route, nothing around them.
    fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (routes, mut openapi) = documented(self).split_for_parts();
        description::complete(&mut openapi);
        let openapi = Arc::new(openapi);
        let routes = routes.route(
            "/openapi.json",
            axum::routing::get(move |uri| serve_openapi(uri, openapi)),
        );
        let routes = if self.0.settings.http.docs {
            routes.merge(docs::routes())
        } else {
            routes
        };
        let routes = if self.0.settings.pages.enabled {
            let limit = from_fn_with_state(self.clone(), limit_forms);
            routes.merge(pages::router(self).route_layer(limit))
        } else {
            routes
        };
        routes
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self.clone())
    }

    /// What surrounds the routes: around the house's own with pages in the place of problem documents, where a person
    /// navigates.
    pub(crate) fn watch(&self, own: bool) -> Watch {
        let house = self.clone();
        let maker = move |parts: &Parts| -> Option<PageOf> {
            let navigation = house.navigation(parts)?;
            let house = house.clone();
            Some(Box::new(move |problem: &Problem| {
                navigation.page(&house, problem)
            }))
        };
        Watch {
            observer: self.0.observer.clone(),
            for_own_site: own,
            pages: (own && self.0.settings.pages.enabled).then(|| Arc::new(maker) as PageMaker),
        }
    }
}

/// The description of every route there can be (OpenAPI 3.1), without a house.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut openapi = assembled(braked_routes(features::ALL), &HttpSettings::default()).into_openapi();
    description::complete(&mut openapi);
    openapi
}

/// Where it is mounted is known only from the request.
async fn serve_openapi(OriginalUri(uri): OriginalUri, openapi: Arc<OpenApi>) -> Response {
    let mut openapi = (*openapi).clone();
    description::mount(&mut openapi, uri.path().trim_end_matches("/openapi.json"));
    ([(CACHE_CONTROL, "no-cache")], Json(openapi)).into_response()
}

pub(crate) async fn limit_by_address(
    State(house): State<Tokenhouse>,
    origin: Origin,
    request: Request,
    next: Next,
) -> Response {
    if house.0.address_limit.is_some() && origin.address.is_none() {
        house.0.warn_of_unknown_addresses();
    }
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

/// Signing in by a form is as much a try as by JSON; looking at a page is not.
async fn limit_forms(state: State<Tokenhouse>, origin: Origin, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        next.run(request).await
    } else {
        limit_by_address(state, origin, request, next).await
    }
}

/// A browser is led to the account; a program has nothing to find here.
async fn front_door(State(house): State<Tokenhouse>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if !page::is_navigation(&parts.headers) {
        return not_found().await.into_response();
    }
    match Visit::from_request_parts(&mut parts, &house).await {
        Ok(visit) => page::redirect(&visit.path("/account")),
        Err(error) => error.into_response(),
    }
}

async fn not_found() -> Error {
    Error::new(
        Code::NotFound,
        "there is no such path; /openapi.json lists those there are",
    )
}

pub(crate) async fn method_not_allowed() -> Error {
    Error::new(
        Code::MethodNotAllowed,
        "the path is there, but not for this method; the Allow header says for which",
    )
}
