//! An agent: what survives its restarts, and what its running program holds.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bore_netstack::{BindingId, Listener};
use bore_overlay::{Peer, PeerId, PrivateKey, PublicKey, Sources, UnknownKeys};

use super::host::{Host, Setup};
use super::network::RELAY;
use super::reference::NodeModel;

/// One agent.
pub(super) struct Node {
    pub(super) key: PrivateKey,
    pub(super) model: NodeModel,
    pub(super) place: usize,
    /// It has been told of its membership, and keeps that on disk.
    pub(super) has_joined: bool,
    /// When it tries to join next.
    pub(super) join_at: Option<Instant>,
    /// The relay, as the running program knows it.
    pub(super) relay: PeerId,
    pub(super) listeners: Vec<Listener>,
    pub(super) echo: BindingId,
}

impl Node {
    pub(super) fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Starts the agent's program, as often as it must: the key stays.
    pub(super) fn start(
        key: PrivateKey,
        model: NodeModel,
        (place, address): (usize, SocketAddr),
        (seed, ahead): (u64, Duration),
        relay_key: PublicKey,
        now: Instant,
    ) -> (Self, Host) {
        let unknown_keys = UnknownKeys::Refuse;
        let setup = Setup { key: key.clone(), unknown_keys, seed, address, ahead };
        let mut host = Host::new(setup, now);
        let relay = host.add_peer(relay_peer(relay_key), now).expect("a fresh overlay has room");
        let listeners = [IpAddr::V4(model.v4), IpAddr::V6(model.v6)]
            .map(|address| host.listen(address, SERVICE_PORT))
            .into();
        let echo = host.bind_udp(model.v4.into(), ECHO_PORT..=ECHO_PORT);
        let node = Self {
            key,
            model,
            place,
            has_joined: false,
            join_at: Some(now),
            relay,
            listeners,
            echo,
        };
        (node, host)
    }
}

fn relay_peer(public_key: PublicKey) -> Peer {
    Peer {
        public_key,
        preshared_key: None,
        endpoint: Some(RELAY),
        persistent_keepalive: Some(KEEPALIVE_SECONDS),
        sources: Sources::Relay,
    }
}

/// The overlay port of a node's TCP service.
pub(super) const SERVICE_PORT: u16 = 8_080;
/// The overlay port of a node's UDP echo.
pub(super) const ECHO_PORT: u16 = 7_777;
const KEEPALIVE_SECONDS: u16 = 25;
