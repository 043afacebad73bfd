//! The `Host` header and `:authority`: a hostname or an address, and perhaps a port.
//!
//! One strict reading, so that the edge routes, decides and logs by the same value. Anything that
//! two readers could split differently (user information, spaces, an empty port) is refused.
//! Source: RFC 9110 §7.2, RFC 3986 §3.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::hostname::{Hostname, HostnameError};
use crate::text::{is_digits, quoted};

/// A checked `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// What it names.
    pub host: AuthorityHost,
    /// The port, when one was written.
    pub port: Option<u16>,
}

/// The host of an [`Authority`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityHost {
    /// A name, canonical.
    Name(Hostname),
    /// An address literal. A relay without a name is reached by one.
    Address(IpAddr),
}

/// Why a `Host` header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The port is no number from 1 to 65535.
    #[error("{port} is no port")]
    Port {
        /// The text after the colon, quoted.
        port: String,
    },
    /// A bracket without its partner, or no IPv6 address between them.
    #[error("{host} is no IPv6 address in brackets")]
    Bracket {
        /// The text, quoted.
        host: String,
    },
    /// Neither a name nor an address.
    #[error("the host is no name")]
    Name {
        /// What is wrong with it.
        source: HostnameError,
    },
}

/// Reads the value of a `Host` header or an `:authority`.
///
/// # Errors
/// For anything but `name`, `name:port`, `v4`, `v4:port`, `[v6]` and `[v6]:port`.
pub fn parse_host_header(value: &str) -> Result<Authority, AuthorityError> {
    let (host, port) = split_port(value)?;
    Ok(Authority { host: parse_host(host)?, port: port.map(parse_port).transpose()? })
}

pub(crate) fn split_port(value: &str) -> Result<(&str, Option<&str>), AuthorityError> {
    if !value.starts_with('[') {
        return Ok(value.split_once(':').map_or((value, None), |(host, port)| (host, Some(port))));
    }
    match value.split_once(']') {
        Some((_, "")) => Ok((value, None)),
        Some((host, rest)) if rest.starts_with(':') => {
            // Both the `]` of the host and the `:` in front of the port are one byte.
            let (address, port) = value.split_at(host.len() + 1);
            Ok((address, port.strip_prefix(':')))
        }
        _ => Err(AuthorityError::Bracket { host: quoted(value) }),
    }
}

fn parse_host(host: &str) -> Result<AuthorityHost, AuthorityError> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|text| text.parse::<Ipv6Addr>().ok());
        return address
            .map(|v6| AuthorityHost::Address(v6.into()))
            .ok_or_else(|| AuthorityError::Bracket { host: quoted(host) });
    }
    if let Ok(v4) = host.parse::<Ipv4Addr>() {
        return Ok(AuthorityHost::Address(v4.into()));
    }
    let name = Hostname::parse_visited(host).map_err(|source| AuthorityError::Name { source })?;
    Ok(AuthorityHost::Name(name))
}

pub(crate) fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    let number = if is_digits(text) { text.parse().ok() } else { None };
    number.filter(|port| *port != 0).ok_or_else(|| AuthorityError::Port { port: quoted(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str, port: Option<u16>) -> Authority {
        Authority { host: AuthorityHost::Name(Hostname::parse(text).unwrap()), port }
    }

    fn address(text: &str, port: Option<u16>) -> Authority {
        Authority { host: AuthorityHost::Address(text.parse().unwrap()), port }
    }

    #[test]
    fn names_lose_case_dot_and_port() {
        assert_eq!(parse_host_header("App.Example.org"), Ok(name("app.example.org", None)));
        assert_eq!(
            parse_host_header("app.example.org.:8443"),
            Ok(name("app.example.org", Some(8443)))
        );
        assert!(parse_host_header("my_app.example.org").is_ok(), "visitors use underscores");
    }

    #[test]
    fn address_literals_are_told_apart_from_names() {
        assert_eq!(parse_host_header("10.0.0.1"), Ok(address("10.0.0.1", None)));
        assert_eq!(parse_host_header("10.0.0.1:80"), Ok(address("10.0.0.1", Some(80))));
        assert_eq!(parse_host_header("[::1]"), Ok(address("::1", None)));
        assert_eq!(parse_host_header("[::1]:443"), Ok(address("::1", Some(443))));
    }

    #[test]
    fn ambiguity_is_refused() {
        for value in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a: 80",
            "a:80:80",
            "a b",
            " a",
            "a ",
            "u@a",
            "a/b",
            "a,b",
            "a#b",
            "a\0",
            "a\r\nb",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[::1]:",
            "[a]",
            "[]",
            "[10.0.0.1]",
            "]",
            "0x7f.1",
            "127.1",
            "2130706433",
            "é.example",
        ] {
            assert!(parse_host_header(value).is_err(), "{value:?}");
        }
    }
}
