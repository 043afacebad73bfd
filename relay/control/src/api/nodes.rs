//! Nodes, as administrators see them.

use axum::Json;
use axum::extract::State;
use bore_api::wire::{Named, NewWireguardNode, NodeView, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the nodes by name.
#[utoipa::path(get, path = "/v1/networks/{network}/nodes", tag = "nodes", params(PageParams), responses((status = 200, body = Page<NodeView>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<NodeView>>, Refusal> {
    scope.may(Right::ReadNodes)?;
    page.page(
        control.nodes().list(scope.id())?,
        |node| node.name.clone(),
        |node| control.nodes().view(node),
    )
}

/// Adds a stock WireGuard client by its public key.
#[utoipa::path(post, path = "/v1/networks/{network}/nodes", tag = "nodes", request_body = NewWireguardNode, responses((status = 201, body = NodeView)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(wanted): Input<NewWireguardNode>,
) -> Result<(StatusCode, Json<NodeView>), Refusal> {
    scope.may(Right::WriteNodes)?;
    let node = control.nodes().add_wireguard(scope.id(), &wanted, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(node)))
}

/// Shows a node, by id or name.
#[utoipa::path(get, path = "/v1/networks/{network}/nodes/{node}", tag = "nodes", responses((status = 200, body = NodeView)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<NodeView>, Refusal> {
    scope.may(Right::ReadNodes)?;
    let member = control.directory().member(scope.id(), &subject.0)?;
    Ok(Json(control.nodes().view(member.node.clone())))
}

/// Renames a node.
#[utoipa::path(patch, path = "/v1/networks/{network}/nodes/{node}", tag = "nodes", request_body = Named, responses((status = 200, body = NodeView)))]
pub(super) async fn rename(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
    Input(wanted): Input<Named>,
) -> Result<Json<NodeView>, Refusal> {
    scope.may(Right::WriteNodes)?;
    Ok(Json(control.nodes().rename(scope.id(), &subject.0, &wanted.name, scope.actor()).await?))
}

/// Removes a node and its publications.
#[utoipa::path(delete, path = "/v1/networks/{network}/nodes/{node}", tag = "nodes", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteNodes)?;
    control.nodes().delete(scope.id(), &subject.0, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
