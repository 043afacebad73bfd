//! What is wanted to be published, whoever says it: the flags of `publish` and `run`, or a section of `bore.toml`.
//!
//! Everything is checked offline here, with the grammar that the relay uses, before anything is sent.

use bore_api::model::{HealthCheck, HealthError, HealthInterval, Protocol, TlsVersion, WebOptions};
use bore_policy::{Label, OriginHost, Source, Target, TargetScheme};

use crate::duration::parse_duration;
use bore_agent::Declaration;

/// `--host-header`: what a web service sees as its host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum HostHeader {
    /// What the visitor wrote.
    #[default]
    Preserve,
    /// What the service is called where it is.
    Rewrite,
    /// This.
    Is(OriginHost),
}

impl HostHeader {
    /// What a request to `target` is to say; `None` leaves it as it is.
    pub(crate) fn towards(&self, target: &Target) -> Option<OriginHost> {
        match self {
            Self::Preserve => None,
            Self::Rewrite => Some(target.own_host()),
            Self::Is(host) => Some(host.clone()),
        }
    }
}

/// `--port`: 0 is any free port.
pub(crate) fn set_port(declaration: &mut Declaration, port: Option<u16>) {
    declaration.any_port = port == Some(0);
    declaration.port = port.filter(|port| *port > 0);
}

/// Refuses what cannot be meant: a port for http, a hostname or a range where there is none.
///
/// # Errors
/// The mistake in words, with what to write instead.
pub(crate) fn check(declaration: &Declaration, target: &Target) -> Result<(), &'static str> {
    let port_named = declaration.any_port || declaration.port.is_some();
    let unix = matches!(target, Target::Unix(_));
    match declaration.protocol {
        Protocol::Http | Protocol::Tls if port_named => {
            Err("http and tls share ports of the relay: use --host, not --port")
        }
        Protocol::Tls | Protocol::Tcp | Protocol::Udp if target.scheme() != TargetScheme::Plain => {
            Err("only http services have a scheme: use HOST:PORT")
        }
        Protocol::Tls | Protocol::Tcp | Protocol::Udp
            if declaration.web != WebOptions::default() =>
        {
            Err("the relay speaks only for http services: no host header and no TLS version here")
        }
        Protocol::Http | Protocol::Tls if target.port_count() > 1 => {
            Err("http and tls have one target port, not a range")
        }
        Protocol::Tcp | Protocol::Udp if !declaration.hostnames.is_empty() => {
            Err("only http and tls are told apart by hostname: use --port, not --host")
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
        Protocol::Udp if unix => Err("a unix: socket carries no UDP datagrams: use HOST:PORT"),
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp => Ok(()),
    }
}

fn is_checked(declaration: &Declaration) -> bool {
    !matches!(declaration.health.check, None | Some(HealthCheck::None))
}

fn is_asked_by_http(declaration: &Declaration) -> bool {
    matches!(declaration.health.check, Some(HealthCheck::Http(_)))
}

/// A name as `--name` takes it.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    Label::parse(text).map(|label| label.to_string()).map_err(|error| error.to_string())
}

/// A target as the command line takes it.
pub(crate) fn parse_target(text: &str) -> Result<Target, String> {
    Target::parse(text).map_err(|error| error.to_string())
}

/// A value of `--host-header`.
pub(crate) fn parse_host_header(text: &str) -> Result<HostHeader, String> {
    match text {
        "preserve" => Ok(HostHeader::Preserve),
        "rewrite" => Ok(HostHeader::Rewrite),
        _ => match OriginHost::parse(text) {
            Ok(host) => Ok(HostHeader::Is(host)),
            Err(error) => Err(format!("{error}; or `rewrite`, or `preserve`")),
        },
    }
}

/// A value of `--tls-min`.
pub(crate) fn parse_tls_min(text: &str) -> Result<TlsVersion, String> {
    text.parse().map_err(|error: bore_api::model::TlsVersionError| error.to_string())
}

/// A value of `--health`.
pub(crate) fn parse_health(text: &str) -> Result<HealthCheck, String> {
    text.parse().map_err(|error: HealthError| error.to_string())
}

/// A value of `--health-interval`, such as `30s` or `5m`.
pub(crate) fn parse_health_interval(text: &str) -> Result<HealthInterval, String> {
    let time = parse_duration(text)?;
    HealthInterval::new(time.as_secs()).map_err(|error| error.to_string())
}

/// One value of `--allow` or `--deny`.
pub(crate) fn parse_source(text: &str) -> Result<Source, String> {
    text.parse::<Source>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use bore_api::model::HealthOptions;

    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        let checked = |protocol, target: &str, port, host: Option<&str>| {
            let mut declaration = declaration(protocol, target);
            declaration.hostnames = host.map(str::to_owned).into_iter().collect();
            set_port(&mut declaration, port);
            check(&declaration, &Target::parse(target).unwrap())
        };
        assert_eq!(checked(Protocol::Http, "3000", None, Some("app")), Ok(()));
        assert_eq!(checked(Protocol::Udp, "27000-27050", Some(0), None), Ok(()));
        assert_eq!(checked(Protocol::Tcp, "unix:/run/x", None, None), Ok(()));
        assert!(checked(Protocol::Http, "3000", Some(80), None).is_err());
        assert_eq!(checked(Protocol::Tls, "443", None, Some("app")), Ok(()));
        assert!(checked(Protocol::Tls, "443", Some(443), None).is_err());
        assert!(checked(Protocol::Tls, "443-444", None, None).is_err());
        assert!(checked(Protocol::Http, "3000-3001", None, None).is_err());
        assert!(checked(Protocol::Tcp, "22", None, Some("ssh")).is_err());
        assert!(checked(Protocol::Udp, "unix:/run/x", None, None).is_err());
        assert!(checked(Protocol::Tcp, "https://a:443", None, None).is_err());
        assert_eq!(checked(Protocol::Http, "h2c://a:50051", None, None), Ok(()));
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
        let web = WebOptions { tls_min: Some(TlsVersion::Tls12), ..WebOptions::default() };
        let checked = |protocol| {
            let declaration = Declaration { web: web.clone(), ..declaration(protocol, "3000") };
            check(&declaration, &Target::parse("3000").unwrap())
        };
        assert_eq!(checked(Protocol::Http), Ok(()));
        assert!(checked(Protocol::Tls).is_err() && checked(Protocol::Tcp).is_err());
        assert!(parse_tls_min("1.1").is_err());
    }

    #[test]
    fn a_health_check_fits_what_is_published() {
        let checked = |protocol, target: &str, health: &str| {
            let health = HealthOptions { check: health.parse().ok(), interval_seconds: None };
            let declaration = Declaration { health, ..declaration(protocol, target) };
            check(&declaration, &Target::parse(target).unwrap())
        };
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
    fn port_zero_is_any_port() {
        let mut declaration = declaration(Protocol::Tcp, "22");
        set_port(&mut declaration, Some(0));
        assert_eq!((declaration.port, declaration.any_port), (None, true));
        set_port(&mut declaration, Some(7));
        assert_eq!((declaration.port, declaration.any_port), (Some(7), false));
    }

    fn declaration(protocol: Protocol, target: &str) -> Declaration {
        Declaration::new(protocol, target)
    }
}
