//! Which nodes have a tunnel here: the store's nodes, kept in step with the shard's peers.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use bore_api::model::{Node, NodeKind};
use bore_api::state::NodeState;
use bore_driver::Shard;
use bore_overlay::{Peer, PeerId, PeerStatus, PublicKey, Sources};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::endpoints::Endpoints;
use crate::recall;

/// A node and its tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: Uuid,
    pub(crate) network: Uuid,
    pub(crate) kind: NodeKind,
    pub(crate) peer: PeerId,
    pub(crate) overlay_v4: Ipv4Addr,
    pub(crate) overlay_v6: Ipv6Addr,
    public_key: PublicKey,
}

/// All members, for any thread.
#[derive(Debug)]
pub(crate) struct Members {
    table: RwLock<Table>,
    endpoints: Endpoints,
    /// Held by whoever changes the shard's peers.
    changing: tokio::sync::Mutex<()>,
    /// A member's tunnel came up, or moved.
    came: Notify,
}

#[derive(Debug, Default)]
struct Table {
    by_node: HashMap<Uuid, Member>,
    by_peer: HashMap<PeerId, Uuid>,
    online: HashSet<PeerId>,
    statuses: HashMap<PeerId, PeerStatus>,
}

impl Members {
    /// No members yet; those that come are called where `endpoints` says they were last heard.
    pub(crate) fn new(endpoints: Endpoints) -> Self {
        let (table, changing) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { table, endpoints, changing, came: Notify::new() }
    }

    pub(crate) fn get(&self, node: Uuid) -> Option<Member> {
        self.read().by_node.get(&node).cloned()
    }

    pub(crate) fn by_peer(&self, peer: PeerId) -> Option<Member> {
        let table = self.read();
        table.by_peer.get(&peer).and_then(|node| table.by_node.get(node)).cloned()
    }

    pub(crate) fn is_online(&self, node: Uuid) -> bool {
        let table = self.read();
        table.by_node.get(&node).is_some_and(|member| table.online.contains(&member.peer))
    }

    /// Members whose tunnel is up; a stranger in the walled garden has a tunnel too.
    pub(crate) fn online_count(&self) -> usize {
        let table = self.read();
        table.online.iter().filter(|peer| table.by_peer.contains_key(peer)).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.read().by_node.len()
    }

    /// Notes that a tunnel came up or went down; returns its node.
    pub(crate) fn set_online(&self, peer: PeerId, online: bool) -> Option<Uuid> {
        let mut table = self.write();
        if online {
            table.online.insert(peer);
        } else {
            table.online.remove(&peer);
        }
        let node = table.by_peer.get(&peer).copied();
        if online && node.is_some() {
            self.came.notify_one();
        }
        node
    }

    /// Notes that a tunnel leads elsewhere.
    pub(crate) fn note_moved(&self, peer: PeerId) {
        if self.read().by_peer.contains_key(&peer) {
            self.came.notify_one();
        }
    }

    /// Waits until a member's tunnel has come up or moved since this was last waited for. Cancel-safe.
    pub(crate) async fn somebody_came(&self) {
        self.came.notified().await;
    }

    /// A stranger's time in the walled garden is over.
    pub(crate) fn forget_stranger(&self, peer: PeerId) {
        let mut table = self.write();
        if !table.by_peer.contains_key(&peer) {
            table.online.remove(&peer);
        }
    }

    /// Facts about a node's tunnel, at most a few seconds old.
    pub(crate) fn state(&self, node: Uuid, now: Instant) -> NodeState {
        let table = self.read();
        let Some(member) = table.by_node.get(&node) else { return NodeState::default() };
        let online = table.online.contains(&member.peer);
        let Some(status) = table.statuses.get(&member.peer) else {
            return NodeState { online, ..NodeState::default() };
        };
        NodeState {
            online,
            endpoint: status.endpoint,
            last_received_seconds: status
                .last_received
                .map(|at| now.saturating_duration_since(at).as_secs()),
            received_bytes: status.received_bytes,
            sent_bytes: status.sent_bytes,
            version: None,
        }
    }

    /// Adds one node's tunnel at once, so that it works before its join is answered.
    pub(crate) async fn admit(&self, shard: &Shard, node: &Node) {
        let _turn = self.changing.lock().await;
        if self.get(node.id).is_none() {
            self.add(shard, node).await;
        }
    }

