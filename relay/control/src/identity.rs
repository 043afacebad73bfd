//! What never changes while a relay runs: how it is known, where it is, which ports it gives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bore_api::state::RelayInfo;
use bore_policy::Hostname;
use uuid::Uuid;

/// A relay, as it is known.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name or address of the relay.
    pub host: String,
    /// Domain under which generated hostnames live.
    pub domain: Option<String>,
    /// Public key, base64.
    pub public_key: String,
    /// UDP port of the overlay.
    pub overlay_port: u16,
    /// Port that visitors see of HTTP.
    pub http_port: u16,
    /// Port that visitors see of HTTPS.
    pub https_port: u16,
    /// Ports that "any free port" is taken from.
    pub public_ports: RangeInclusive<u16>,
    /// Ports that a node may have without a publish rule.
    pub open_ports: RangeInclusive<u16>,
    /// Version of the program.
    pub version: &'static str,
    /// The overlay's arithmetic, which this room does not know.
    pub overlay: Arc<dyn OverlayAddressing>,
}

/// Addresses and keys of the overlay.
pub trait OverlayAddressing: Send + Sync + std::fmt::Debug {
    /// The text of a join key: addresses of the relay, the cluster's key and this secret.
    fn encode_join_key(&self, network: Uuid, key: Uuid, secret: &[u8; 20]) -> String;
    /// The overlay IPv6 address of a public key in a network; `None` when the text is not a key.
    fn overlay_v6(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr>;
    /// The relay's overlay IPv4 address, which every network has.
    fn relay_v4(&self) -> Ipv4Addr;
    /// TCP port of the API inside every network.
    fn control_port(&self) -> u16;
}

impl Identity {
    /// Names the relay to agents.
    pub(crate) fn info(&self, draining: bool) -> RelayInfo {
        RelayInfo {
            host: self.host.clone(),
            overlay_port: self.overlay_port,
            public_key: self.public_key.clone(),
            version: self.version.to_owned(),
            draining,
            http_port: self.http_port,
            https_port: self.https_port,
        }
    }

    /// The relay's own domain, canonical.
    pub(crate) fn relay_domain(&self) -> Option<Hostname> {
        Hostname::parse(self.domain.as_deref()?).ok()
    }

    /// Returns true if `name` is the relay's own, as its host or its domain.
    pub(crate) fn is_own(&self, name: &Hostname) -> bool {
        self.host.eq_ignore_ascii_case(name.as_str())
            || self.relay_domain().is_some_and(|domain| domain == *name)
    }

    /// The address of a relay that has no name to give.
    pub(crate) fn only_address(&self) -> Option<IpAddr> {
        if self.domain.is_some() {
            return None;
        }
        self.host.parse().ok().map(|address: IpAddr| address.to_canonical())
    }

    /// The overlay address of a node with this key; `None` for what is no key of a node, the relay's own included.
    pub(crate) fn node_address(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr> {
        if public_key == self.public_key {
            return None;
        }
        self.overlay.overlay_v6(network, public_key)
    }

    /// The relay's overlay IPv6 address in a network.
    pub(crate) fn relay_v6(&self, network: Uuid) -> Ipv6Addr {
        let address = self.overlay.overlay_v6(network, &self.public_key);
        // The relay's own key is always one; the unspecified address routes nowhere.
        address.unwrap_or(Ipv6Addr::UNSPECIFIED)
    }

    /// Returns true if `address` is one of the relay's inside a network.
    pub(crate) fn is_relay_address(&self, network: Uuid, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == self.overlay.relay_v4(),
            IpAddr::V6(address) => address == self.relay_v6(network) && !address.is_unspecified(),
        }
    }
}
