//! Networks.

use axum::Json;
use axum::extract::State;
use bore_api::wire::{Named, NetworkView, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Principal, Right};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the networks that the key sees.
#[utoipa::path(get, path = "/v1/networks", tag = "networks", params(PageParams), responses((status = 200, body = Page<NetworkView>)))]
pub(super) async fn list(
    principal: Principal,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<NetworkView>>, Refusal> {
    principal.may(Right::Any)?;
    let mut networks = control.directory().networks();
    networks.retain(|network| principal.sees(network.id));
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    page.page(networks, |network| network.name.clone(), |network| control.networks().view(network))
}

/// Adds a network.
#[utoipa::path(post, path = "/v1/networks", tag = "networks", request_body = Named, responses((status = 201, body = NetworkView)))]
pub(super) async fn create(
    principal: Principal,
    State(control): State<Control>,
    Input(wanted): Input<Named>,
) -> Result<(StatusCode, Json<NetworkView>), Refusal> {
    principal.may(Right::Administer)?;
    let network = control.networks().create(&wanted.name, &principal.actor).await?;
    Ok((StatusCode::CREATED, Json(control.networks().view(network))))
}

/// Shows a network with the relay's addresses in it.
#[utoipa::path(get, path = "/v1/networks/{network}", tag = "networks", responses((status = 200, body = NetworkView)))]
pub(super) async fn show(
    scope: InNetwork,
    State(control): State<Control>,
) -> Result<Json<NetworkView>, Refusal> {
    scope.may(Right::Any)?;
    Ok(Json(control.networks().view(scope.network)))
}

/// Removes a network that has no nodes.
#[utoipa::path(delete, path = "/v1/networks/{network}", tag = "networks", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::Administer)?;
    control.networks().delete(scope.id(), scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
