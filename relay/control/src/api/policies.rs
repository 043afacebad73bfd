//! Policies.

use axum::Json;
use axum::extract::State;
use bore_api::model::Policy;
use bore_api::wire::{ExplainRequest, Explained, Page, PolicyDraft};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the policies by name.
#[utoipa::path(get, path = "/v1/networks/{network}/policies", tag = "policies", params(PageParams), responses((status = 200, body = Page<Policy>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Policy>>, Refusal> {
    scope.may(Right::ReadRules)?;
    page.page(control.policies().list(scope.id())?, |policy| policy.name.clone(), |policy| policy)
}

/// Shows a policy.
#[utoipa::path(get, path = "/v1/networks/{network}/policies/{policy}", tag = "policies", responses((status = 200, body = Policy)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<Policy>, Refusal> {
    scope.may(Right::ReadRules)?;
    Ok(Json(control.policies().find(scope.id(), &subject.0)?))
}

/// Adds or replaces a policy.
///
/// It holds for visits after the answer; open flows are asked about again within a second. 409 when `revision` is not the stored one, 422 with every
/// error when the document does not compile.
#[utoipa::path(put, path = "/v1/networks/{network}/policies/{policy}", tag = "policies", request_body = PolicyDraft, responses((status = 200, body = Policy)))]
pub(super) async fn put(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
    Input(draft): Input<PolicyDraft>,
) -> Result<Json<Policy>, Refusal> {
    scope.may(Right::WriteRules)?;
    Ok(Json(control.policies().put(scope.id(), &subject.0, &draft, scope.actor()).await?))
}

/// Removes a policy.
#[utoipa::path(delete, path = "/v1/networks/{network}/policies/{policy}", tag = "policies", responses((status = 204)))]
pub(super) async fn delete(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteRules)?;
    control.policies().delete(scope.id(), &subject.0, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says whether a visitor would be admitted to a publication, and by which rule.
#[utoipa::path(post, path = "/v1/networks/{network}/policies/explain", tag = "policies", request_body = ExplainRequest, responses((status = 200, body = Explained)))]
pub(super) async fn explain(
    scope: InNetwork,
    State(control): State<Control>,
    Input(request): Input<ExplainRequest>,
) -> Result<Json<Explained>, Refusal> {
    scope.may(Right::ReadRules)?;
    Ok(Json(control.policies().explain_visit(scope.id(), &request)?))
}
