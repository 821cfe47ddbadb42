//! The description of the routes (OpenAPI 3.1): what stands at the routes themselves, and what is true of all
//! of them, said here once.

use http::StatusCode;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Flow, OAuth2, Password, Scopes, SecurityScheme};
use utoipa::openapi::{
    Content, Header, KnownFormat, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, Schema,
    SchemaFormat, Server, Type,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tokenhouse",
        description = "Accounts, login and tokens.\n\nPress *Authorize* and log in with e-mail address (or username) and password to try what needs a login. Errors are problem documents (RFC 9457) whose `code` is stable; every answer carries `X-Request-Id`, which is in the log too.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(crate::base::http::Problem, crate::base::error::FieldError)),
    tags(
        (name = "Account", description = "Opening, reading, changing and closing one's account"),
        (name = "Sessions", description = "Logging in, staying logged in, logging out"),
        (name = "Second factors", description = "Authenticator apps, passkeys, recovery codes"),
        (name = "Tokens", description = "What checks them"),
        (name = "Operation", description = "For whoever runs it")
    )
)]
struct Description;

/// What no route says of itself.
pub(crate) fn common() -> OpenApi {
    Description::openapi()
}

/// What a request over the address limit is answered with: for the routes behind it.
pub(crate) fn describe_limit(openapi: &mut OpenApi) {
    for operation in operations(openapi) {
        add_problem(operation, StatusCode::TOO_MANY_REQUESTS, "`rate_limited`");
    }
}

/// Everything that is alike in all operations, and the way to log in.
pub(crate) fn complete(openapi: &mut OpenApi) {
    openapi.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for operation in operations(openapi) {
        if operation.request_body.is_some() {
            add_problem(operation, StatusCode::BAD_REQUEST, "`malformed_body`");
            add_problem(operation, StatusCode::REQUEST_TIMEOUT, "`request_timeout`");
            add_problem(operation, StatusCode::PAYLOAD_TOO_LARGE, "`body_too_large`");
            add_problem(
                operation,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "`unsupported_media_type`",
            );
            add_problem(operation, StatusCode::UNPROCESSABLE_ENTITY, "`invalid_fields`");
        }
        if operation.request_body.is_some() || operation.security.is_some() {
            add_problem(operation, StatusCode::SERVICE_UNAVAILABLE, "`unavailable`");
        }
        name_headers(operation);
    }
    let components = openapi.components.get_or_insert_default();
    for (name, text, schema) in headers() {
        let mut header = Header::new(schema);
        header.description = Some(text.to_owned());
        components.headers.insert(name.to_owned(), header.into());
    }
    mount(openapi, "");
}

/// Where the routes are mounted, `""` or `/api/v1`: only a request tells.
pub(crate) fn mount(openapi: &mut OpenApi, mount: &str) {
    openapi.servers = Some(vec![Server::new(if mount.is_empty() { "/" } else { mount })]);
    let password = Flow::Password(Password::new(format!("{mount}/auth/login"), Scopes::new()));
    let scheme = SecurityScheme::OAuth2(OAuth2::with_description(
        [password],
        "Log in with e-mail address or username; the access token is then sent as `Authorization: Bearer`.",
    ));
    openapi
        .components
        .get_or_insert_default()
        .add_security_scheme("password", scheme);
}

fn headers() -> [(&'static str, &'static str, Schema); 3] {
    let text = || ObjectBuilder::new().schema_type(Type::String).into();
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1_i64))
        .into();
    [
        (
            "X-Request-Id",
            "Names this request in the log; the caller's own, where it sent one.",
            text(),
        ),
        (
            "WWW-Authenticate",
            "What is wrong with the access token (RFC 6750 §3).",
            text(),
        ),
        (
            "Retry-After",
            "Seconds after which the same request may be answered.",
            seconds,
        ),
    ]
}

fn name_headers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let also = match status.as_str() {
            "401" => Some("WWW-Authenticate"),
            "429" | "503" => Some("Retry-After"),
            _ => None,
        };
        for name in also.into_iter().chain(["X-Request-Id"]) {
            let there = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
            response.headers.entry(name.to_owned()).or_insert(there);
        }
    }
}

/// Adds a problem document to the answers, unless the route itself says something about this status.
fn add_problem(operation: &mut Operation, status: StatusCode, description: &str) {
    operation
        .responses
        .responses
        .entry(status.as_str().to_owned())
        .or_insert_with(|| {
            let mut response = Response::new(description);
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            response
                .content
                .insert("application/problem+json".to_owned(), content.into());
            response.into()
        });
}

fn operations(openapi: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    openapi.paths.paths.values_mut().flat_map(|path: &mut PathItem| {
        [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.patch,
            &mut path.delete,
        ]
        .into_iter()
        .flatten()
    })
}
