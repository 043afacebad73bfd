//! Hostnames in one canonical spelling, and patterns over them.
//!
//! Canonical: lower-case, no trailing dot, ASCII labels (internationalised names in their `xn--`
//! form). What looks like a number in any base is no hostname, because resolvers and browsers read
//! `0x7f.1` as an address.
//! Source: RFC 1123 §2.1, RFC 4343 (case), WHATWG URL "ends in a number".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::label::{self, LabelError};
use crate::limits::HOSTNAME_BYTES_MAX;
use crate::text::{is_digits, quoted, serde_as_text};

/// One or more labels, canonical.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(Box<str>);

/// Why a text is no [`Hostname`] or [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostnameError {
    /// Nothing was given.
    #[error("a hostname is empty")]
    Empty,
    /// Longer than DNS can carry.
    #[error("a hostname has {bytes} bytes, at most {HOSTNAME_BYTES_MAX} are possible")]
    TooLong {
        /// Its length without a trailing dot.
        bytes: usize,
    },
    /// One of its labels is none.
    #[error("{hostname} is no hostname: {cause}")]
    Label {
        /// The text, quoted.
        hostname: String,
        /// What is wrong with the label.
        cause: LabelError,
    },
    /// Some programs would read it as an IPv4 address.
    #[error("{hostname} is no hostname: it would be read as an address")]
    Number {
        /// The text, quoted.
        hostname: String,
    },
    /// A star that is not the whole first label of a longer name.
    #[error(
        "{pattern} is no pattern: `*.` may stand in front of a hostname, and an empty list means every hostname"
    )]
    Star {
        /// The text, quoted.
        pattern: String,
    },
}

impl Hostname {
    /// Reads `text` in any case, with or without one trailing dot.
    ///
    /// # Errors
    /// For anything but DNS labels, and for names that programs read as an address.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        Self::parse_labels(text, label::check)
    }

    /// Reads a name that a visitor asks for, like [`Self::parse`], but with underscores: no host is called so (RFC 1123 §2.1), and names below
    /// a wildcard are, which DNS and browsers carry (RFC 2181 §11).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_visited(text: &str) -> Result<Self, HostnameError> {
        // A letter has every place that an underscore may have.
        Self::parse_labels(text, |part| label::check(&part.replace('_', "x")))
    }

    fn parse_labels(
        text: &str,
        check: impl Fn(&str) -> Result<(), LabelError>,
    ) -> Result<Self, HostnameError> {
        let undotted = text.strip_suffix('.').unwrap_or(text);
        match undotted.len() {
            0 => return Err(HostnameError::Empty),
            bytes if bytes > HOSTNAME_BYTES_MAX => return Err(HostnameError::TooLong { bytes }),
            _ => {}
        }
        let canonical = undotted.to_ascii_lowercase();
        for part in canonical.split('.') {
            check(part).map_err(|cause| HostnameError::Label { hostname: quoted(text), cause })?;
        }
        if ends_in_number(&canonical) {
            return Err(HostnameError::Number { hostname: quoted(text) });
        }
        Ok(Self(canonical.into()))
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is left without the first label; none for a single label.
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }

    /// True when this name lies below `parent`, at any depth; a name does not lie below itself.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(&*parent.0).is_some_and(|front| front.ends_with('.'))
    }
}

/// True when the last label is a number in base 8, 10 or 16, so that some parser takes the whole
/// for an IPv4 address.
pub(crate) fn ends_in_number(host: &str) -> bool {
    let undotted = host.strip_suffix('.').unwrap_or(host);
    let last = undotted.rsplit('.').next().unwrap_or(undotted);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    is_digits(last)
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A hostname, or `*.` and a hostname for every name below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// This name only.
    Exact(Hostname),
    /// Every name below this one, at any depth, and not this one.
    Below(Hostname),
}

impl HostPattern {
    /// Reads `name` or `*.name`.
    ///
    /// # Errors
    /// For a star anywhere else, and for what is no hostname.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let (parent, below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        if parent.contains('*') {
            return Err(HostnameError::Star { pattern: quoted(text) });
        }
        let hostname = Hostname::parse(parent)?;
        Ok(if below { Self::Below(hostname) } else { Self::Exact(hostname) })
    }

    /// True when `hostname` is one of those that the pattern names.
    pub fn covers(&self, hostname: &Hostname) -> bool {
        match self {
            Self::Exact(exact) => exact == hostname,
            Self::Below(parent) => hostname.is_below(parent),
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(hostname) => hostname.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Hostname, HostnameError);
serde_as_text!(HostPattern, HostnameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_becomes_one() {
        for text in ["app.example.org", "APP.Example.ORG", "app.example.org."] {
            assert_eq!(Hostname::parse(text).unwrap().as_str(), "app.example.org");
        }
        assert_eq!(
            Hostname::parse("xn--bcher-kva.example").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
        assert_eq!(Hostname::parse("app").unwrap().as_str(), "app");
    }

    #[test]
    fn nonsense_is_no_hostname() {
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a.b..",
            "a b",
            "a_b.c",
            "bücher.example",
            "-a.b",
            "a\0.b",
            "*.b",
        ] {
            assert!(Hostname::parse(text).is_err(), "{text:?}");
        }
        let long = format!("{}a", "a.".repeat(127));
        assert_eq!(Hostname::parse(&long), Err(HostnameError::TooLong { bytes: 255 }));
        assert!(Hostname::parse(&long[2..]).is_ok(), "253 bytes fit");
    }

    #[test]
    fn what_a_parser_could_take_for_an_address_is_no_hostname() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "a.0x7F",
            "0177.1",
            "1.2.3.4.",
            "a.0x",
        ] {
            let error = Hostname::parse(text).unwrap_err();
            assert!(matches!(error, HostnameError::Number { .. }), "{text}: {error}");
        }
        assert!(Hostname::parse("127.0.0.1.example.org").is_ok());
    }

    #[test]
    fn a_star_means_every_name_below_and_not_the_name_itself() {
        let pattern = HostPattern::parse("*.Dev.example.org").unwrap();
        let covers = |text: &str| pattern.covers(&Hostname::parse(text).unwrap());
        assert!(covers("a.dev.example.org") && covers("a.b.dev.example.org"));
        assert!(
            !covers("dev.example.org") && !covers("xdev.example.org") && !covers("a.example.org")
        );
        assert_eq!(pattern.to_string(), "*.dev.example.org");
    }

    #[test]
    fn an_exact_pattern_means_one_name() {
        let pattern: HostPattern = "app".parse().unwrap();
        assert!(pattern.covers(&Hostname::parse("App").unwrap()));
        assert!(!pattern.covers(&Hostname::parse("app.example.org").unwrap()));
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for text in ["*", "a.*", "a*.b", "*.*.b", "**.b"] {
            let error = HostPattern::parse(text).unwrap_err();
            assert!(matches!(error, HostnameError::Star { .. }), "{text}: {error}");
        }
        assert_eq!(HostPattern::parse("*."), Err(HostnameError::Empty));
    }
}
