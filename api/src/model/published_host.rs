//! What visitors name to come to a publication that has no port of its own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bore_policy::{Hostname, HostnameError, PublicHost};
use serde::{Deserialize, Serialize};

/// A hostname, a wildcard of one level, or the address of a relay that has no name. Read and written as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PublishedHost {
    /// A hostname or wildcard.
    Name(PublicHost),
    /// The relay's own address, in the place of a hostname.
    Address(IpAddr),
}

impl PublishedHost {
    /// The hostname or wildcard, as rules know it; `None` for an address.
    pub fn name(&self) -> Option<&PublicHost> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The name below which a wildcard stands for every name of one more label.
    pub fn wildcard_base(&self) -> Option<&Hostname> {
        match self {
            Self::Name(PublicHost::Wildcard(base)) => Some(base),
            Self::Name(PublicHost::Exact(_)) | Self::Address(_) => None,
        }
    }
}

impl FromStr for PublishedHost {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => PublicHost::parse(text).map(Self::Name),
        }
    }
}

impl fmt::Display for PublishedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for PublishedHost {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublishedHost> for String {
    fn from(host: PublishedHost) -> Self {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_wildcard_and_an_address_are_read_as_they_are_written() {
        let json = r#"["app.t.example.org","*.shop.example.com","203.0.113.5","2001:db8::1"]"#;
        let hosts: Vec<PublishedHost> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&hosts).unwrap(), json);
        let kinds =
            hosts.iter().map(|host| (host.name().is_some(), host.wildcard_base().is_some()));
        let expected = [(true, false), (true, true), (false, false), (false, false)];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_else_is_published_under() {
        for text in
            ["", "*", "a b", "app.t/../x", "a.*.example", "0x7f.1", "[::1]", "a\u{1b}[2J.example"]
        {
            assert!(text.parse::<PublishedHost>().is_err(), "{text:?}");
        }
    }
}
