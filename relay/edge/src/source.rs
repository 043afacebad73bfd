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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_ipv4_address_are_one_source_and_so_is_an_ipv6_64() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
