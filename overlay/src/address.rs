//! Overlay addresses: what a node has, what a network has, and the constant ones.
//!
//! A node's overlay IPv6 address follows from its network's id and its first key, so both ends know it without asking:
//!
//! | bits | are |
//! |---|---|
//! | 8 | `fd` (RFC 4193 unique local) |
//! | 40 | BLAKE2s of the network's id |
//! | 80 | BLAKE2s of the node's public key |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::key::{PublicKey, first_bytes};

/// A network's id: the 16 bytes of its UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub [u8; 16]);

impl From<uuid::Uuid> for NetworkId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.into_bytes())
    }
}

impl From<NetworkId> for uuid::Uuid {
    fn from(id: NetworkId) -> Self {
        Self::from_bytes(id.0)
    }
}

/// The overlay IPv6 address of the node that joined `network` with `key`.
pub fn overlay_v6(network: NetworkId, key: &PublicKey) -> Ipv6Addr {
    let node: [u8; 10] = first_bytes(key.as_bytes());
    let (prefix, _length) = network_prefix(network);
    let mut octets = prefix.octets();
    for (octet, bits) in octets.iter_mut().skip(PREFIX_BYTES).zip(node) {
        *octet = bits;
    }
    Ipv6Addr::from(octets)
}

/// The network's own IPv6 prefix and its length, 48.
pub fn network_prefix(network: NetworkId) -> (Ipv6Addr, u8) {
    let [a, b, c, d, e]: [u8; 5] = first_bytes(&network.0);
    let octets = [0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    (Ipv6Addr::from(octets), PREFIX_BITS)
}

/// Whether an address may be a node's in some network: 100.64.0.0/10, or unique local, where every network's prefix lies.
pub fn is_overlay(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_shared_v4(v4),
        IpAddr::V6(v6) => v6.octets().first() == Some(&0xfd),
    }
}

/// Whether an address may be a node's in `network`: 100.64.0.0/10, or in the network's own prefix.
pub fn is_in_network(network: NetworkId, ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_shared_v4(v4),
        IpAddr::V6(v6) => {
            let (prefix, _length) = network_prefix(network);
            v6.octets().iter().zip(prefix.octets()).take(PREFIX_BYTES).all(|(a, b)| *a == b)
        }
    }
}

/// RFC 6598: 100.64.0.0/10.
fn is_shared_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0b1100_0000 == 64
}

/// The relay's address inside the walled garden.
pub const GARDEN_RELAY: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6f72, 0x6500, 0, 0, 0, 0, 1);
/// The joining node's address inside the walled garden.
pub const GARDEN_JOINER: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6f72, 0x6500, 0, 0, 0, 0, 2);
/// The one TCP port of the walled garden.
pub const GARDEN_PORT: u16 = 80;
/// TCP port of the relay's control inside the overlay.
pub const CONTROL_PORT: u16 = 80;
/// Overlay port on which an agent answers probes.
pub const PROBE_PORT: u16 = 1;
/// The relay's overlay IPv4 address, in every network.
pub const RELAY_V4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

const PREFIX_BITS: u8 = 48;
const PREFIX_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_lives_in_its_networks_prefix() {
        let address = overlay_v6(NETWORK, &PublicKey([2; 32]));
        assert!(is_in_network(NETWORK, address.into()));
        assert!(!is_in_network(NetworkId([9; 16]), address.into()));
        assert!(is_overlay(address.into()));
    }

    #[test]
    fn addresses_follow_from_network_and_key() {
        let address = overlay_v6(NETWORK, &PublicKey([2; 32]));
        assert_eq!(address, overlay_v6(NETWORK, &PublicKey([2; 32])));
        assert_ne!(address, overlay_v6(NETWORK, &PublicKey([3; 32])));
        assert_ne!(address, overlay_v6(NetworkId([9; 16]), &PublicKey([2; 32])));
    }

    #[test]
    fn the_shared_ipv4_range_has_its_exact_edges() {
        for (text, inside) in [
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("::ffff:100.64.0.1", true),
            ("fd00::1", true),
            ("fc00::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_overlay(text.parse().unwrap()), inside, "{text}");
        }
    }

    #[test]
    fn garden_addresses_are_as_documented() {
        assert_eq!(GARDEN_RELAY.to_string(), "fd62:6f72:6500::1");
        assert_eq!(GARDEN_JOINER.to_string(), "fd62:6f72:6500::2");
    }

    const NETWORK: NetworkId = NetworkId([1; 16]);
}
