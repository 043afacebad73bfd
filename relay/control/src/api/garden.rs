//! The one route of the walled garden.

use axum::Json;
use axum::extract::State;
use bore_api::wire::Joined;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Stranger;
use super::input::Input;
use crate::control::Control;
use crate::refusal::Refusal;
use crate::service::JoinForm;
use crate::text::clean_text;
use crate::token::JoinSecret;

/// A stranger with a join key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinBody {
    /// Id of the key.
    key_id: Uuid,
    /// Its secret, 20 bytes, base64url without padding.
    #[schema(value_type = String)]
    secret: JoinSecret,
    /// The network that the key names.
    network: Uuid,
    /// What the machine calls itself; made fit where it is no DNS label.
    name: String,
    /// Version of the agent.
    version: String,
    /// The node goes when it has been away for a while, as one whose key says so does.
    #[serde(default)]
    ephemeral: bool,
}

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
    Ok(Json(control.join(form).await?))
}
