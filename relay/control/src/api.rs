//! The REST API: three doors to the same services.
//!
//! | door | caller | routes |
//! |---|---|---|
//! | [`tcp_router`] | an API key in `Authorization: Bearer` | everything under `/v1/networks/{network}`, the cluster, the relay |
//! | [`overlay_router`] | a node, which *is* its tunnel: no secret to leak | `/v1/nodes/self/…`, the names in its network |
//! | [`garden_router`] | a stranger behind a handshake | `POST /v1/join` |
//!
//! The relay puts a [`Caller`] into each request; nothing else says who calls. Rights are asked in one place ([`principal::Principal::may`]), networks are found in
//! one place ([`principal::InNetwork`]). Errors are RFC 9457 problems with a code of bore and what to do. A change runs on a task of its own, so that a
//! caller who hangs up stops none half-way.

mod api_keys;
mod audit;
mod caller;
mod certificates;
mod document;
mod domains;
mod flows;
mod garden;
mod groups;
mod health;
mod input;
mod join_keys;
mod layers;
mod networks;
mod nodes;
mod overlay;
mod page;
mod policies;
pub mod principal;
pub mod problem;
mod publications;
mod query;
mod relay;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use caller::Caller;
pub use document::openapi;

use crate::control::Control;

/// The API for people and automation, behind a TCP listener.
pub fn tcp_router(control: Control) -> Router {
    with_layers(tcp_routes(), control)
}

/// The API for nodes, on the relay's overlay address.
pub fn overlay_router(control: Control) -> Router {
    let by_address = from_fn_with_state(control.clone(), layers::refuse_browsers);
    with_layers(overlay_routes(), control).layer(by_address)
}

/// The one route of the walled garden.
pub fn garden_router(control: Control) -> Router {
    let by_address = from_fn_with_state(control.clone(), layers::refuse_browsers);
    with_layers(garden_routes(), control).layer(by_address)
}

fn with_layers(routes: OpenApiRouter<Control>, control: Control) -> Router {
    let router: Router<Control> = routes.into();
    router
        .fallback(layers::no_such_route)
        .method_not_allowed_fallback(layers::no_such_method)
        .layer(from_fn_with_state(control.clone(), layers::finish_changes))
        .layer(from_fn(layers::limit_time))
        .layer(from_fn(layers::mark_answer))
        .with_state(control)
}

fn tcp_routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(health::show))
        .route("/v1/openapi.json", axum::routing::get(document::show))
        .routes(routes!(relay::show))
        .routes(routes!(relay::drain))
        .routes(routes!(relay::undrain))
        .routes(routes!(networks::list, networks::create))
        .routes(routes!(networks::show, networks::delete))
        .routes(routes!(nodes::list, nodes::create))
        .routes(routes!(nodes::show, nodes::rename, nodes::delete))
        .routes(routes!(join_keys::list, join_keys::create))
        .routes(routes!(join_keys::show, join_keys::revoke))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::show, api_keys::revoke))
        .routes(routes!(api_keys::list_cluster, api_keys::create_cluster))
        .routes(routes!(api_keys::show_cluster, api_keys::revoke_cluster))
        .routes(routes!(publications::list, publications::create))
        .routes(routes!(publications::show, publications::delete))
        .routes(routes!(domains::list, domains::create))
        .routes(routes!(domains::show, domains::delete))
        .routes(routes!(domains::verify))
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::show, groups::replace, groups::delete))
        .routes(routes!(policies::list))
        .routes(routes!(policies::explain))
        .routes(routes!(policies::show, policies::put, policies::delete))
        .routes(routes!(flows::list))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::renew))
        .routes(routes!(audit::list))
        .routes(routes!(audit::list_cluster))
        .routes(routes!(audit::verify))
}

fn overlay_routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(health::show))
        .routes(routes!(overlay::node::list_neighbours))
        .routes(routes!(overlay::node::show))
        .routes(routes!(overlay::node::claim_session))
        .routes(routes!(overlay::watch::watch))
        .routes(routes!(overlay::publications::list_publications, overlay::publications::publish))
        .routes(routes!(overlay::publications::delete_publication))
        .routes(routes!(overlay::publications::report_target))
        .routes(routes!(overlay::publications::expect_probe, overlay::publications::report_probe))
}

fn garden_routes() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(garden::join))
}
