//! Join keys.

use axum::Json;
use axum::extract::State;
use bore_api::model::JoinKey;
use bore_api::wire::{CreatedJoinKey, NewJoinKey, Page};
use http::StatusCode;

use super::input::{Input, Params};
use super::page::PageParams;
use super::principal::{InNetwork, Right, Subject};
use crate::control::Control;
use crate::refusal::Refusal;

/// Lists the join keys, oldest first.
#[utoipa::path(get, path = "/v1/networks/{network}/join-keys", tag = "join-keys", params(PageParams), responses((status = 200, body = Page<JoinKey>)))]
pub(super) async fn list(
    scope: InNetwork,
    State(control): State<Control>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<JoinKey>>, Refusal> {
    scope.may(Right::ReadKeys)?;
    let mut keys = control.join_keys().list(scope.id()).await?;
    keys.sort_by_key(|key| key.id);
    page.page(keys, |key| key.id.to_string(), |key| key)
}

/// Makes a join key. The answer shows its text this once.
#[utoipa::path(post, path = "/v1/networks/{network}/join-keys", tag = "join-keys", request_body = NewJoinKey, responses((status = 201, body = CreatedJoinKey)))]
pub(super) async fn create(
    scope: InNetwork,
    State(control): State<Control>,
    Input(wanted): Input<NewJoinKey>,
) -> Result<(StatusCode, Json<CreatedJoinKey>), Refusal> {
    scope.may(Right::WriteKeys)?;
    let created = control.join_keys().create(scope.id(), &wanted, scope.actor()).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Shows a join key, without its secret.
#[utoipa::path(get, path = "/v1/networks/{network}/join-keys/{key}", tag = "join-keys", responses((status = 200, body = JoinKey)))]
pub(super) async fn show(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<Json<JoinKey>, Refusal> {
    scope.may(Right::ReadKeys)?;
    Ok(Json(control.join_keys().find(scope.id(), subject.id("join key")?).await?))
}

/// Revokes a join key; its nodes stay.
#[utoipa::path(delete, path = "/v1/networks/{network}/join-keys/{key}", tag = "join-keys", responses((status = 204)))]
pub(super) async fn revoke(
    scope: InNetwork,
    subject: Subject,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    scope.may(Right::WriteKeys)?;
    control.join_keys().revoke(scope.id(), subject.id("join key")?, scope.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
