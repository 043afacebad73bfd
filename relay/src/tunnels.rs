//! The ways from this relay through its tunnels: to the target of a publication, and to what an agent itself answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bore_api::model::{Node, NodeKind, Publication};
use bore_api::state::NodeState;
use bore_control::doors;
use bore_driver::{Dial, Shard};
use bore_overlay::{NetworkId, PROBE_PORT, PublicKey, RELAY_V4, overlay_v6};
use uuid::Uuid;

use crate::ingress::TunnelRoute;
use crate::limits::CHECK_TIMEOUT;
use crate::members::{Member, Members};

/// The tunnels of a relay, and who is at the other end of each.
#[derive(Debug)]
pub(crate) struct Tunnels {
    pub(crate) shard: Shard,
    pub(crate) members: Arc<Members>,
    pub(crate) relay_key: PublicKey,
}

#[async_trait]
impl doors::Tunnels for Tunnels {
    async fn admit(&self, node: &Node) {
        self.members.admit(&self.shard, node).await;
    }

    async fn call_back(&self, node: Uuid) -> bool {
        self.members.call_back(&self.shard, node).await
    }

    fn state(&self, node: Uuid) -> NodeState {
        self.members.state(node, Instant::now())
    }
}

impl Tunnels {
    /// Where a publication's visitors go, while its node has a tunnel.
    pub(crate) fn route(&self, publication: &Publication) -> Option<TunnelRoute> {
        let member = self.members.get(publication.node)?;
        Some(self.route_to(&member, publication.id, publication.overlay_port))
    }

    /// The way to where an agent answers what its relay asks.
    pub(crate) fn to_agent(&self, member: &Member) -> Dial {
        self.dial(member, PROBE_PORT)
    }

    /// The way of a check to a port of a node.
    pub(crate) fn dial(&self, member: &Member, port: u16) -> Dial {
        let route = self.route_to(member, Uuid::nil(), port);
        let (source, destination) = match member.kind {
            NodeKind::Agent => (route.relay_v6, route.agent_v6),
            NodeKind::Wireguard => (route.relay_v4, route.agent_v4),
        };
        Dial {
            peer: member.peer,
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, port),
            timeout: CHECK_TIMEOUT,
        }
    }

    fn route_to(&self, member: &Member, publication: Uuid, overlay_port: u16) -> TunnelRoute {
        let network = NetworkId(*member.network.as_bytes());
        TunnelRoute {
            publication,
            peer: member.peer,
            agent_v4: IpAddr::V4(member.overlay_v4),
            agent_v6: IpAddr::V6(member.overlay_v6),
            relay_v4: IpAddr::V4(RELAY_V4),
            relay_v6: IpAddr::V6(overlay_v6(network, &self.relay_key)),
            overlay_port,
            masquerade: member.kind == NodeKind::Wireguard,
        }
    }
}
