//! The one route of the walled garden.

use axum::Json;
use axum::extract::State;
use bore_api::wire::{JoinBody, Joined};

use super::caller::Stranger;
use super::input::Input;
use crate::control::Control;
use crate::refusal::Refusal;
use crate::service::JoinForm;
use crate::text::clean_text;

/// Joins a network.
///
/// The same key id from the same tunnel key gets the same answer again and spends nothing. Whoever does not prove the secret hears B3103.
#[utoipa::path(post, path = "/v1/join", tag = "garden", request_body = JoinBody, responses((status = 200, body = Joined)))]
pub(super) async fn join(
    stranger: Stranger,
    State(control): State<Control>,
    Input(body): Input<JoinBody>,
) -> Result<Json<Joined>, Refusal> {
    let JoinBody { key_id: key, secret, network, name, version, ephemeral } = body;
    let version = clean_text(&version, crate::limits::VERSION_CHARS_MAX);
    tracing::debug!(%key, ?version, ephemeral, "join asked for");
    let Stranger { public_key, source } = stranger;
    let form = JoinForm { key, secret, network, name, ephemeral, public_key, source };
    Ok(Json(control.nodes().join(form).await?))
}
