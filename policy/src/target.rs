//! What an agent dials for a publication, read from a command line, a file or the API.
//!
//! | text | means |
//! |---|---|
//! | `7777`, `27000-27050` | that port, or those ports, of `localhost`: of 127.0.0.1, else of ::1 |
//! | `HOST:PORT`, `HOST:FIRST-LAST` | an IPv4 address or a name |
//! | `[v6]:PORT` | an IPv6 address |
//! | `unix:/path` | a Unix socket, by its absolute path |
//! | `h2c://HOST:PORT` | a web service that speaks HTTP/2 without TLS |
//! | `https://HOST:PORT` | a web service behind TLS, whose certificate the agent checks |
//! | `https+insecure://HOST:PORT` | the same with any certificate |
//! | `in-process` | no place: a program that runs the agent inside itself takes the visitors |
//!
//! Reading is strict: an address is dotted decimal or plain IPv6, and what resolvers would take for
//! an address in another base (`0x7f.1`, `2130706433`) is refused, so that the target that is checked
//! is the one that is dialled. Whether it may be dialled is for [`Target::covers`] on an agent and
//! for [`crate::DestinationGuard`] on a relay. Source: RFC 3986 §3.2.2, RFC 6943 §3.1.1.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hostname::ends_in_number;
use crate::limits::{HOSTNAME_BYTES_MAX, LABEL_BYTES_MAX, UNIX_PATH_BYTES_MAX};
use crate::origin_host::OriginHost;
use crate::ports::{PortRange, PortRangeError};
use crate::text::{is_digits, quoted, serde_as_text};

/// A local service, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Ports of a host.
    Host {
        /// How a web service is spoken to.
        scheme: TargetScheme,
        /// The host.
        host: TargetHost,
        /// Its ports.
        ports: PortRange,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// The program that runs the agent inside itself. Nothing is dialled.
    InProcess,
}

/// How a service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetScheme {
    /// As the visitor's bytes come; a web service in HTTP/1.1, or in HTTP/2 where gRPC needs it.
    #[default]
    Plain,
    /// HTTP/2 from the first byte on.
    H2c,
    /// The same as plain inside TLS, with a certificate that the agent's machine trusts.
    Https,
    /// The same as plain inside TLS, whoever answers.
    HttpsUnverified,
}

/// The host of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// An address; a mapped IPv4 address is held as IPv4.
    Address(IpAddr),
    /// A name in lower case without a trailing dot. Underscores are permitted, because container
    /// networks have names with them.
    Name(Box<str>),
}

/// Why a text is no [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// None of the forms.
    #[error("{text} is no target: write a port like 7777, HOST:PORT, [IPV6]:PORT or unix:/path")]
    Form {
        /// The text, quoted.
        text: String,
    },
    /// A URL.
    #[error(
        "{text} is a URL: leave out the scheme and the path, as in 127.0.0.1:3000; only h2c:// and https:// may stand in front"
    )]
    Url {
        /// The text, quoted.
        text: String,
    },
    /// The port is none.
    #[error("in target {text}: {cause}")]
    Port {
        /// The text, quoted.
        text: String,
        /// What is wrong with the port.
        cause: PortRangeError,
    },
    /// An IPv6 address without brackets.
    #[error("{text} is ambiguous: put the IPv6 address in brackets, as in [::1]:7777")]
    Brackets {
        /// The text, quoted.
        text: String,
    },
    /// The text between brackets is no IPv6 address.
    #[error("{text} has no IPv6 address between its brackets")]
    NotIpv6 {
        /// The text, quoted.
        text: String,
    },
    /// An IPv4 address in another notation than four decimal numbers.
    #[error("{host} is no plain IPv4 address: write four decimal numbers without leading zeros")]
    Notation {
        /// The host, quoted.
        host: String,
    },
    /// Neither an address nor a name.
    #[error("{host} is neither an address nor a name of a host")]
    Name {
        /// The host, quoted.
        host: String,
    },
    /// A Unix path that is relative, empty, too long or not of plain components.
    #[error(
        "{path} is no path of a Unix socket: it must be absolute, without `..`, and of at most {UNIX_PATH_BYTES_MAX} bytes"
    )]
    UnixPath {
        /// The path, quoted.
        path: String,
    },
}

