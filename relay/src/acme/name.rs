//! What a certificate can be for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bore_policy::Hostname;
use instant_acme::Identifier;

/// A hostname, the names one level below one, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// `app.example.com`.
    Host(String),
    /// `*.example.com`, by its parent.
    Below(String),
    /// `203.0.113.5` (RFC 8738).
    Address(IpAddr),
}

impl Name {
    /// Reads the text of a name; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let parse = |text| Hostname::parse(text).ok().map(|name| name.to_string());
        match text.strip_prefix("*.") {
            Some(parent) => parse(parent).map(Self::Below),
            None => parse(text).map(Self::Host),
        }
    }

    /// As orders name it.
    pub(super) fn identifier(&self) -> Identifier {
        match self {
            Self::Address(address) => Identifier::Ip(*address),
            Self::Host(_) | Self::Below(_) => Identifier::Dns(self.to_string()),
        }
    }

    /// Whether a certificate for `self` speaks for `other` too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(parent), Self::Host(host)) => {
                host.split_once('.').is_some_and(|(_, rest)| rest == parent)
            }
            _ => self == other,
        }
    }

    /// Whether it is `domain` or lies below it.
    pub(super) fn is_within(&self, domain: &str) -> bool {
        match self {
            Self::Host(name) | Self::Below(name) => {
                name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Address(_) => false,
        }
    }

    /// Whether a public CA could vouch for it: nobody owns private addresses and the names of RFC 6761 and 9476.
    pub(super) fn is_public(&self) -> bool {
        match self {
            Self::Host(name) | Self::Below(name) => {
                let top = name.rsplit_once('.').map(|(_, top)| top);
                let is_special = |top| SPECIAL_TOPS.contains(&top) || name.ends_with(".home.arpa");
                top.is_some_and(|top| !is_special(top))
            }
            Self::Address(IpAddr::V4(address)) => is_public_v4(*address),
            Self::Address(IpAddr::V6(address)) => is_public_v6(address),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || is_shared)
}

/// Global unicast is 2000::/3; of it 2001:db8::/32 is for documents.
fn is_public_v6(address: &Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0x0db8)
}

const SPECIAL_TOPS: [&str; 8] =
    ["test", "example", "invalid", "localhost", "local", "internal", "onion", "alt"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for text in ["app.example.com", "*.example.com", "203.0.113.5", "2001:db8::1"] {
            assert_eq!(Name::parse(text).unwrap().to_string(), text);
        }
        for nonsense in ["", "*", "*.*.example.com", "a..b", "-", "a b"] {
            assert_eq!(Name::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_level() {
        let wildcard = name("*.example.com");
        assert!(wildcard.covers(&name("app.example.com")) && wildcard.covers(&wildcard));
        for other in ["example.com", "a.b.example.com", "203.0.113.5"] {
            assert!(!wildcard.covers(&name(other)), "{other}");
        }
        assert!(name("a.b.example.com").is_within("example.com"));
        assert!(!name("badexample.com").is_within("example.com"));
    }

    #[test]
    fn what_nobody_owns_is_not_public() {
        for text in ["10.0.0.1", "127.0.0.1", "100.64.0.1", "::1", "fd00::1", "fe80::1"] {
            assert!(!name(text).is_public(), "{text}");
        }
        for text in ["a.test", "*.t.example", "relay", "nas.local", "nas.home.arpa"] {
            assert!(!name(text).is_public(), "{text}");
        }
        for text in ["app.example.com", "*.example.org", "8.8.8.8", "2606:4700::1111"] {
            assert!(name(text).is_public(), "{text}");
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }
}
