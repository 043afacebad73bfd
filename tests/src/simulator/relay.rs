//! The relay: what survives its restarts, and what its running program holds.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use bore_netstack::{Binding, Listener, PeerKey};
use bore_overlay::{
    CONTROL_PORT, GARDEN_PORT, GARDEN_RELAY, Peer, PeerId, PrivateKey, Sources, UnknownKeys,
};

use super::host::{Host, Setup};
use super::network::RELAY;
use super::node::{ECHO_PORT, Node};

/// The relay.
pub(super) struct Relay {
    pub(super) key: PrivateKey,
    pub(super) v6: Ipv6Addr,
    pub(super) garden: Listener,
    pub(super) control: Listener,
    /// The members' tunnels, by node.
    pub(super) peers: BTreeMap<usize, PeerId>,
}

impl Relay {
    /// Starts the relay's program without members.
    pub(super) fn start(
        key: PrivateKey,
        v6: Ipv6Addr,
        (seed, ahead): (u64, Duration),
        now: Instant,
    ) -> (Self, Host) {
        let unknown_keys = UnknownKeys::Garden;
        let setup = Setup { key: key.clone(), unknown_keys, seed, address: RELAY, ahead };
        let host = Host::new(setup, now);
        let garden = host.listen(GARDEN_RELAY.into(), GARDEN_PORT);
        let control = host.listen(v6.into(), CONTROL_PORT);
        (Self { key, v6, garden, control, peers: BTreeMap::new() }, host)
    }

    /// Makes a node a member. One that is a member already stays as it is.
    pub(super) fn admit(&mut self, host: &mut Host, index: usize, node: &Node, now: Instant) {
        if self.peers.contains_key(&index) {
            return;
        }
        let (v4, v6) = (node.model.v4, node.model.v6);
        let peer = Peer {
            public_key: node.public_key(),
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            sources: Sources::Node { v4, v6 },
        };
        let id = host.add_peer(peer, now).expect("few peers");
        let address = v4.into();
        let binding =
            Binding::Remote { peer: PeerKey(id.index()), address, ports: ECHO_PORT..=ECHO_PORT };
        host.stack().bind_udp(binding).expect("a fresh peer");
        self.peers.insert(index, id);
    }

    /// Ends a member's tunnel.
    pub(super) fn dismiss(&mut self, host: &mut Host, index: usize) {
        if let Some(peer) = self.peers.remove(&index) {
            host.remove_peer(peer);
        }
    }
}
