//! Where a relay, or an agent on somebody else's word, must not dial: the SSRF guard.
//!
//! Only globally routed unicast addresses are free. Everything that leads to the machine itself,
//! to its networks, to the overlay or to a cloud's metadata is forbidden, in every spelling, and so
//! is each form that carries an IPv4 address inside IPv6. An administrator can except networks.
//!
//! A name is resolved by the caller, once; each address is put to [`DestinationGuard::admit`], and
//! the connection goes to an [`AdmittedAddress`], so that a name that changes after the check
//! changes nothing. Source: RFC 6890 and its IANA registries, RFC 6052, RFC 3056, RFC 4380.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::CanonicalAddress;
use crate::network::Network;

/// Why an address is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// `0.0.0.0/8`, `::`: this host.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// The link only.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// A private network: RFC 1918, unique local addresses (the overlay's are among them).
    Private,
    /// `100.64.0.0/10`: the overlay, and carriers' networks.
    Overlay,
    /// Multicast or broadcast.
    Multicast,
    /// Never routed: documentation, benchmarks, reserved blocks.
    Reserved,
    /// An IPv4 address in a mapped or translated IPv6 form.
    Mapped,
    /// An IPv4 address behind a NAT64.
    Nat64,
    /// IPv4 behind a translator of somebody's own or a tunnel: local NAT64, 6to4, Teredo.
    Translated,
    /// One of the relay's own addresses, its database's or its cache's.
    Own,
}

/// An address that was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} may not be dialled: it is {reason}")]
pub struct ForbiddenDestination {
    /// The address.
    pub address: IpAddr,
    /// Why.
    pub reason: Reason,
}

/// An address that a guard has let pass. There is no other way to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdmittedAddress(IpAddr);

impl AdmittedAddress {
    /// The address to dial.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

/// The forbidden destinations of one relay.
#[derive(Debug, Clone, Default)]
pub struct DestinationGuard {
    own: Vec<Network>,
    excepted: Vec<Network>,
}

impl DestinationGuard {
    /// A guard that also forbids `own` (the relay's public addresses, database and cache) and
    /// permits what an administrator has `excepted`, whatever else it is.
    pub fn new(own: Vec<Network>, excepted: Vec<Network>) -> Self {
        Self { own, excepted }
    }

