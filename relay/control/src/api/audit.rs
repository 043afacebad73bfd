//! The audit trail: read, searched, verified.

use axum::Json;
use axum::extract::State;
use bore_api::model::AuditRow;
use bore_api::wire::{AuditReport, Page};
use uuid::Uuid;

use super::input::Params;
use super::page::rows_of_page;
use super::principal::{InNetwork, Principal, Right};
use super::query::{AuditParams, AuditWalkParams};
use crate::control::Control;
use crate::refusal::Refusal;
use crate::service::AuditQuery;

/// Lists the audit rows of a network, oldest first.
#[utoipa::path(get, path = "/v1/networks/{network}/audit", tag = "audit", params(AuditParams), responses((status = 200, body = Page<AuditRow>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(params): Params<AuditParams>,
) -> Result<Json<Page<AuditRow>>, Refusal> {
    scope.may(Right::ReadAudit)?;
    page(&control, Some(scope.id()), &params).await
}

/// Lists the audit rows of the whole cluster, oldest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditParams), responses((status = 200, body = Page<AuditRow>)))]
pub(super) async fn list_cluster(
    principal: Principal,
    State(control): State<Control>,
    Params(params): Params<AuditParams>,
) -> Result<Json<Page<AuditRow>>, Refusal> {
    principal.of_cluster()?;
    principal.may(Right::ReadAudit)?;
    page(&control, None, &params).await
}

/// Recomputes the chain of the trail, some thousand rows at a time, and checks the cluster's signature of its head.
///
/// While `next` is there, ask again with it as `after`. One chain covers every network, so only a key of the cluster may ask.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit", params(AuditWalkParams), responses((status = 200, body = AuditReport)))]
pub(super) async fn verify(
    principal: Principal,
    State(control): State<Control>,
    Params(params): Params<AuditWalkParams>,
) -> Result<Json<AuditReport>, Refusal> {
    principal.of_cluster()?;
    principal.may(Right::ReadAudit)?;
    Ok(Json(control.audit().verify(&params.walk()?).await?))
}

async fn page(
    control: &Control,
    network: Option<Uuid>,
    params: &AuditParams,
) -> Result<Json<Page<AuditRow>>, Refusal> {
    let limit = rows_of_page(params.limit)?;
    let query = AuditQuery { network, text: params.text.as_deref(), after: params.after, limit };
    let items = control.audit().list(query).await?;
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|row| row.sequence.to_string());
    Ok(Json(Page { items, next }))
}
