//! How it is found out that a target is there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Protocol;
use crate::limits::{HEALTH_INTERVAL_MAX_SECONDS, HEALTH_PATH_CHARS_MAX};

/// How the target of a publication is checked. Default: `tcp` for one port of tcp, tls and http, `none` for udp and for ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// `tcp`, `none`, `http` or `http:/PATH`.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<HealthCheck>,
    /// Seconds between two checks. Default 30.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3600)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<HealthInterval>,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// Nothing: visitors are always let through to the target.
    None,
    /// Finds out whether the target takes connections.
    Tcp,
    /// Asks for this path, beginning with `/`, and takes a status from 200 to 399 for healthy.
    Http(Box<str>),
}

/// Seconds between two checks, from 1 to [`HEALTH_INTERVAL_MAX_SECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct HealthInterval(u16);

/// Why a text or number describes no health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// Not a check.
    #[error("a health check is `tcp`, `http`, `http:/PATH` or `none`")]
    Check,
    /// The path cannot be asked for.
    #[error(
        "the path of a health check begins with `/` and has at most {HEALTH_PATH_CHARS_MAX} visible ASCII characters"
    )]
    Path,
    /// Too short or too long.
    #[error("a health interval is from 1 s to {HEALTH_INTERVAL_MAX_SECONDS} s")]
    Interval,
}

impl HealthOptions {
    /// What is done for a publication of `port_count` ports.
    pub fn effective(&self, protocol: Protocol, port_count: u16) -> HealthCheck {
        let checked_by_default = protocol != Protocol::Udp && port_count == 1;
        let default = if checked_by_default { HealthCheck::Tcp } else { HealthCheck::None };
        self.check.clone().unwrap_or(default)
    }

    /// Seconds between two checks.
    pub fn seconds(&self) -> u16 {
        self.interval_seconds.map_or(INTERVAL_SECONDS, HealthInterval::seconds)
    }
}

impl HealthInterval {
    /// Checks a number of seconds.
    ///
    /// # Errors
    /// It is 0 or above [`HEALTH_INTERVAL_MAX_SECONDS`].
    pub fn new(seconds: u64) -> Result<Self, HealthError> {
        let seconds = u16::try_from(seconds).map_err(|_| HealthError::Interval)?;
        if (1..=HEALTH_INTERVAL_MAX_SECONDS).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(HealthError::Interval)
        }
    }

    /// The number of seconds.
    pub fn seconds(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for HealthInterval {
    type Error = HealthError;

    fn try_from(seconds: u16) -> Result<Self, Self::Error> {
        Self::new(seconds.into())
    }
}

impl From<HealthInterval> for u16 {
    fn from(interval: HealthInterval) -> Self {
        interval.0
    }
}

impl fmt::Display for HealthInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tcp => f.write_str("tcp"),
            Self::Http(path) => write!(f, "http:{path}"),
        }
    }
}

impl FromStr for HealthCheck {
    type Err = HealthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "tcp" => Ok(Self::Tcp),
            "http" => Ok(Self::Http("/".into())),
            _ => match text.strip_prefix("http:") {
                Some(path) => parse_path(path).map(Self::Http),
                None => Err(HealthError::Check),
            },
        }
    }
}

impl Serialize for HealthCheck {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HealthCheck {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A path and query as they stand in a request line; a fragment is never sent (RFC 9110 §7.1).
fn parse_path(path: &str) -> Result<Box<str>, HealthError> {
    let is_sendable = path.starts_with('/')
        && path.len() <= HEALTH_PATH_CHARS_MAX
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_sendable { Ok(path.into()) } else { Err(HealthError::Path) }
}

const INTERVAL_SECONDS: u16 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_reads_as_it_is_written() {
        for text in ["none", "tcp", "http:/", "http:/healthz?deep=1"] {
            assert_eq!(text.parse::<HealthCheck>().unwrap().to_string(), text);
        }
        assert_eq!("http".parse(), Ok(HealthCheck::Http("/".into())));
        for text in ["", "TCP", "http:healthz", "http:/a b", "http:/a#b", "http:/a\r\nX: y"] {
            assert!(text.parse::<HealthCheck>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_and_udp_are_checked_only_where_that_was_asked_for() {
        let default = HealthOptions::default();
        assert_eq!(default.effective(Protocol::Http, 1), HealthCheck::Tcp);
        assert_eq!(default.effective(Protocol::Tcp, 2), HealthCheck::None);
        assert_eq!(default.effective(Protocol::Udp, 1), HealthCheck::None);
        let asked = HealthOptions { check: Some(HealthCheck::Tcp), ..default };
        assert_eq!(asked.effective(Protocol::Tcp, 2), HealthCheck::Tcp);
    }

    #[test]
    fn an_interval_is_at_least_a_second_and_at_most_an_hour() {
        assert!(HealthInterval::new(0).is_err() && HealthInterval::new(3601).is_err());
        assert_eq!(HealthInterval::new(3600).map(HealthInterval::seconds), Ok(3600));
        let text = r#"{"check":"http:/up","interval_seconds":5}"#;
        let options: HealthOptions = serde_json::from_str(text).unwrap();
        assert_eq!(
            (options.seconds(), serde_json::to_string(&options).unwrap()),
            (5, text.to_owned())
        );
    }
}
