//! Who counts as one visitor where bounds are held: an IPv4 address, or an IPv6 /64, because one subscriber has a whole /64.

use std::net::{IpAddr, Ipv6Addr};

use bore_policy::CanonicalAddress;

/// What `visitor` is counted by.
pub fn source(visitor: IpAddr) -> IpAddr {
    match CanonicalAddress::new(visitor).ip() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}
