//! The options of a publication. Each one stands here, and nowhere else in the command line: as a flag of `bore publish`, as a key of `bore.toml`, and
//! as a line of what `bore up` compares.

use std::num::NonZeroU32;

use bore_agent::Declaration;
use bore_api::model::{
    HealthCheck, HealthError, HealthInterval, HealthOptions, LimitOptions, Protocol,
    PublicationOptions, TlsVersion, WebOptions,
};
use bore_policy::{OriginHost, Target};
use toml::de::DeTable;

use crate::duration::parse_duration;
use crate::file::Reader;

/// Options as they are written, before they are those of a publication.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OptionFlags {
    /// What the service sees as its host: rewrite (the target's own), preserve (the visitor's), or a name (http) [default: preserve]
    #[arg(long, value_name = "HOST", value_parser = parse_host_header)]
    host_header: Option<HostHeader>,
    /// Oldest TLS that visitors may speak, 1.2 or 1.3 (http) [default: what the relay says]
    #[arg(long, value_name = "VERSION", value_parser = parse_tls_min)]
    tls_min: Option<TlsVersion>,
    /// How to check that the service is there: tcp (it takes connections), http or http:/PATH (it answers 200 to 399), none [default: tcp; none for udp and for a range]
    #[arg(long, value_name = "CHECK", value_parser = parse_health)]
    health: Option<HealthCheck>,
    /// Time between two checks, 1s to 1h [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_health_interval)]
    health_interval: Option<HealthInterval>,
    /// Most connections that the service gets at once, of all visitors together; more are refused, of http with 503 [default: what the relay allows]
    #[arg(long, value_name = "N")]
    max_conns: Option<NonZeroU32>,
}

/// The keys of a section of `bore.toml` that [`OptionFlags::read`] reads.
pub(crate) const KEYS: [&str; 5] =
    ["host_header", "tls_min", "health", "health_interval", "max_conns"];

impl OptionFlags {
    /// Reads the keys of a section of `bore.toml`.
    pub(crate) fn read(reader: &mut Reader<'_>, section: &DeTable<'_>) -> Self {
        Self {
            host_header: reader.parsed(section, "host_header", parse_host_header),
            tls_min: reader.parsed(section, "tls_min", parse_tls_min),
            health: reader.parsed(section, "health", parse_health),
            health_interval: reader.parsed(section, "health_interval", parse_health_interval),
            max_conns: reader.number(section, "max_conns", "a number from 1 to 4294967295"),
        }
    }

    /// Makes them the options of a publication of `target`.
    pub(crate) fn apply(&self, declaration: &mut Declaration, target: &Target) {
        declaration.options = PublicationOptions {
            web: WebOptions {
                host_header: self.host_header.as_ref().and_then(|host| host.towards(target)),
                tls_min: self.tls_min,
            },
            health: HealthOptions {
                check: self.health.clone(),
                interval_seconds: self.health_interval,
            },
            limits: LimitOptions { connections_max: self.max_conns },
        };
    }

    /// Returns true if the service is to see what its target is called, which only an agent knows.
    pub(crate) fn rewrites_host(&self) -> bool {
        self.host_header == Some(HostHeader::Rewrite)
    }
}

/// The options that differ: key, old value, new value.
pub(crate) fn differences(
    old: &PublicationOptions,
    new: &PublicationOptions,
) -> impl Iterator<Item = (&'static str, String, String)> {
    let pairs = values(old).into_iter().zip(values(new));
    pairs.filter(|(old, new)| old != new).map(|((key, old), (_, new))| (key, old, new))
}

fn values(options: &PublicationOptions) -> [(&'static str, String); KEYS.len()] {
    let PublicationOptions { web, health, limits } = options;
    [
        ("host_header", shown(&web.host_header)),
        ("tls_min", shown(&web.tls_min)),
        ("health", shown(&health.check)),
        ("health_interval", shown(&health.interval_seconds)),
        ("max_conns", shown(&limits.connections_max)),
    ]
}

/// Refuses options that the protocol, or the target, does not have.
///
/// # Errors
/// The mistake in words, with what to write instead.
pub(crate) fn check(declaration: &Declaration, target: &Target) -> Result<(), &'static str> {
    match declaration.protocol {
        Protocol::Tls | Protocol::Tcp | Protocol::Udp
            if declaration.options.web != WebOptions::default() =>
        {
            Err("the relay speaks only for http services: no host header and no TLS version here")
        }
        Protocol::Udp if is_checked(declaration) => {
            Err("a udp service answers no check: leave --health out, or say none")
        }
        Protocol::Tls if is_asked_by_http(declaration) => {
            Err("what is inside tls is not spoken here: --health is tcp or none")
        }
        Protocol::Tcp if target.port_count() > 1 && is_asked_by_http(declaration) => {
            Err("a range is checked by tcp or not at all: --health is tcp or none")
        }
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp => Ok(()),
    }
}

/// `--host-header`: what a web service sees as its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostHeader {
    /// What the visitor wrote.
    Preserve,
    /// What the service is called where it is.
    Rewrite,
    /// This.
    Is(OriginHost),
}

impl HostHeader {
    /// What a request to `target` is to say; `None` leaves it as it is.
    fn towards(&self, target: &Target) -> Option<OriginHost> {
        match self {
            Self::Preserve => None,
            Self::Rewrite => Some(target.own_host()),
            Self::Is(host) => Some(host.clone()),
        }
    }
}

