//! API keys: of a network, and of the cluster.

use axum::Json;
use axum::extract::State;
use bore_api::model::ApiKey;
use bore_api::wire::{CreatedApiKey, NewApiKey, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Principal, Right, Subject};
use super::query::RevokeParams;
use crate::control::Control;
use crate::refusal::Refusal;

type Created = (StatusCode, Json<CreatedApiKey>);

/// Lists the API keys of a network, oldest first.
#[utoipa::path(get, path = "/v1/networks/{network}/api-keys", tag = "api-keys", params(PageParams), responses((status = 200, body = Page<ApiKey>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<ApiKey>>, Refusal> {
    scope.may(Right::ReadKeys)?;
    page_of(&page, control.api_keys().list(Some(scope.id())).await?)
}

/// Makes an API key of a network, with no scope that its maker lacks and no longer life. The answer shows its text this once.
#[utoipa::path(post, path = "/v1/networks/{network}/api-keys", tag = "api-keys", request_body = NewApiKey, responses((status = 201, body = CreatedApiKey)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(wanted): Input<NewApiKey>,
) -> Result<Created, Refusal> {
    scope.principal.may_grant(&wanted.scopes)?;
    let created = control.api_keys().create(Some(scope.id()), &wanted, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Shows an API key of a network, without its secret.
#[utoipa::path(get, path = "/v1/networks/{network}/api-keys/{key}", tag = "api-keys", responses((status = 200, body = ApiKey)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<ApiKey>, Refusal> {
    scope.may(Right::ReadKeys)?;
    Ok(Json(control.api_keys().find(Some(scope.id()), subject.id("API key")?).await?))
}

/// Revokes an API key of a network at once, and with `made` what it made.
#[utoipa::path(delete, path = "/v1/networks/{network}/api-keys/{key}", tag = "api-keys", params(RevokeParams), responses((status = 204)))]
pub(super) async fn revoke(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
    Params(params): Params<RevokeParams>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteKeys)?;
    let key = subject.id("API key")?;
    control.api_keys().revoke(Some(scope.id()), key, params.made, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the cluster's own API keys, oldest first.
#[utoipa::path(get, path = "/v1/api-keys", tag = "cluster-api-keys", params(PageParams), responses((status = 200, body = Page<ApiKey>)))]
pub(super) async fn list_cluster(
    principal: Principal,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<ApiKey>>, Refusal> {
    principal.may(Right::Administer)?;
    page_of(&page, control.api_keys().list(None).await?)
}

/// Makes an API key of the cluster. The answer shows its text this once.
#[utoipa::path(post, path = "/v1/api-keys", tag = "cluster-api-keys", request_body = NewApiKey, responses((status = 201, body = CreatedApiKey)))]
pub(super) async fn create_cluster(
    principal: Principal,
    State(control): State<Control>,
    Input(wanted): Input<NewApiKey>,
) -> Result<Created, Refusal> {
    principal.may(Right::Administer)?;
    let created = control.api_keys().create(None, &wanted, &principal.actor).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Shows an API key of the cluster, without its secret.
#[utoipa::path(get, path = "/v1/api-keys/{key}", tag = "cluster-api-keys", responses((status = 200, body = ApiKey)))]
pub(super) async fn show_cluster(
    principal: Principal,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<ApiKey>, Refusal> {
    principal.may(Right::Administer)?;
    Ok(Json(control.api_keys().find(None, subject.id("API key")?).await?))
}

/// Revokes an API key of the cluster at once, and with `made` what it made.
#[utoipa::path(delete, path = "/v1/api-keys/{key}", tag = "cluster-api-keys", params(RevokeParams), responses((status = 204)))]
pub(super) async fn revoke_cluster(
    principal: Principal,
    subject: Subject,
    State(control): State<Control>,
    Params(params): Params<RevokeParams>,
) -> Result<StatusCode, Refusal> {
    principal.may(Right::Administer)?;
    control.api_keys().revoke(None, subject.id("API key")?, params.made, &principal.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn page_of(page: &PageParams, mut keys: Vec<ApiKey>) -> Result<Json<Page<ApiKey>>, Refusal> {
    keys.sort_by_key(|key| key.id);
    page.page(keys, |key| key.id.to_string(), |key| key)
}