impl Target {
    /// Reads a target in one of the forms above.
    ///
    /// # Errors
    /// Says what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text == IN_PROCESS {
            return Ok(Self::InProcess);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path);
        }
        let (scheme, rest) = TargetScheme::split(text);
        if rest.contains("://") {
            return Err(TargetError::Url { text: quoted(text) });
        }
        let (host, ports) = split_host(rest)?;
        let host = parse_host(host.unwrap_or(DEFAULT_HOST))?;
        let ports = PortRange::parse(ports)
            .map_err(|cause| TargetError::Port { text: quoted(text), cause })?;
        Ok(Self::Host { scheme, host, ports })
    }

    /// How the service is spoken to.
    pub fn scheme(&self) -> TargetScheme {
        match self {
            Self::Host { scheme, .. } => *scheme,
            Self::Unix(_) | Self::InProcess => TargetScheme::Plain,
        }
    }

    /// The same service behind TLS, with any certificate; `None` for one that is not behind TLS.
    pub fn unverified(&self) -> Option<Self> {
        match self {
            Self::Host { scheme: TargetScheme::Https, host, ports } => {
                let scheme = TargetScheme::HttpsUnverified;
                Some(Self::Host { scheme, host: host.clone(), ports: *ports })
            }
            Self::Host { .. } | Self::Unix(_) | Self::InProcess => None,
        }
    }

    /// True when whoever declared this target also declared `wanted`: the same host, spoken to in the
    /// same way, and ports among these, or the same path.
    ///
    /// A name covers only itself: what it resolves to is another question.
    pub fn covers(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (
                Self::Host { scheme, host, ports },
                Self::Host { scheme: same, host: other, ports: wanted },
            ) => scheme == same && host == other && ports.covers(*wanted),
            (Self::Unix(path), Self::Unix(other)) => path == other,
            (Self::InProcess, Self::InProcess) => true,
            (Self::Host { .. } | Self::Unix(_) | Self::InProcess, _) => false,
        }
    }

    /// What a web service would be called by a client of its own.
    pub fn own_host(&self) -> OriginHost {
        match self {
            Self::Host { scheme, host, ports } => {
                let port = Some(ports.first()).filter(|port| *port != scheme.default_port());
                OriginHost::new(host, port)
            }
            Self::Unix(_) | Self::InProcess => OriginHost::new("localhost", None),
        }
    }

    /// How many ports there are; what has none counts as one.
    pub fn port_count(&self) -> u16 {
        match self {
            Self::Host { ports, .. } => ports.count(),
            Self::Unix(_) | Self::InProcess => 1,
        }
    }
}

impl TargetScheme {
    /// What stands in front of a host.
    fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::H2c => "h2c://",
            Self::Https => "https://",
            Self::HttpsUnverified => "https+insecure://",
        }
    }

    /// The port that a client needs not name.
    fn default_port(self) -> u16 {
        match self {
            Self::Plain | Self::H2c => 80,
            Self::Https | Self::HttpsUnverified => 443,
        }
    }

    fn split(text: &str) -> (Self, &str) {
        let schemes = [Self::H2c, Self::Https, Self::HttpsUnverified];
        let found = schemes
            .into_iter()
            .find_map(|scheme| text.strip_prefix(scheme.prefix()).map(|rest| (scheme, rest)));
        found.unwrap_or((Self::Plain, text))
    }
}

/// How [`Target::InProcess`] is written.
const IN_PROCESS: &str = "in-process";
/// Where a target without a host is.
/// Both of its loopback addresses: many servers listen on one of them only.
const DEFAULT_HOST: &str = "localhost";

