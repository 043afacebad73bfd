//! Becomes a node: through the walled garden, with the join key, over a tunnel to a relay that the key pins.
//!
//! The node's key is on disk before the relay hears of it, so that an answer that is lost costs nothing: the same join key with the same
//! public key gets the stored answer again.

use std::net::SocketAddr;

use bore_api::wire::{JoinBody, JoinSecret, Joined};
use bore_driver::Shard;
use bore_overlay::{GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY, JoinKey};
use http::Method;
use uuid::Uuid;

use super::answers;
use super::connect::{Connector, RelayPeer, resolve};
use super::control_client::ControlClient;
use super::error::AgentError;
use super::state::{Identity, Membership, StateFolder};
use super::wire::VERSION;

/// What joining needs besides the state folder.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The key.
    pub key: JoinKey,
    /// Wanted name, a DNS label; the relay numbers it when it is taken.
    pub name: String,
    /// Whether the relay forgets the node once it has been away.
    pub ephemeral: bool,
}

/// The identity to start with: the stored one if it fits the key, else a new one, which is stored.
pub(crate) fn identity(
    folder: &StateFolder,
    join: Option<&JoinOptions>,
) -> Result<Identity, AgentError> {
    match (folder.identity()?, join) {
        (Some(identity), None) if identity.membership.is_some() => Ok(identity),
        (_, None) => Err(AgentError::NotJoined { folder: folder.path().to_owned() }),
        (Some(mut identity), Some(join)) => {
            refuse_other_network(&identity, &join.key)?;
            if identity.relays != join.key.relays {
                identity.relays.clone_from(&join.key.relays);
                folder.write_identity(&identity)?;
            }
            Ok(identity)
        }
        (None, Some(join)) => {
            let identity = Identity::new(&join.key);
            folder.write_identity(&identity)?;
            Ok(identity)
        }
    }
}

/// A member stays what it is; a folder that has not joined yet may follow any key of its cluster.
fn refuse_other_network(identity: &Identity, key: &JoinKey) -> Result<(), AgentError> {
    let cluster_differs = identity.cluster.0 != key.cluster.0;
    let network_differs = identity
        .membership
        .as_ref()
        .is_some_and(|member| *member.network.as_bytes() != key.network.0);
    if !cluster_differs && !network_differs {
        return Ok(());
    }
    let name = identity.membership.as_ref().map(|member| member.name.clone());
    Err(AgentError::OtherNetwork { name: name.unwrap_or_else(|| "unjoined".to_owned()) })
}

/// Joins and stores the membership. The tunnel that this brought up goes on as the node's own.
pub(crate) async fn join(
    shard: &Shard,
    connector: &mut Connector,
    folder: &StateFolder,
    identity: &mut Identity,
    wanted: &JoinOptions,
) -> Result<RelayPeer, AgentError> {
    let addresses = resolve(&identity.relays).await?;
    let relay = connector.bring_up(&addresses, identity.cluster, identity.relay_key()).await?;
    identity.remember_relay(relay.key, relay.endpoint);

    let garden = SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT);
    let client = ControlClient::new(shard.clone(), relay.id, GARDEN_JOINER.into(), garden);
    let answer: Joined = client.send(Method::POST, "/v1/join", &body(wanted)).await?;

    let public_key = identity.private_key().public();
    let answer = answers::joined(answer, &wanted.key, &public_key)?;
    identity.membership = Some(Membership::from(answer));
    folder.write_identity(identity)?;
    Ok(relay)
}

fn body(wanted: &JoinOptions) -> JoinBody {
    JoinBody {
        key_id: Uuid::from_bytes(wanted.key.key_id),
        secret: JoinSecret::new(*wanted.key.secret.expose_bytes()),
        network: Uuid::from_bytes(wanted.key.network.0),
        name: wanted.name.clone(),
        version: VERSION.to_owned(),
        ephemeral: wanted.ephemeral,
    }
}
