//! The relay itself.

use axum::Json;
use axum::extract::State;
use bore_api::state::RelayInfo;
use http::StatusCode;

use super::principal::{Principal, Right};
use crate::control::Control;
use crate::refusal::Refusal;

/// Names the relay.
#[utoipa::path(get, path = "/v1/relay", tag = "relay", responses((status = 200, body = RelayInfo)))]
pub(super) async fn show(
    principal: Principal,
    State(control): State<Control>,
) -> Result<Json<RelayInfo>, Refusal> {
    principal.may(Right::Any)?;
    Ok(Json(control.core().relay_info()))
}

/// Takes no new flows from now on and tells the agents.
#[utoipa::path(post, path = "/v1/relay/drain", tag = "relay", responses((status = 204)))]
pub(super) async fn drain(
    principal: Principal,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    principal.may(Right::Administer)?;
    control.drain_by(&principal.actor).await;
    tracing::info!(actor = ?principal.actor, "relay drains");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a drain back: public ports open again.
#[utoipa::path(post, path = "/v1/relay/undrain", tag = "relay", responses((status = 204)))]
pub(super) async fn undrain(
    principal: Principal,
    State(control): State<Control>,
) -> Result<StatusCode, Refusal> {
    principal.may(Right::Administer)?;
    control.undrain_by(&principal.actor).await;
    tracing::info!(actor = ?principal.actor, "relay drains no more");
    Ok(StatusCode::NO_CONTENT)
}