fn is_checked(declaration: &Declaration) -> bool {
    !matches!(declaration.options.health.check, None | Some(HealthCheck::None))
}

fn is_asked_by_http(declaration: &Declaration) -> bool {
    matches!(declaration.options.health.check, Some(HealthCheck::Http(_)))
}

fn shown<T: ToString>(option: &Option<T>) -> String {
    option.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string)
}

fn parse_host_header(text: &str) -> Result<HostHeader, String> {
    match text {
        "preserve" => Ok(HostHeader::Preserve),
        "rewrite" => Ok(HostHeader::Rewrite),
        _ => match OriginHost::parse(text) {
            Ok(host) => Ok(HostHeader::Is(host)),
            Err(error) => Err(format!("{error}; or `rewrite`, or `preserve`")),
        },
    }
}

fn parse_tls_min(text: &str) -> Result<TlsVersion, String> {
    text.parse().map_err(|error: bore_api::model::TlsVersionError| error.to_string())
}

fn parse_health(text: &str) -> Result<HealthCheck, String> {
    text.parse().map_err(|error: HealthError| error.to_string())
}

/// A time such as `30s` or `5m`.
fn parse_health_interval(text: &str) -> Result<HealthInterval, String> {
    let time = parse_duration(text)?;
    HealthInterval::new(time.as_secs()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn every_option_is_a_flag_and_a_key_of_the_same_name() {
        let command = <OptionFlags as clap::Args>::augment_args(clap::Command::new("publish"));
        let flags = command.get_arguments().filter_map(|flag| flag.get_long());
        let keys: Vec<_> = flags.map(|flag| flag.replace('-', "_")).collect();
        assert_eq!(keys, KEYS);
    }

    #[test]
    fn a_host_header_is_kept_made_of_the_target_or_given() {
        let target = Target::parse("https://nas.local:443").unwrap();
        let towards = |text: &str| {
            let host = parse_host_header(text)?.towards(&target);
            Ok::<_, String>(host.map(|host| host.to_string()))
        };
        assert_eq!(towards("preserve"), Ok(None));
        assert_eq!(towards("rewrite"), Ok(Some("nas.local".to_owned())));
        assert_eq!(towards("Intranet:8080"), Ok(Some("intranet:8080".to_owned())));
        let mistake = towards("http://intranet").unwrap_err();
        assert!(mistake.contains("`rewrite`"), "{mistake}");
    }

    #[test]
    fn only_http_has_a_host_header_and_a_tls_version() {
        let flags = ["--tls-min", "1.2"];
        assert_eq!(checked(Protocol::Http, "3000", &flags), Ok(()));
        assert!(checked(Protocol::Tls, "3000", &flags).is_err());
        assert!(checked(Protocol::Tcp, "3000", &flags).is_err());
        assert!(parse_tls_min("1.1").is_err());
    }

    #[test]
    fn a_health_check_fits_what_is_published() {
        let checked =
            |protocol, target: &str, health: &str| checked(protocol, target, &["--health", health]);
        assert_eq!(checked(Protocol::Http, "3000", "http:/healthz"), Ok(()));
        assert_eq!(checked(Protocol::Tcp, "7000-7009", "tcp"), Ok(()));
        assert_eq!(checked(Protocol::Udp, "7000-7009", "none"), Ok(()));
        assert!(checked(Protocol::Udp, "7000", "tcp").is_err());
        assert!(checked(Protocol::Tls, "443", "http").is_err());
        assert!(checked(Protocol::Tcp, "7000-7009", "http").is_err());
        assert_eq!(parse_health_interval("5m").map(HealthInterval::seconds), Ok(300));
        assert!(parse_health_interval("2h").is_err() && parse_health_interval("0s").is_err());
    }

    #[test]
    fn every_protocol_has_a_bound_on_connections_from_one_on() {
        for protocol in [Protocol::Http, Protocol::Tls, Protocol::Tcp, Protocol::Udp] {
            assert_eq!(checked(protocol, "3000", &["--max-conns", "1"]), Ok(()));
        }
        let read = |value: &str| {
            let text = format!("[publish.a]\ntcp = 22\nmax_conns = {value}\n");
            crate::file::File::parse(&text, "bore.toml", crate::file::Kind::Project)
        };
        let file = read("2").unwrap();
        let limits = &file.publish.first().unwrap().options.limits;
        assert_eq!(limits.connections_max, NonZeroU32::new(2));
        for value in ["0", "-1", "\"2\"", "4294967296"] {
            let error = read(value).unwrap_err();
            assert!(error.reason().unwrap().contains("`max_conns` is a number"), "{error:?}");
        }
    }

    #[expect(
        clippy::unwrap_in_result,
        reason = "the result is what the check says of flags that were read"
    )]
    fn checked(protocol: Protocol, target: &str, flags: &[&str]) -> Result<(), &'static str> {
        let command = <OptionFlags as clap::Args>::augment_args(clap::Command::new("publish"));
        let matches = command.get_matches_from(["publish"].iter().chain(flags));
        let flags = OptionFlags::from_arg_matches(&matches).unwrap();
        let (mut declaration, target) =
            (Declaration::new(protocol, target), Target::parse(target).unwrap());
        flags.apply(&mut declaration, &target);
        check(&declaration, &target)
    }
}