    /// Lets `address` pass, or says why not.
    ///
    /// # Errors
    /// For a forbidden address that no exception contains.
    pub fn admit(&self, address: IpAddr) -> Result<AdmittedAddress, ForbiddenDestination> {
        let canonical = CanonicalAddress::new(address);
        let inside = |networks: &[Network]| networks.iter().any(|each| each.contains(canonical));
        if inside(&self.excepted) {
            return Ok(AdmittedAddress(address));
        }
        let own = inside(&self.own).then_some(Reason::Own);
        match own.or_else(|| is_forbidden_destination(address)) {
            Some(reason) => Err(ForbiddenDestination { address, reason }),
            None => Ok(AdmittedAddress(address)),
        }
    }
}

/// Why nobody outside may choose `address` as a destination; `None` when it is globally routed.
pub fn is_forbidden_destination(address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Reason> {
    let within = |(network, length, _): &&([u8; 4], u32, Reason)| {
        let shift = u32::BITS - length;
        address.to_bits() >> shift == u32::from_be_bytes(*network) >> shift
    };
    V4.iter().find(within).map(|(_, _, reason)| *reason)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Reason> {
    let within = |(network, length, _): &&([u16; 8], u32, Reason)| {
        let shift = u128::BITS - length;
        address.to_bits() >> shift == Ipv6Addr::from(*network).to_bits() >> shift
    };
    let reason = V6.iter().find(within).map(|(_, _, reason)| *reason);
    match reason {
        // The address inside says more than the form around it.
        Some(Reason::Mapped | Reason::Nat64) => forbidden_v4(lowest_v4(address)).or(reason),
        Some(_) => reason,
        None => (!is_global_unicast(address)).then_some(Reason::Reserved),
    }
}

fn lowest_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// `2000::/3`, the only block from which global addresses are given, RFC 4291 §2.4.
fn is_global_unicast(address: Ipv6Addr) -> bool {
    address.to_bits() >> 125 == 0b001
}

/// The first entry that contains an address gives its reason.
const V4: [([u8; 4], u32, Reason); 20] = [
    ([169, 254, 169, 254], 32, Reason::Metadata),
    ([169, 254, 170, 2], 32, Reason::Metadata),
    ([100, 100, 100, 200], 32, Reason::Metadata),
    ([168, 63, 129, 16], 32, Reason::Metadata),
    ([192, 0, 0, 192], 32, Reason::Metadata),
    ([0, 0, 0, 0], 8, Reason::Unspecified),
    ([10, 0, 0, 0], 8, Reason::Private),
    ([100, 64, 0, 0], 10, Reason::Overlay),
    ([127, 0, 0, 0], 8, Reason::Loopback),
    ([169, 254, 0, 0], 16, Reason::LinkLocal),
    ([172, 16, 0, 0], 12, Reason::Private),
    ([192, 0, 0, 0], 24, Reason::Reserved),
    ([192, 0, 2, 0], 24, Reason::Reserved),
    ([192, 88, 99, 0], 24, Reason::Reserved),
    ([192, 168, 0, 0], 16, Reason::Private),
    ([198, 18, 0, 0], 15, Reason::Reserved),
    ([198, 51, 100, 0], 24, Reason::Reserved),
    ([203, 0, 113, 0], 24, Reason::Reserved),
    ([224, 0, 0, 0], 4, Reason::Multicast),
    ([240, 0, 0, 0], 4, Reason::Reserved),
];

/// As above. What is neither here nor in `2000::/3` is reserved.
const V6: [([u16; 8], u32, Reason); 18] = [
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254], 128, Reason::Metadata),
    ([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 128, Reason::Metadata),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Reason::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Reason::Loopback),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Reason::Mapped),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Reason::Mapped),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Reason::Mapped),
    ([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Reason::Nat64),
    ([0x0064, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Reason::Translated),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Reason::Translated),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Reason::Reserved),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, Reason::Reserved),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Reason::Translated),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Reason::Reserved),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Reason::Private),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Reason::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Reason::Private),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Reason::Multicast),
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "the machine itself",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud's metadata service",
            Self::Private => "in a private network",
            Self::Overlay => "in the overlay's range",
            Self::Multicast => "multicast or broadcast",
            Self::Reserved => "in a reserved range",
            Self::Mapped => "IPv4 in an IPv6 form",
            Self::Nat64 => "IPv4 behind a NAT64",
            Self::Translated => "IPv4 behind a translator or a tunnel",
            Self::Own => "one of the relay's own",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forbidden_range_is_known_by_its_first_and_last_address() {
        let table = [
            ("0.0.0.0", "0.255.255.255", Reason::Unspecified),
            ("10.0.0.0", "10.255.255.255", Reason::Private),
            ("100.64.0.0", "100.127.255.255", Reason::Overlay),
            ("127.0.0.0", "127.255.255.255", Reason::Loopback),
            ("169.254.0.0", "169.254.255.255", Reason::LinkLocal),
            ("172.16.0.0", "172.31.255.255", Reason::Private),
            ("192.168.0.0", "192.168.255.255", Reason::Private),
            ("198.18.0.0", "198.19.255.255", Reason::Reserved),
            ("224.0.0.0", "239.255.255.255", Reason::Multicast),
            ("240.0.0.0", "255.255.255.255", Reason::Reserved),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Reason::Translated),
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Translated),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Translated),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Private),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::LinkLocal),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Private),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Multicast),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reason::Reserved),
        ];
        for (first, last, reason) in table {
            assert_eq!(reason_of(last), Some(reason), "{last}");
            assert_eq!(reason_of(first), Some(reason), "{first}");
        }
    }

    #[test]
    fn globally_routed_addresses_are_free() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2003::1",
            "3fff:1000::1",
        ] {
            assert_eq!(reason_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_embedded_address_tells_its_own_reason_first() {
        assert_eq!(reason_of("::ffff:127.0.0.1"), Some(Reason::Loopback));
        assert_eq!(reason_of("::ffff:8.8.8.8"), Some(Reason::Mapped));
        assert_eq!(reason_of("::127.0.0.1"), Some(Reason::Loopback));
        assert_eq!(reason_of("::ffff:0:127.0.0.1"), Some(Reason::Loopback));
        assert_eq!(reason_of("64:ff9b::169.254.169.254"), Some(Reason::Metadata));
        assert_eq!(reason_of("64:ff9b::8.8.8.8"), Some(Reason::Nat64));
    }

    #[test]
    fn a_guard_forbids_the_relay_s_own_and_permits_exceptions_in_every_spelling() {
        let networks = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let guard = DestinationGuard::new(networks(&["1.2.3.4"]), networks(&["10.7.0.0/16"]));
        let admit = |text: &str| guard.admit(text.parse().unwrap());

        assert_eq!(admit("1.2.3.4").unwrap_err().reason, Reason::Own);
        assert_eq!(admit("::ffff:1.2.3.4").unwrap_err().reason, Reason::Own);
        assert_eq!(admit("10.7.1.2").unwrap().ip(), "10.7.1.2".parse::<IpAddr>().unwrap());
        assert!(admit("::ffff:10.7.1.2").is_ok());
        assert_eq!(admit("10.8.1.2").unwrap_err().reason, Reason::Private);
        assert_eq!(
            admit("127.0.0.1").unwrap_err().to_string(),
            "127.0.0.1 may not be dialled: it is the machine itself"
        );
        assert!(admit("1.2.3.5").is_ok());
    }

    #[test]
    fn every_reason_has_words() {
        for (_, _, reason) in V4 {
            assert!(!reason.to_string().is_empty());
        }
        for (_, _, reason) in V6 {
            assert!(!reason.to_string().is_empty());
        }
        assert_eq!(Reason::Own.to_string(), "one of the relay's own");
    }

    fn reason_of(text: &str) -> Option<Reason> {
        is_forbidden_destination(text.parse().unwrap())
    }
}
