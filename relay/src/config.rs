//! `relay.toml`: read, checked, and complained about all at once.

mod acme;
mod dns;
mod tls;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use acme::Acme;
pub use dns::{BuiltIn, Cloudflare, DnsProvider, Rfc2136, Secret, TsigAlgorithm};
pub use tls::TlsConfig;

/// Settings of one relay. Existing means valid: [`Config::parse`] is the only way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name or address that people and agents use for this relay. Required.
    pub host: String,
    /// Domain under which hostnames are given out. Without it `http` publications need a full `--host`.
    pub domain: Option<String>,
    /// Folder for keys and the embedded database. Default `/var/lib/bore`.
    pub state: PathBuf,
    /// UDP socket of the overlay. Default `[::]:443`.
    pub overlay_listen: SocketAddr,
    /// Trains of datagrams leave with one system call where kernel and path take that. Default true.
    pub overlay_segmentation: bool,
    /// Shared port of `http` publications. Default `[::]:80`.
    pub http_listen: SocketAddr,
    /// Shared port of HTTPS. Default `[::]:443`.
    pub https_listen: SocketAddr,
    /// Port of `http_listen` as visitors reach it, where a load balancer or a NAT is in front. Default: the listener's own.
    pub public_http_port: Option<NonZeroU16>,
    /// The same of `https_listen`.
    pub public_https_port: Option<NonZeroU16>,
    /// REST API. Default `127.0.0.1:7400`; it speaks plain HTTP, so keep it on loopback.
    pub api_listen: SocketAddr,
    /// `/metrics`. Default `127.0.0.1:7401`.
    pub metrics_listen: SocketAddr,
    /// Addresses on which public ports are opened. Default `::`, which is IPv4 too.
    pub public_addresses: Vec<IpAddr>,
    /// Ports that "any free port" is taken from. Default `20000-29999`.
    pub public_ports: RangeInclusive<u16>,
    /// Ports that a node may have without a publish rule: `public_ports` where that is set, else `1024-65535`.
    pub open_ports: RangeInclusive<u16>,
    /// Where the store is.
    pub database: Database,
    /// Handshakes a second before a cookie is demanded of everybody. Default 2000.
    pub handshakes_per_second_max: NonZeroU32,
    /// How long a visitor of the shared ports may pause in the middle of a request's body, or take nothing of an answer. Default 60 s.
    pub visitor_pause_seconds_max: NonZeroU32,
    /// How HTTPS is spoken.
    pub tls: TlsConfig,
    /// Who keeps the zone of `domain`. Default: nobody that the relay could ask.
    pub dns: Option<DnsProvider>,
    /// Who issues certificates.
    pub acme: Acme,
    /// How long rows of the audit trail are kept; `None` for ever. Default 400 days.
    pub audit_retention: Option<Duration>,
    /// The key that secrets in the database are sealed with. Default `seal.key` in the state folder.
    pub sealing_key_file: Option<PathBuf>,
}

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// `bore.db` in the state folder. The default.
    Embedded,
    /// A PostgreSQL server, as `postgres://…`. May hold a password: never printed.
    Postgresql(String),
}

impl Database {
    /// The address of the store: the embedded database lives in the state folder.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Embedded => "sqlite://bore.db".to_owned(),
            Self::Postgresql(url) => url.clone(),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("Embedded"),
            Self::Postgresql(_) => f.write_str("Postgresql(***)"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`{}", suggestion(.near.as_deref()))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The key that was probably meant.
        near: Option<&'static str>,
    },
    /// A required key is absent.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value that cannot be.
    #[error("`{key}`: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
}

impl Config {
    /// The defaults for a relay that is known as `host`.
    pub fn for_host(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            domain: None,
            state: PathBuf::from("/var/lib/bore"),
            overlay_listen: any(443),
            overlay_segmentation: true,
            http_listen: any(80),
            https_listen: any(443),
            public_http_port: None,
            public_https_port: None,
            api_listen: loopback(7400),
            metrics_listen: loopback(7401),
            public_addresses: vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            public_ports: 20_000..=29_999,
            open_ports: 1_024..=u16::MAX,
            database: Database::Embedded,
            handshakes_per_second_max: HANDSHAKES_PER_SECOND_DEFAULT,
            visitor_pause_seconds_max: VISITOR_PAUSE_SECONDS_DEFAULT,
            tls: TlsConfig::default(),
            dns: None,
            acme: Acme::default(),
            audit_retention: audit_retention(AUDIT_RETENTION_DAYS_DEFAULT),
            sealing_key_file: None,
        }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, not only the first.
    pub fn load(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| vec![ConfigError::Read { path: path.to_owned(), source }])?;
        Self::parse(&text)
    }

    /// Checks the text of a `relay.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it. An unknown key is an error, so that a typing mistake is never a silent default.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigError>> {
        let table: toml::Table =
            toml::from_str(text).map_err(|error| vec![ConfigError::Syntax(error.to_string())])?;
        let mut errors = unknown_keys(&table);
        let file: File = match table.try_into() {
            Ok(file) => file,
            Err(error) => {
                errors.push(ConfigError::Syntax(error.message().to_owned()));
                return Err(errors);
            }
        };
        let config = file.check(&mut errors);
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(errors),
        }
    }
}