    /// Calls the agent that `node`'s tunnel led to before a second one with its key moved it. Returns true if that agent answers; the tunnel
    /// leads to it again then.
    pub(crate) async fn call_back(&self, shard: &Shard, node: Uuid) -> bool {
        let Some(member) = self.get(node) else { return false };
        let call =
            move |local| async move { recall::earlier_agent_answers(&local, member.peer).await };
        // A shard that has ended calls nobody.
        shard.run(call).await.unwrap_or(false)
    }

    /// Ends one node's tunnel.
    pub(crate) async fn dismiss(&self, shard: &Shard, node: Uuid) {
        let _turn = self.changing.lock().await;
        if let Some(member) = self.get(node) {
            self.remove(shard, &member).await;
        }
    }

    /// Brings the shard's peers in step with `nodes`.
    pub(crate) async fn reconcile(&self, shard: &Shard, nodes: &[Node]) {
        let wanted: HashMap<Uuid, &Node> = nodes.iter().map(|node| (node.id, node)).collect();
        let present: Vec<Member> = self.read().by_node.values().cloned().collect();
        for member in present {
            let same = wanted
                .get(&member.node)
                .is_some_and(|node| node.public_key == member.public_key.to_string());
            if !same {
                self.dismiss(shard, member.node).await;
            }
        }
        self.endpoints.retain(|node| wanted.contains_key(&node));
        for node in nodes {
            self.admit(shard, node).await;
        }
    }

    /// Takes fresh facts from the shard.
    pub(crate) async fn refresh(&self, shard: &Shard) {
        let peers: Vec<PeerId> = self.read().by_peer.keys().copied().collect();
        let statuses = shard
            .run(move |local| async move {
                let known = peers.into_iter().filter_map(|peer| Some((peer, local.status(peer)?)));
                known.collect::<HashMap<_, _>>()
            })
            .await;
        if let Ok(statuses) = statuses {
            self.endpoints.keep(self.heard(&statuses)).await;
            self.write().statuses = statuses;
        }
    }

    fn heard(&self, statuses: &HashMap<PeerId, PeerStatus>) -> HashMap<Uuid, SocketAddr> {
        let table = self.read();
        let known = statuses
            .iter()
            .filter_map(|(peer, status)| Some((*table.by_peer.get(peer)?, status.endpoint?)));
        known.collect()
    }

    async fn add(&self, shard: &Shard, node: &Node) {
        let Ok(public_key) = node.public_key.parse::<PublicKey>() else {
            tracing::error!(node = %node.id, "a stored public key is not a key");
            return;
        };
        let endpoint = self.endpoints.get(node.id);
        let peer = Peer {
            public_key,
            preshared_key: None,
            endpoint,
            persistent_keepalive: None,
            sources: Sources::Node { v4: node.overlay_v4, v6: node.overlay_v6 },
        };
        let is_foreign = node.kind == NodeKind::Wireguard;
        let added = shard
            .run(move |local| async move {
                let peer = local.add_peer(peer, is_foreign)?;
                let up = local.status(peer).is_some_and(|status| status.last_received.is_some());
                if !up && endpoint.is_some() {
                    local.start_handshake(peer);
                }
                Ok::<_, bore_overlay::AddPeerError>((peer, up))
            })
            .await;
        match added {
            Ok(Ok((peer, up))) => self.insert(node, public_key, peer, up),
            Ok(Err(error)) => tracing::error!(node = %node.id, %error, "node has no tunnel"),
            Err(_stopping) => {}
        }
    }

    fn insert(&self, node: &Node, public_key: PublicKey, peer: PeerId, online: bool) {
        let member = Member {
            node: node.id,
            network: node.network,
            kind: node.kind,
            peer,
            overlay_v4: node.overlay_v4,
            overlay_v6: node.overlay_v6,
            public_key,
        };
        let mut table = self.write();
        table.by_peer.insert(peer, node.id);
        table.by_node.insert(node.id, member);
        if online {
            table.online.insert(peer);
            self.came.notify_one();
        }
    }

    async fn remove(&self, shard: &Shard, member: &Member) {
        let peer = member.peer;
        {
            let mut table = self.write();
            table.by_node.remove(&member.node);
            table.by_peer.remove(&peer);
            table.online.remove(&peer);
            table.statuses.remove(&peer);
        }
        // A shard that has ended has no peers.
        let _ = shard.run(move |local| async move { local.remove_peer(peer) }).await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}
