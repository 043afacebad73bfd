//! Where visitors reach a publication, as text.

use std::net::Ipv6Addr;
use std::sync::Arc;

use bore_api::model::{Protocol, Publication, PublishedHost};
use bore_edge::Scheme;
use bore_edge::tls::Certificates;

use crate::identity::PublicPorts;

/// Knows the public addresses of publications.
#[derive(Debug)]
pub(crate) struct PublicAddresses {
    /// Name or address of the relay.
    pub(crate) host: String,
    pub(crate) ports: PublicPorts,
    pub(crate) certificates: Arc<Certificates>,
}

impl PublicAddresses {
    /// The one to show: `https://…`, `udp://host:7777`.
    pub(crate) fn of(&self, publication: &Publication) -> String {
        let host = bracketed(&self.host);
        match (publication.protocol, publication.public_port, first_hostname(publication)) {
            (Protocol::Http | Protocol::Tls, _, Some(hostname)) => {
                self.of_hostname(publication.protocol, &hostname.to_string())
            }
            (Protocol::Udp, Some(port), _) => {
                format!("udp://{host}:{}", ports(port, publication.port_count))
            }
            (_, Some(port), _) => format!("tcp://{host}:{}", ports(port, publication.port_count)),
            (_, None, _) => host,
        }
    }

    /// One for each hostname, or the only one.
    pub(crate) fn all_of(&self, publication: &Publication) -> Vec<String> {
        if publication.hostnames.is_empty() {
            return vec![self.of(publication)];
        }
        let names = publication.hostnames.iter();
        names.map(|name| self.of_hostname(publication.protocol, &name.to_string())).collect()
    }

    fn of_hostname(&self, protocol: Protocol, hostname: &str) -> String {
        match protocol {
            Protocol::Tls => format!("tls://{hostname}:{}", self.ports.https),
            Protocol::Http | Protocol::Tcp | Protocol::Udp => self.of_web(hostname),
        }
    }

    /// HTTPS as soon as there is a certificate for the name.
    fn of_web(&self, hostname: &str) -> String {
        let (scheme, port) = if self.certificates.has(hostname) {
            (Scheme::Https, self.ports.https)
        } else {
            (Scheme::Http, self.ports.http)
        };
        let host = bracketed(hostname);
        if port == scheme.default_port() {
            return format!("{}://{host}/", scheme.as_str());
        }
        format!("{}://{host}:{port}/", scheme.as_str())
    }
}

/// A whole name before a wildcard, which nobody can type.
fn first_hostname(publication: &Publication) -> Option<&PublishedHost> {
    let whole = |host: &&PublishedHost| host.wildcard_base().is_none();
    publication.hostnames.iter().find(whole).or_else(|| publication.hostnames.first())
}

fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

fn ports(first: u16, count: u16) -> String {
    match count {
        0 | 1 => first.to_string(),
        more => format!("{first}-{}", first.saturating_add(more - 1)),
    }
}
