//! Where a relay is, as people and join keys write it: an address or a host name, and a port.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A relay's address and UDP port. Text: `203.0.113.7:443`, `[2001:db8::7]:443`, `relay.example.org:443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RelayAddress {
    /// An IP address.
    Socket(SocketAddr),
    /// A host name, to be resolved by whoever connects.
    Name {
        /// Letters, digits, `-` and `.`; at most 253 of them.
        host: String,
        /// UDP port.
        port: u16,
    },
}

/// Why a text is not a [`RelayAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayAddressError {
    /// No `:PORT` at the end, or not a port.
    #[error("no port: write HOST:PORT, such as relay.example.org:443 or [2001:db8::7]:443")]
    Port,
    /// Not a host name.
    #[error("not a host name: use letters, digits, `-` and `.`, at most 253 of them")]
    Host,
}

impl RelayAddress {
    /// An address by name.
    ///
    /// # Errors
    /// `host` is not a host name, or the port is 0.
    pub fn name(host: &str, port: u16) -> Result<Self, RelayAddressError> {
        if port == 0 {
            return Err(RelayAddressError::Port);
        }
        if !is_host(host) {
            return Err(RelayAddressError::Host);
        }
        Ok(Self::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for RelayAddress {
    type Err = RelayAddressError;

    fn from_str(text: &str) -> Result<Self, RelayAddressError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(RelayAddressError::Port)
            } else {
                Ok(address.into())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(RelayAddressError::Port)?;
        Self::name(host, port.parse().map_err(|_| RelayAddressError::Port)?)
    }
}

impl From<SocketAddr> for RelayAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// RFC 1123 §2.1: dot-separated labels of 1 to 63 letters, digits and inner hyphens; not an IPv4 address.
fn is_host(host: &str) -> bool {
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && host
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// RFC 1035 §3.1, without the root's dot.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
        for text in
            ["203.0.113.7:443", "[2001:db8::7]:443", "relay.example.org:51820", "localhost:1"]
        {
            let address: RelayAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_ipv4() {
        let address: RelayAddress = "[::ffff:203.0.113.7]:443".parse().unwrap();
        assert_eq!(address.to_string(), "203.0.113.7:443");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in ["", "relay.example.org", "relay:0", "relay:x", "1.2.3.4:0", "relay:70000"] {
            assert_eq!(text.parse::<RelayAddress>(), Err(RelayAddressError::Port), "{text}");
        }
        for text in [":443", "a..b:443", "-a:443", "a b:443", "1.2.3.400:443", "2001:db8::7:443"] {
            assert_eq!(text.parse::<RelayAddress>(), Err(RelayAddressError::Host), "{text}");
        }
    }
}
