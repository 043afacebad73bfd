//! How far an address reaches, and whether a visit from outside may go there.
//!
//! A relay's operator decides what the names of its publications resolve to, so an answer of DNS is the word of a stranger. A visit follows it
//! to the Internet, and to a nearer address only where the tunnel itself goes to one of the same scope.
//!
//! Sources: the IANA registries of special-purpose addresses (RFC 6890), RFC 1918, RFC 4193, RFC 6598; for addresses that carry an IPv4 address
//! RFC 4291 §2.5.5, RFC 6052, RFC 8215 and RFC 3056.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::network_watch::source_towards;

/// Who shares an address's network with this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everybody.
    Internet,
    /// Nobody: loopback, and the addresses of this machine's interfaces.
    ThisMachine,
    /// A site: RFC 1918, unique local addresses, local NAT64 prefixes.
    Private,
    /// A provider's network, or another overlay's: 100.64.0.0/10.
    Shared,
    /// A link.
    Link,
    /// Not the address of one machine.
    Never,
}

impl Scope {
    /// The scope of `address`, seen from this machine.
    pub(super) fn of(address: IpAddr) -> Self {
        let scope = Self::by_range(address);
        if scope != Self::Never && is_own(address) { Self::ThisMachine } else { scope }
    }

    fn by_range(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::ThisMachine,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::Shared,
            [169, 254, ..] => Self::Link,
            [0 | 224..=255, ..] | [192, 0, 0, _] => Self::Never,
            _ => Self::Internet,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_loopback() {
            return Self::ThisMachine;
        }
        match address.segments() {
            // IPv4-compatible and IPv4-translated addresses, Teredo, discard-only.
            [0, 0, 0, 0, 0, 0, ..]
            | [0, 0, 0, 0, 0xffff, 0, ..]
            | [0x2001, 0, ..]
            | [0x100, 0, 0, 0, ..] => Self::Never,
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Self::of_v4(embedded(high, low)),
            [0x2002, high, low, ..] => Self::of_v4(embedded(high, low)),
            [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::Link,
            [0xff00..=0xffff, ..] => Self::Never,
            _ => Self::Internet,
        }
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// The kernel sends from an address to itself.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    source_towards(SocketAddr::new(address, ANY_PORT)).is_ok_and(|source| source == address)
}

/// Returns true if a visit may go to `address` while the tunnel goes to `relay`.
pub(super) fn may_visit(address: IpAddr, relay: IpAddr) -> bool {
    let scope = Scope::of(address);
    scope == Scope::Internet || (scope != Scope::Never && scope == Scope::of(relay))
}

/// Nothing is sent there.
const ANY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_near_address_has_its_scope() {
        let near = [
            (
                Scope::ThisMachine,
                "127.0.0.1 127.8.9.1 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::",
            ),
            (Scope::Private, "10.0.0.1 172.16.0.1 172.31.255.1 192.168.1.1 ::ffff:10.0.0.1"),
            (
                Scope::Private,
                "64:ff9b::a00:1 64:ff9b:1::1 fd00:ec2::254 fc00::1 fec0::1 2002:c0a8:101::1",
            ),
            (Scope::Shared, "100.64.0.1 100.127.255.254 ::ffff:100.100.100.200"),
            (Scope::Link, "169.254.169.254 fe80::1 febf::1 64:ff9b::a9fe:a9fe"),
            (Scope::Never, "0.0.0.0 0.1.2.3 255.255.255.255 240.0.0.1 224.0.0.251 192.0.0.192"),
            (
                Scope::Never,
                ":: ::127.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0.0.0.0 ff02::1 2001:0:1::1 100::1 64:ff9b::",
            ),
            (Scope::Internet, "203.0.113.5 172.32.0.1 100.128.0.1 2001:db8::1 64:ff9b::808:808"),
        ];
        for (scope, addresses) in near {
            for text in addresses.split(' ') {
                assert_eq!(Scope::by_range(text.parse().unwrap()), scope, "{text}");
            }
        }
    }

    #[test]
    fn a_near_address_is_visited_only_where_the_relay_is_as_near() {
        let may = |address: &str, relay: &str| {
            may_visit(address.parse().unwrap(), relay.parse().unwrap())
        };
        assert!(may("203.0.113.9", "203.0.113.5") && may("203.0.113.9", "10.0.0.5"));
        assert!(may("::1", "127.0.0.1") && may("10.0.0.6", "192.168.1.5"));
        for near in ["127.0.0.1", "10.0.0.6", "100.64.0.1", "169.254.169.254", "0.0.0.0"] {
            assert!(!may(near, "203.0.113.5"), "{near}");
        }
        for near in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "224.0.0.1"] {
            assert!(!may(near, "10.0.0.5"), "{near}");
        }
    }
}
