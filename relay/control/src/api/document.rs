//! The OpenAPI document: made from the routes themselves, and completed here with what every route has in common.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::Problem;
use super::{garden_routes, overlay_routes, tcp_routes};

/// The document that `docs/openapi.json` holds.
pub fn openapi() -> OpenApi {
    let routes = tcp_routes().merge(overlay_routes_alone()).merge(garden_routes());
    let mut document = routes.into_openapi();
    document.info = Info::new("bore relay API", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(DESCRIPTION.to_owned());
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.security_schemes.insert(API_KEY.to_owned(), SecurityScheme::Http(bearer).into());
    for (path, item) in &mut document.paths.paths {
        operations(item).for_each(|operation| complete(operation, path));
    }
    document
}

/// Serves it; it needs no key, and is made once.
pub(super) async fn show() -> impl IntoResponse {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string(&openapi()).unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// `/v1/health` is behind two doors, and documented once.
fn overlay_routes_alone() -> utoipa_axum::router::OpenApiRouter<crate::control::Control> {
    let mut document = overlay_routes().into_openapi();
    document.paths.paths.remove(HEALTH);
    utoipa_axum::router::OpenApiRouter::with_openapi(document)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Parameters of the path, an id of its own, the problem, and the key where one is needed.
fn complete(operation: &mut Operation, path: &str) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    let name = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{tag}.{name}"));
    let parameters = operation.parameters.get_or_insert_default();
    let named = path.split(['{', '}']).skip(1).step_by(2);
    parameters.splice(0..0, named.map(|name| path_parameter(name).into()));
    operation.responses.responses.values_mut().for_each(describe);
    let problem =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let problem = ResponseBuilder::new()
        .description("A problem")
        .content("application/problem+json", problem);
    operation.responses.responses.insert("default".to_owned(), problem.build().into());
    if !KEYLESS_TAGS.contains(&tag.as_str()) {
        operation.security = Some(vec![SecurityRequirement::new(API_KEY, [""; 0])]);
    }
}

/// OpenAPI asks for a description of each response; the operation's summary has said it.
fn describe(response: &mut RefOr<Response>) {
    if let RefOr::T(response) = response
        && response.description.is_empty()
    {
        "Done".clone_into(&mut response.description);
    }
}

fn path_parameter(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Id, or name where it has one"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

const API_KEY: &str = "api_key";
const HEALTH: &str = "/v1/health";

/// Routes that everybody may ask, or whose caller is its tunnel.
const KEYLESS_TAGS: [&str; 3] = ["garden", "health", "overlay"];

const DESCRIPTION: &str = "Routes tagged `overlay` are served on the relay's overlay address, where the caller is its tunnel; \
the route tagged `garden` to strangers behind a WireGuard handshake; all others over TCP with an API key. \
Errors are RFC 9457 problems with a `code` that `bore explain` knows, and `next`, what to do.";