/// The file as it is written; every key of it is in [`KEYS`].
#[derive(Debug, Deserialize)]
struct File {
    host: Option<String>,
    domain: Option<String>,
    state: Option<PathBuf>,
    overlay_listen: Option<SocketAddr>,
    overlay_segmentation: Option<bool>,
    http_listen: Option<SocketAddr>,
    https_listen: Option<SocketAddr>,
    public_http_port: Option<NonZeroU16>,
    public_https_port: Option<NonZeroU16>,
    api_listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    public_addresses: Option<Vec<IpAddr>>,
    public_ports: Option<String>,
    database_url: Option<String>,
    database_url_file: Option<PathBuf>,
    handshakes_per_second_max: Option<NonZeroU32>,
    visitor_pause_seconds_max: Option<NonZeroU32>,
    tls: Option<tls::Table>,
    dns: Option<dns::File>,
    acme: Option<acme::File>,
    audit_retention_days: Option<u32>,
    sealing_key_file: Option<PathBuf>,
}

/// Keys that a `relay.toml` may have.
pub const KEYS: [&str; 22] = [
    "host",
    "domain",
    "state",
    "overlay_listen",
    "overlay_segmentation",
    "http_listen",
    "https_listen",
    "public_http_port",
    "public_https_port",
    "api_listen",
    "metrics_listen",
    "public_addresses",
    "public_ports",
    "database_url",
    "database_url_file",
    "handshakes_per_second_max",
    "visitor_pause_seconds_max",
    "tls",
    "dns",
    "acme",
    "audit_retention_days",
    "sealing_key_file",
];

/// Keys that stand for a table, and the keys that it may have.
const TABLES: [(&str, &[&str]); 3] =
    [("tls", &tls::KEYS), ("dns", &dns::KEYS), ("acme", &acme::KEYS)];

impl File {
    fn check(self, errors: &mut Vec<ConfigError>) -> Option<Config> {
        let host = keep(required_host(self.host), errors);
        let domain = keep(self.domain.map(|text| hostname("domain", &text)).transpose(), errors);
        let public_ports = keep(ports(self.public_ports.as_deref()), errors);
        let database = keep(database(self.database_url, self.database_url_file), errors);
        let tls =
            keep(self.tls.map_or_else(|| Ok(TlsConfig::default()), tls::Table::check), errors);
        let zone = domain.as_ref().and_then(Option::as_deref);
        let dns = self.dns.and_then(|table| table.check(zone, errors));
        let acme = match self.acme {
            Some(table) => table.check(errors),
            None => Some(Acme::default()),
        };
        let default = Config::for_host(&host?);
        Some(Config {
            domain: domain?,
            state: self.state.unwrap_or(default.state),
            overlay_listen: self.overlay_listen.unwrap_or(default.overlay_listen),
            overlay_segmentation: self.overlay_segmentation.unwrap_or(default.overlay_segmentation),
            http_listen: self.http_listen.unwrap_or(default.http_listen),
            https_listen: self.https_listen.unwrap_or(default.https_listen),
            public_http_port: self.public_http_port,
            public_https_port: self.public_https_port,
            api_listen: self.api_listen.unwrap_or(default.api_listen),
            metrics_listen: self.metrics_listen.unwrap_or(default.metrics_listen),
            public_addresses: self.public_addresses.unwrap_or(default.public_addresses),
            open_ports: public_ports.clone()?.unwrap_or(default.open_ports),
            public_ports: public_ports?.unwrap_or(default.public_ports),
            database: database?,
            handshakes_per_second_max: self
                .handshakes_per_second_max
                .unwrap_or(default.handshakes_per_second_max),
            visitor_pause_seconds_max: self
                .visitor_pause_seconds_max
                .unwrap_or(default.visitor_pause_seconds_max),
            tls: tls?,
            dns,
            acme: acme?,
            audit_retention: self
                .audit_retention_days
                .map_or(default.audit_retention, audit_retention),
            sealing_key_file: self.sealing_key_file,
            host: default.host,
        })
    }
}

