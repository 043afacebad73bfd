//! Who visits: an address in its one canonical form, and the node behind it, if there is one.
//!
//! IPv4 has three spellings in IPv6: mapped (`::ffff:10.1.2.3`), behind a NAT64
//! (`64:ff9b::a01:203`), and itself. All become the last, once, on the way in, so that no rule can
//! be avoided by a spelling.
//!
//! Invariant: the node of a [`Visitor`] comes from the tunnel that its packets came in by, never
//! from an address inside. Source: RFC 4291 §2.5.5.2, RFC 6052 §2.1.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use uuid::Uuid;

use crate::label::Label;

/// An address as rules see it: IPv4 wherever the address stands for IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CanonicalAddress(IpAddr);

impl CanonicalAddress {
    /// Takes an address from a socket or a packet.
    pub fn new(address: IpAddr) -> Self {
        let v4 = match address {
            IpAddr::V6(v6) => embedded_v4(v6),
            IpAddr::V4(_) => None,
        };
        Self(v4.map_or(address, IpAddr::V4))
    }

    /// The address; an IPv6 address here stands for nothing but itself.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for CanonicalAddress {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

impl fmt::Display for CanonicalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The IPv4 address of a mapped or a NAT64 address.
pub(crate) fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    address.to_ipv4_mapped().or_else(|| nat64_v4(address))
}

/// The IPv4 address behind the well-known NAT64 prefix, `64:ff9b::/96`.
fn nat64_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// Who opens a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Where the flow comes from: on the public side the socket's peer, in the overlay the node's
    /// overlay address.
    pub address: CanonicalAddress,
    /// The node, when the flow came in by a node's tunnel.
    pub node: Option<VisitorNode>,
}

/// A visitor that is a node of the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorNode {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Label,
    /// The groups that it is in.
    pub groups: BTreeSet<Label>,
}

impl Visitor {
    /// A visitor on a public socket.
    pub fn public(address: IpAddr) -> Self {
        Self { address: address.into(), node: None }
    }

    /// A visitor whose flow came in by the tunnel of `node`.
    pub fn overlay(address: IpAddr, node: VisitorNode) -> Self {
        Self { address: address.into(), node: Some(node) }
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node {} ({})", node.name, self.address),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_ipv4_address_are_one() {
        for text in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "::ffff:a01:203",
            "64:ff9b::a01:203",
            "64:ff9b::10.1.2.3",
        ] {
            let address = CanonicalAddress::new(text.parse().unwrap());
            assert_eq!(address.to_string(), "10.1.2.3", "{text}");
        }
    }

    #[test]
    fn other_ipv6_addresses_stay_themselves() {
        for text in
            ["::", "::1", "::a01:203", "64:ff9b:1::a01:203", "64:ff9b::1:a01:203", "::fffe:a01:203"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(CanonicalAddress::new(address).ip(), address, "{text}");
        }
    }

    #[test]
    fn a_visitor_is_named_by_its_node_where_it_has_one() {
        let address = "100.64.0.7".parse().unwrap();
        let node = VisitorNode {
            id: Uuid::nil(),
            name: Label::parse("nas").unwrap(),
            groups: BTreeSet::new(),
        };
        assert_eq!(Visitor::public(address).to_string(), "100.64.0.7");
        assert_eq!(Visitor::overlay(address, node).to_string(), "node nas (100.64.0.7)");
    }
}
