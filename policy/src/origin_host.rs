//! The `Host` that a web service is to see, whatever its visitors wrote: a name or an address, and a port if it is not the usual one.
//!
//! Source: RFC 9110 §7.2, RFC 3986 §3.2.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::authority::{parse_port, split_port};
use crate::target::parse_host;
use crate::text::{quoted, serde_as_text};

/// A host and perhaps a port, as they stand in a `Host` header; canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginHost(Box<str>);

/// Why a text is no [`OriginHost`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text} is no host that could stand in a request: write NAME, NAME:PORT, an IPv4 address or [IPV6]"
)]
pub struct OriginHostError {
    /// The text, quoted.
    text: String,
}

impl OriginHost {
    /// Reads a name, with underscores where container networks have them, or an address; and a port, if one follows.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Self, OriginHostError> {
        let none = || OriginHostError { text: quoted(text) };
        let (host, port) = split_port(text).map_err(|_| none())?;
        let port = port.map(parse_port).transpose().map_err(|_| none())?;
        // The split has seen both brackets.
        let host = if host.starts_with('[') { host.trim_end_matches(']') } else { host };
        let host = parse_host(host).map_err(|_| none())?;
        Ok(Self::new(host, port))
    }

    pub(crate) fn new(host: impl fmt::Display, port: Option<u16>) -> Self {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Self(format!("{host}{port}").into())
    }

    /// As it stands in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OriginHost {
    type Err = OriginHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(OriginHost, OriginHostError);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn names_and_addresses_are_read_with_and_without_a_port() {
        for (text, canonical) in [
            ("Intranet.Local.", "intranet.local"),
            ("intranet.local:8080", "intranet.local:8080"),
            ("my_service:80", "my_service:80"),
            ("localhost", "localhost"),
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]", "[::1]"),
            ("[::1]:3000", "[::1]:3000"),
        ] {
            let host = OriginHost::parse(text).unwrap();
            assert_eq!(host.as_str(), canonical, "{text}");
            assert_eq!(OriginHost::parse(canonical), Ok(host), "{text} can be read again");
        }
    }

    #[test]
    fn nothing_else_gets_into_a_head() {
        for text in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "a b",
            "a\r\nx: y",
            "a,b",
            "a/b",
            "u@a",
            "http://a",
            "[::1",
            "::1",
            "[a]",
            "a]",
            "[::1]]",
            "*.a",
            "0x7f.1",
            "a\0",
            "é.example",
        ] {
            assert!(OriginHost::parse(text).is_err(), "{text:?}");
        }
        assert!(OriginHost::parse(&"a".repeat(300)).is_err());
    }

    #[test]
    fn a_target_names_itself_without_the_usual_port() {
        for (target, host) in [
            ("3000", "localhost:3000"),
            ("nas.local:80", "nas.local"),
            ("h2c://nas.local:80", "nas.local"),
            ("https://nas.local:443", "nas.local"),
            ("https://nas.local:80", "nas.local:80"),
            ("https+insecure://[::1]:8443", "[::1]:8443"),
            ("unix:/run/app.sock", "localhost"),
        ] {
            let target = Target::parse(target).unwrap();
            assert_eq!(target.own_host().as_str(), host, "{target}");
            assert_eq!(
                OriginHost::parse(host),
                Ok(target.own_host()),
                "{host} can be given by hand"
            );
        }
    }
}