/// The host, if one is written, and the ports.
fn split_host(text: &str) -> Result<(Option<&str>, &str), TargetError> {
    if text.starts_with('[') {
        return match text.rsplit_once("]:") {
            Some((host, ports)) => Ok((Some(host), ports)),
            None => Err(TargetError::Form { text: quoted(text) }),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Err(TargetError::Brackets { text: quoted(text) }),
        Some((host, ports)) => Ok((Some(host), ports)),
        None if text.split('-').all(is_digits) => Ok((None, text)),
        None => Err(TargetError::Form { text: quoted(text) }),
    }
}

pub(crate) fn parse_host(host: &str) -> Result<TargetHost, TargetError> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr =
            inner.parse().map_err(|_| TargetError::NotIpv6 { text: quoted(host) })?;
        return Ok(TargetHost::Address(address.to_canonical()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(TargetHost::Address(address.into()));
    }
    if ends_in_number(host) {
        return Err(TargetError::Notation { host: quoted(host) });
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match is_host_name(&name) {
        true => Ok(TargetHost::Name(name.into())),
        false => Err(TargetError::Name { host: quoted(host) }),
    }
}

fn is_host_name(name: &str) -> bool {
    name.len() <= HOSTNAME_BYTES_MAX && name.split('.').all(is_host_label)
}

fn is_host_label(label: &str) -> bool {
    let permitted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(permitted)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn parse_unix(path: &str) -> Result<Target, TargetError> {
    let plain = path.starts_with('/')
        && path.len() > 1
        && path.len() <= UNIX_PATH_BYTES_MAX
        && !path.contains('\0')
        && !path.split('/').any(|part| part == "..");
    match plain {
        true => Ok(Target::Unix(Path::new(path).components().collect())),
        false => Err(TargetError::UnixPath { path: quoted(path) }),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { scheme, host, ports } => write!(f, "{}{host}:{ports}", scheme.prefix()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::InProcess => f.write_str(IN_PROCESS),
        }
    }
}

impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Target, TargetError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let table = [
            ("7777", "localhost:7777"),
            ("27000-27050", "localhost:27000-27050"),
            ("192.168.1.5:22", "192.168.1.5:22"),
            ("Nas.local.:8080", "nas.local:8080"),
            ("my_service:80", "my_service:80"),
            ("localhost:3000-3002", "localhost:3000-3002"),
            ("[::1]:443", "[::1]:443"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix://run/./app.sock", "unix:/run/app.sock"),
            ("in-process", "in-process"),
            ("in-process:80", "in-process:80"),
            ("h2c://50051", "h2c://localhost:50051"),
            ("https://Nas.local:8443", "https://nas.local:8443"),
            ("https+insecure://[::1]:443", "https+insecure://[::1]:443"),
        ];
        for (text, expected) in table {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.to_string(), expected, "{text}");
            assert_eq!(Target::parse(expected), Ok(target), "{text} can be read again");
        }
    }

    #[test]
    fn a_resolver_s_other_notations_of_an_address_are_refused() {
        for host in [
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.1",
            "127.0.1",
            "127.0.0.1.",
            "127.0.0.01",
            "1.2.3.256",
            "1.2.3.4.5",
            "a.0x7f",
            "a.7",
        ] {
            let error = Target::parse(&format!("{host}:80")).unwrap_err();
            assert!(matches!(error, TargetError::Notation { .. }), "{host}: {error}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_kind() {
        let kind = |text: &str| match Target::parse(text).unwrap_err() {
            TargetError::Form { .. } => "form",
            TargetError::Url { .. } => "url",
            TargetError::Port { .. } => "port",
            TargetError::Brackets { .. } => "brackets",
            TargetError::NotIpv6 { .. } => "not ipv6",
            TargetError::Notation { .. } => "notation",
            TargetError::Name { .. } => "name",
            TargetError::UnixPath { .. } => "path",
        };
        let table = [
            ("", "form"),
            ("localhost", "form"),
            ("in-process-", "form"),
            ("[::1]", "form"),
            ("-1", "form"),
            ("7777-", "form"),
            ("http://127.0.0.1:3000", "url"),
            ("https://http://a:1", "url"),
            ("https://a:443/", "port"),
            ("https://a", "form"),
            ("0", "port"),
            ("65536", "port"),
            ("9-7", "port"),
            ("a:+80", "port"),
            ("a:", "port"),
            ("1-2-3", "port"),
            ("::1:80", "brackets"),
            ("a:80:80", "brackets"),
            ("[a]:80", "not ipv6"),
            ("[fe80::1%eth0]:80", "not ipv6"),
            ("[127.0.0.1]:80", "not ipv6"),
            ("[::1]]:80", "not ipv6"),
            (":80", "name"),
            ("a b:80", "name"),
            ("u@a:80", "name"),
            ("a..b:80", "name"),
            ("-a:80", "name"),
            ("a/b:80", "name"),
            ("１２７.0.0.x:80", "name"),
            ("a\r\n:80", "name"),
            ("unix:", "path"),
            ("unix:/", "path"),
            ("unix:app.sock", "path"),
            ("unix:/a/../b", "path"),
            ("unix:/a\0b", "path"),
        ];
        for (text, expected) in table {
            assert_eq!(kind(text), expected, "{text:?}");
        }
        assert_eq!(kind(&format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX))), "path");
        assert_eq!(kind(&format!("{}:80", "x".repeat(64))), "name");
    }

    #[test]
    fn a_declared_target_covers_its_own_ports_only() {
        let covers = |declared: &str, wanted: &str| {
            Target::parse(declared).unwrap().covers(&Target::parse(wanted).unwrap())
        };
        assert!(covers("27000-27050", "27049-27050"));
        assert!(!covers("27000-27050", "27050-27051"));
        assert!(covers("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
        assert!(!covers("localhost:80", "127.0.0.1:80"), "a name covers only itself");
        assert!(
            !covers("https://a:1", "https+insecure://a:1"),
            "a check is part of what is declared"
        );
        assert!(covers("unix:/a", "unix:/a") && !covers("unix:/a", "unix:/b"));
        assert!(!covers("unix:/a", "80") && !covers("80", "unix:/a"));
        assert!(covers("in-process", "in-process") && !covers("in-process", "in-process:80"));
    }

    #[test]
    fn ports_are_counted() {
        assert_eq!(Target::parse("27000-27050").unwrap().port_count(), 51);
        assert_eq!(Target::parse("unix:/a").unwrap().port_count(), 1);
        assert_eq!(Target::parse("in-process").unwrap().port_count(), 1);
    }
}
