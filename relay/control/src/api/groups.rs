//! Groups.

use axum::Json;
use axum::extract::State;
use bore_api::model::Group;
use bore_api::wire::{GroupNodes, NewGroup, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the groups by name.
#[utoipa::path(get, path = "/v1/networks/{network}/groups", tag = "groups", params(PageParams), responses((status = 200, body = Page<Group>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Group>>, Refusal> {
    scope.may(Right::ReadRules)?;
    page.page(control.groups().list(scope.id())?, |group| group.name.clone(), |group| group)
}

/// Adds a group.
#[utoipa::path(post, path = "/v1/networks/{network}/groups", tag = "groups", request_body = NewGroup, responses((status = 201, body = Group)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(wanted): Input<NewGroup>,
) -> Result<(StatusCode, Json<Group>), Refusal> {
    scope.may(Right::WriteRules)?;
    let group = control.groups().create(scope.id(), &wanted, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(group)))
}

/// Shows a group, by id or name.
#[utoipa::path(get, path = "/v1/networks/{network}/groups/{group}", tag = "groups", responses((status = 200, body = Group)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<Group>, Refusal> {
    scope.may(Right::ReadRules)?;
    Ok(Json(control.groups().find(scope.id(), &subject.0)?))
}

/// Replaces the nodes of a group.
#[utoipa::path(put, path = "/v1/networks/{network}/groups/{group}", tag = "groups", request_body = GroupNodes, responses((status = 200, body = Group)))]
pub(super) async fn replace(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
    Input(wanted): Input<GroupNodes>,
) -> Result<Json<Group>, Refusal> {
    scope.may(Right::WriteRules)?;
    Ok(Json(
        control.groups().set_nodes(scope.id(), &subject.0, &wanted.nodes, scope.actor()).await?,
    ))
}

/// Removes a group that nothing names any more.
#[utoipa::path(delete, path = "/v1/networks/{network}/groups/{group}", tag = "groups", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteRules)?;
    control.groups().delete(scope.id(), &subject.0, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
