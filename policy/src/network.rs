//! Networks as people write them: an address, or an address and a prefix length.
//!
//! A [`Network`] is canonical: no host bits, and the IPv4 form where there is one
//! (`::ffff:10.0.0.0/104` and `64:ff9b::a00:0/104` are `10.0.0.0/8`). An IPv6 network shorter than
//! 96 bits stays IPv6 and contains no IPv4 visitor: `::/0` means every IPv6 address.
//!
//! Nothing is guessed: a text with a second possible meaning is an error that shows how to write
//! what was probably meant. Source: RFC 4632 §3.1, RFC 4291 §2.3, RFC 6052 §2.1.

mod spelling;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::address::{self, CanonicalAddress};
use crate::text::{is_digits, quoted, serde_as_text};

/// An IPv4 or IPv6 network, canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// Why a text is no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Nothing was given.
    #[error("a network is empty: write an address like 10.1.2.3 or a network like 10.0.0.0/8")]
    Empty,
    /// Neither an address nor a network.
    #[error(
        "{text} is no address and no network: write one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32"
    )]
    NotAnAddress {
        /// The text, quoted.
        text: String,
    },
    /// What follows the slash is no number.
    #[error("{text} is no prefix length: write a number from 0 to {max} after the slash")]
    LengthNotANumber {
        /// What follows the slash, quoted.
        text: String,
        /// The longest prefix of this address family.
        max: u8,
    },
    /// Longer than the address.
    #[error("{text} cannot be: the longest prefix of an {family} network is /{max}")]
    LengthTooLong {
        /// The text, quoted.
        text: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The longest prefix of this address family.
        max: u8,
    },
    /// The address has bits behind the prefix.
    #[error(
        "{text} has host bits set: write {network} for the network, or {address} for one address"
    )]
    HostBits {
        /// The text, quoted.
        text: String,
        /// The network that contains the address.
        network: String,
        /// The address alone.
        address: IpAddr,
    },
    /// A spelling that other programs know.
    #[error("{text} {problem}: write {instead}")]
    Spelling {
        /// The text, quoted.
        text: String,
        /// What it is.
        problem: &'static str,
        /// How it is written here.
        instead: String,
    },
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, `10.1.2.3` or `2001:db8::1`.
    ///
    /// # Errors
    /// Says what is wrong and, where that can be known, how to write what was meant.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        if text.is_empty() {
            return Err(NetworkError::Empty);
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let parsed =
            address.parse::<IpAddr>().map_err(|_| spelling::not_an_address(text, address))?;
        match length {
            Some(length) => with_length(text, parsed, length),
            None => Ok(Self::single(parsed)),
        }
    }

    /// The network of one address.
    pub fn single(address: IpAddr) -> Self {
        Self(IpNet::from(CanonicalAddress::new(address).ip()))
    }

    /// True when `address` lies inside; the other address family never does.
    pub fn contains(&self, address: CanonicalAddress) -> bool {
        self.0.contains(&address.ip())
    }

    /// True when visitors from the public Internet cannot have any of its addresses.
    pub fn is_private(&self) -> bool {
        PRIVATE_NETWORKS.iter().any(|private| private.contains(&self.0))
    }

    /// The network in the terms of crate `ipnet`.
    pub fn ip_net(&self) -> IpNet {
        self.0
    }
}

/// RFC 1918 §3, RFC 6598 §7, RFC 3927, RFC 1122 §3.2.1.3, RFC 4193 §3.1, RFC 4291 §2.5.
const PRIVATE_NETWORKS: [IpNet; 9] = [
    private_v4([10, 0, 0, 0], 8),
    private_v4([172, 16, 0, 0], 12),
    private_v4([192, 168, 0, 0], 16),
    private_v4([100, 64, 0, 0], 10),
    private_v4([169, 254, 0, 0], 16),
    private_v4([127, 0, 0, 0], 8),
    private_v6(0xfc00, 0, 7),
    private_v6(0xfe80, 0, 10),
    private_v6(0, 1, 128),
];

const fn private_v4(octets: [u8; 4], length: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn private_v6(first: u16, last: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last), length))
}

fn with_length(text: &str, address: IpAddr, length: &str) -> Result<Network, NetworkError> {
    let (family, max) = family(address);
    let Some(number) = plain_number(length) else {
        return Err(spelling::wrong_length(text, address, length, max));
    };
    let length = u8::try_from(number).unwrap_or(u8::MAX);
    let written = IpNet::new(address, length).map_err(|_| NetworkError::LengthTooLong {
        text: quoted(text),
        family,
        max,
    })?;
    if written.addr() != written.network() {
        let network = Network(canonical(written)).to_string();
        return Err(NetworkError::HostBits { text: quoted(text), network, address });
    }
    Ok(Network(canonical(written)))
}

fn family(address: IpAddr) -> (&'static str, u8) {
    match address {
        IpAddr::V4(_) => ("IPv4", 32),
        IpAddr::V6(_) => ("IPv6", 128),
    }
}

/// Digits without a sign or a leading zero.
fn plain_number(text: &str) -> Option<u16> {
    let padded = text.len() > 1 && text.starts_with('0');
    if is_digits(text) && !padded { text.parse().ok() } else { None }
}

/// The IPv4 network that a long enough IPv6 one stands for, else the network itself.
fn canonical(written: IpNet) -> IpNet {
    let network = written.trunc();
    let embedded = match network {
        IpNet::V6(v6) => address::embedded_v4(v6.addr()).zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    embedded.and_then(|(v4, length)| IpNet::new(v4.into(), length).ok()).unwrap_or(network)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Network, NetworkError);

#[cfg(test)]
mod tests;
