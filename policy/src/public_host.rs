//! What visitors of a publication name: a hostname, or every name one label below a hostname.
//!
//! The star is that of a certificate (RFC 6125 §6.4.3): it stands for exactly one label, unlike the star of a
//! [`HostPattern`], which is about every depth.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hostname::{HostPattern, Hostname, HostnameError};
use crate::text::{quoted, serde_as_text};

/// One public name of a publication.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PublicHost {
    /// This name.
    Exact(Hostname),
    /// Each name that has one label more than this one.
    Wildcard(Hostname),
}

impl PublicHost {
    /// Reads `name` or `*.name`.
    ///
    /// # Errors
    /// For a star anywhere else, and for what is no hostname.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        match text.strip_prefix(STAR) {
            Some(base) if base.contains('*') => Err(HostnameError::Star { pattern: quoted(text) }),
            Some(base) => Hostname::parse(base).map(Self::Wildcard),
            None if text.contains('*') => Err(HostnameError::Star { pattern: quoted(text) }),
            None => Hostname::parse(text).map(Self::Exact),
        }
    }

    /// The name itself, or the one that its names lie below.
    pub fn base(&self) -> &Hostname {
        match self {
            Self::Exact(name) | Self::Wildcard(name) => name,
        }
    }

    /// True when visitors may name `hostname` to get here.
    pub fn covers(&self, hostname: &Hostname) -> bool {
        match self {
            Self::Exact(name) => name == hostname,
            Self::Wildcard(base) => hostname.parent() == Some(base.as_str()),
        }
    }

    /// The wildcard that covers `hostname`, as it is written.
    pub fn wildcard_of(hostname: &Hostname) -> Option<String> {
        hostname.parent().map(|parent| format!("{STAR}{parent}"))
    }
}

impl HostPattern {
    /// True when every name of `host` is one of those that the pattern names.
    pub fn covers_all(&self, host: &PublicHost) -> bool {
        match (self, host) {
            (_, PublicHost::Exact(name)) => self.covers(name),
            (Self::Exact(_), PublicHost::Wildcard(_)) => false,
            (Self::Below(parent), PublicHost::Wildcard(base)) => {
                base == parent || base.is_below(parent)
            }
        }
    }

    /// True when some name of `host` is one of those that the pattern names.
    pub fn overlaps(&self, host: &PublicHost) -> bool {
        match self {
            Self::Exact(name) => host.covers(name),
            // Names of one level lie below a name all together or not at all.
            Self::Below(_) => self.covers_all(host),
        }
    }
}

impl fmt::Display for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(base) => write!(f, "{STAR}{base}"),
        }
    }
}

impl FromStr for PublicHost {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(PublicHost, HostnameError);

const STAR: &str = "*.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_whole_label_in_front() {
        for text in ["shop.example.com", "*.shop.example.com"] {
            assert_eq!(host(text).to_string(), text);
        }
        assert_eq!(host("*.Shop.Example.com."), host("*.shop.example.com"));
        for text in ["*", "*.", "a.*.example", "*a.example", "**.example", "*.*.example"] {
            assert!(PublicHost::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_level_and_not_its_base() {
        let wildcard = host("*.shop.example.com");
        let covered = |text: &str| wildcard.covers(&Hostname::parse(text).unwrap());
        assert!(covered("a.shop.example.com"));
        assert!(!covered("shop.example.com"));
        assert!(!covered("b.a.shop.example.com"));
        assert!(!covered("ashop.example.com"));
        let name = Hostname::parse("a.shop.example.com").unwrap();
        assert_eq!(PublicHost::wildcard_of(&name).as_deref(), Some("*.shop.example.com"));
        assert_eq!(PublicHost::wildcard_of(&Hostname::parse("localhost").unwrap()), None);
    }

    #[test]
    fn a_pattern_allows_a_wildcard_only_whole_and_denies_it_for_one_name() {
        let table = [
            // pattern, host, covers all, overlaps
            ("*.example.com", "*.example.com", true, true),
            ("*.example.com", "*.shop.example.com", true, true),
            ("*.shop.example.com", "*.example.com", false, false),
            ("a.example.com", "*.example.com", false, true),
            ("b.a.example.com", "*.example.com", false, false),
            ("a.example.com", "a.example.com", true, true),
            ("*.example.com", "example.com", false, false),
            ("example.com", "*.example.com", false, false),
        ];
        for (pattern, text, all, some) in table {
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(pattern.covers_all(&host(text)), all, "{pattern} covers {text}");
            assert_eq!(pattern.overlaps(&host(text)), some, "{pattern} overlaps {text}");
        }
    }

    fn host(text: &str) -> PublicHost {
        PublicHost::parse(text).unwrap()
    }
}
