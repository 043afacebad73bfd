//! Who this relay is, as its control room is told, and the overlay's arithmetic that the control room does not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bore_control::{Identity, OverlayAddressing};
use bore_overlay::{
    CONTROL_PORT, ClusterPublicKey, JoinKey, JoinSecret, NetworkId, PublicKey, RELAY_V4,
    RelayAddress, overlay_v6,
};
use uuid::Uuid;

use crate::config::Config;
use crate::state_folder::RelayKeys;

/// The ports that a relay is reached at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicPorts {
    pub(crate) overlay: u16,
    pub(crate) http: u16,
    pub(crate) https: u16,
}

/// The identity of a relay that is set up so.
pub(crate) fn identity(config: &Config, keys: &RelayKeys, ports: PublicPorts) -> Identity {
    let overlay = Addressing {
        cluster: keys.cluster.public(),
        relay: relay_address(&config.host, ports.overlay),
    };
    Identity {
        host: config.host.clone(),
        domain: config.domain.clone(),
        public_key: keys.relay.public().to_string(),
        overlay_port: ports.overlay,
        http_port: ports.http,
        https_port: ports.https,
        public_ports: config.public_ports.clone(),
        open_ports: config.open_ports.clone(),
        version: env!("CARGO_PKG_VERSION"),
        overlay: Arc::new(overlay),
    }
}

/// How nodes and joiners reach this relay.
#[derive(Debug)]
struct Addressing {
    cluster: ClusterPublicKey,
    relay: RelayAddress,
}

impl OverlayAddressing for Addressing {
    fn encode_join_key(&self, network: Uuid, key: Uuid, secret: &[u8; 20]) -> String {
        let join_key = JoinKey {
            cluster: self.cluster,
            network: NetworkId(*network.as_bytes()),
            key_id: *key.as_bytes(),
            secret: JoinSecret::from_bytes(*secret),
            relays: vec![self.relay.clone()],
        };
        join_key.encode().as_str().to_owned()
    }

    fn overlay_v6(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr> {
        let key: PublicKey = public_key.parse().ok()?;
        if key.is_weak() {
            return None;
        }
        Some(overlay_v6(NetworkId(*network.as_bytes()), &key))
    }

    fn relay_v4(&self) -> Ipv4Addr {
        RELAY_V4
    }

    fn control_port(&self) -> u16 {
        CONTROL_PORT
    }
}

fn relay_address(host: &str, port: u16) -> RelayAddress {
    match host.parse::<IpAddr>() {
        Ok(address) => RelayAddress::Socket(SocketAddr::new(address, port)),
        Err(_) => RelayAddress::Name { host: host.to_owned(), port },
    }
}
