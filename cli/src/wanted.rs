//! What is wanted to be published, whoever says it: the flags of `publish` and `run`, or a section of `bore.toml`.
//!
//! Everything is checked offline here, with the grammar that the relay uses, before anything is sent.

use bore_agent::Declaration;
use bore_api::model::Protocol;
use bore_policy::{Label, Source, Target, TargetScheme};

use crate::options;

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
        Protocol::Http | Protocol::Tls if target.port_count() > 1 => {
            Err("http and tls have one target port, not a range")
        }
        Protocol::Tcp | Protocol::Udp if !declaration.hostnames.is_empty() => {
            Err("only http and tls are told apart by hostname: use --port, not --host")
        }
        Protocol::Udp if unix => Err("a unix: socket carries no UDP datagrams: use HOST:PORT"),
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp => {
            options::check(declaration, target)
        }
    }
}

/// A name as `--name` takes it.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    Label::parse(text).map(|label| label.to_string()).map_err(|error| error.to_string())
}

/// A target as the command line takes it.
pub(crate) fn parse_target(text: &str) -> Result<Target, String> {
    Target::parse(text).map_err(|error| error.to_string())
}

/// One value of `--allow` or `--deny`.
pub(crate) fn parse_source(text: &str) -> Result<Source, String> {
    text.parse::<Source>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
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