fn keep<T>(result: Result<T, ConfigError>, errors: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn required_host(text: Option<String>) -> Result<String, ConfigError> {
    let text = text.ok_or(ConfigError::Missing("host"))?;
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => hostname("host", &text),
    }
}

fn hostname(key: &'static str, text: &str) -> Result<String, ConfigError> {
    bore_policy::Hostname::parse(text)
        .map(|name| name.to_string())
        .map_err(|error| ConfigError::Value { key, why: error.to_string() })
}

fn ports(text: Option<&str>) -> Result<Option<RangeInclusive<u16>>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || ConfigError::Value {
        key: "public_ports",
        why: format!("`{text}` is not a range of ports such as \"20000-29999\""),
    };
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let first: u16 = first.trim().parse().map_err(|_| wrong())?;
    let last: u16 = last.trim().parse().map_err(|_| wrong())?;
    if first == 0 || first > last { Err(wrong()) } else { Ok(Some(first..=last)) }
}

fn database(url: Option<String>, file: Option<PathBuf>) -> Result<Database, ConfigError> {
    let url = match (url, file) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Value {
                key: "database_url",
                why: "give `database_url` or `database_url_file`, not both".to_owned(),
            });
        }
        (None, Some(path)) => Some(
            std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Read { path, source })?
                .trim()
                .to_owned(),
        ),
        (url, None) => url,
    };
    match url {
        None => Ok(Database::Embedded),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok(Database::Postgresql(url))
        }
        Some(_) => Err(ConfigError::Value {
            key: "database_url",
            why: "must begin with postgres://; leave it out for the embedded database".to_owned(),
        }),
    }
}

fn unknown_keys(table: &toml::Table) -> Vec<ConfigError> {
    let mut errors = unknown_of(table, "", &KEYS);
    for (name, known) in TABLES {
        if let Some(inner) = table.get(name).and_then(toml::Value::as_table) {
            errors.extend(unknown_of(inner, &format!("{name}."), known));
        }
    }
    errors
}

fn unknown_of(
    table: &toml::Table,
    prefix: &str,
    known: &'static [&'static str],
) -> Vec<ConfigError> {
    let unknown = table.keys().filter(|key| !known.contains(&key.as_str()));
    let told = unknown.map(|key| ConfigError::UnknownKey {
        key: format!("{prefix}{key}"),
        near: nearest(key, known),
    });
    told.collect()
}

fn nearest(key: &str, known: &'static [&'static str]) -> Option<&'static str> {
    known
        .iter()
        .copied()
        .map(|known| (strsim::jaro_winkler(key, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, known)| known)
}

fn suggestion(near: Option<&str>) -> String {
    near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

const HANDSHAKES_PER_SECOND_DEFAULT: NonZeroU32 = NonZeroU32::new(2000).expect("not zero");

/// As nginx (`client_body_timeout`, `send_timeout`).
const VISITOR_PAUSE_SECONDS_DEFAULT: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

/// 0 days are for ever.
fn audit_retention(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 24 * 60 * 60))
}

/// A year, which is what auditors usually ask for (PCI DSS 4.0, requirement 10.5.1), and a month to look back on it.
const AUDIT_RETENTION_DAYS_DEFAULT: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_alone_is_enough() {
        let config = Config::parse("host = \"203.0.113.5\"").unwrap();
        assert_eq!(config.overlay_listen, "[::]:443".parse().unwrap());
        assert_eq!(config.database, Database::Embedded);
    }

    #[test]
    fn every_error_is_reported_at_once() {
        let errors =
            Config::parse("public_ports = \"9-1\"\noverlay_listn = \"[::]:1\"\n").unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 3, "{text:?}");
        assert!(text.iter().any(|line| line.contains("did you mean `overlay_listen`?")));
        assert!(text.iter().any(|line| line.contains("`host` is missing")));
    }

    #[test]
    fn a_database_password_is_never_printed() {
        let text = "host = \"a.example\"\ndatabase_url = \"postgres://u:canary@h/d\"";
        let config = Config::parse(text).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn the_list_of_keys_is_the_list_of_fields() {
        let known = KEYS.map(|key| format!("{key} = 1")).join("\n");
        let table: toml::Table = toml::from_str(&known).unwrap();
        assert!(unknown_keys(&table).is_empty());
        let text = include_str!("config.rs");
        for key in KEYS {
            assert!(text.contains(&format!("    {key}: Option<")), "{key} is not a field");
        }
    }
}
