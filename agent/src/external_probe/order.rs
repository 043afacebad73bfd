//! What a visit may be ordered to do: go to the public addresses of the publication as it was acknowledged, with a token that is one.
//!
//! | publication | may be visited at |
//! |---|---|
//! | tcp, udp | its public port, at the relay: a host of the join key, or whatever leads to where the tunnel goes |
//! | tls | its hostnames, at the relay's HTTPS port |
//! | http | its hostnames, at the relay's HTTP and HTTPS ports; an address in the place of a hostname is the relay's |
//!
//! The relay told its two shared ports when the session began. Where its names lead is looked at once they are resolved (`scope.rs`).

use std::net::IpAddr;

use bore_api::limits::HOSTNAMES_PER_PUBLICATION_MAX;
use bore_api::model::{Protocol, Publication};
use bore_api::state::ProbeOrder;
use bore_overlay::RelayAddress;

use crate::public_address::{PublicAddress, Scheme};
use crate::shared::WebPorts;

/// What this agent knows of the relay by itself.
#[derive(Debug, Clone)]
pub(super) struct KnownRelay {
    /// Its addresses in the join key.
    pub(super) relays: Vec<RelayAddress>,
    /// Where the tunnel goes.
    pub(super) endpoint: IpAddr,
    /// Its shared ports.
    pub(super) ports: WebPorts,
}

/// An address that may be visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Of a wildcard, a name below it that is made up.
    pub(super) address: PublicAddress,
    /// Only where the tunnel goes: the host is a name or address for the relay that the join key does not have.
    pub(super) only_at: Option<IpAddr>,
}

/// Why an order is not followed. The text names nothing that the relay could learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the visit's token is not one of a relay")]
    Token,
    #[error("the visit goes to an address that is not this publication's")]
    Address,
}

impl KnownRelay {
    /// Checks `order` for `publication`, whose first address is `public`.
    ///
    /// # Errors
    /// The order asks for anything else than a visit to that publication.
    pub(super) fn places(
        &self,
        order: &ProbeOrder,
        publication: &Publication,
        public: &str,
    ) -> Result<Vec<Place>, OrderError> {
        if !is_token(&order.token) {
            return Err(OrderError::Token);
        }
        let ordered = order.addresses.iter().take(HOSTNAMES_PER_PUBLICATION_MAX);
        let mut texts: Vec<&str> = ordered.map(String::as_str).collect();
        if texts.is_empty() {
            texts.push(public);
        }
        let place = |text| self.place(text, publication).ok_or(OrderError::Address);
        texts.into_iter().map(place).collect()
    }

    fn place(&self, text: &str, publication: &Publication) -> Option<Place> {
        let address = PublicAddress::parse(text).ok()?;
        let port = address.port;
        let is_port_right = match (publication.protocol, address.scheme) {
            (Protocol::Tcp, Scheme::Tcp) | (Protocol::Udp, Scheme::Udp) => {
                return self.at_relay(address, publication.public_port?);
            }
            (Protocol::Tls, Scheme::Tls) | (Protocol::Http, Scheme::Https) => {
                port == self.ports.https
            }
            (Protocol::Http, Scheme::Http) => port == self.ports.http,
            _ => false,
        };
        let is_hostname = publication.hostnames.iter().any(|host| host.to_string() == address.host);
        if !is_port_right || !is_hostname {
            return None;
        }
        if address.host.parse::<IpAddr>().is_ok() {
            return self.at_relay(address, port);
        }
        Some(Place { address: below_wildcard(address), only_at: None })
    }

    fn at_relay(&self, address: PublicAddress, port: u16) -> Option<Place> {
        let only_at = (!self.has(&address.host)).then_some(self.endpoint);
        (address.port == port).then_some(Place { address, only_at })
    }

    /// Returns true if the join key names this host.
    fn has(&self, host: &str) -> bool {
        self.relays.iter().any(|relay| match relay {
            RelayAddress::Socket(address) => host.parse() == Ok(address.ip()),
            RelayAddress::Name { host: name, .. } => name.eq_ignore_ascii_case(host),
        })
    }
}

/// No resolver knows a `*`.
fn below_wildcard(mut address: PublicAddress) -> PublicAddress {
    if let Some(base) = address.host.strip_prefix("*.") {
        address.host = format!("bore-visit-{:08x}.{base}", rand::random::<u32>());
    }
    address
}

/// Returns true for the 32 lower-case hexadecimal digits that a relay draws.
pub(super) fn is_token(text: &str) -> bool {
    text.len() == TOKEN_CHARACTERS
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const TOKEN_CHARACTERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::view;

    #[test]
    fn only_the_publication_s_own_port_at_the_relay_is_visited() {
        let shell = view("shell", Protocol::Tcp).publication;
        assert_eq!(allowed(&shell, "tcp://relay.example.org:7777"), Some(None));
        assert_eq!(allowed(&shell, "tcp://203.0.113.5:7777"), Some(None), "as the join key says");
        let elsewhere = allowed(&shell, "tcp://other.example.org:7777");
        assert_eq!(elsewhere, Some(Some(endpoint())), "a new name for the relay leads to it");
        for hostile in [
            "tcp://127.0.0.1:6379",
            "tcp://relay.example.org:22",
            "udp://relay.example.org:7777",
            "http://relay.example.org:7777",
            "http://127.0.0.1:80",
            "relay.example.org:7777",
            "",
        ] {
            assert_eq!(allowed(&shell, hostile), None, "{hostile}");
        }
    }

    #[test]
    fn only_acknowledged_hostnames_at_the_relays_shared_ports_are_visited() {
        let app = web(&["app.t.example.org", "*.shop.example.com"]);
        assert_eq!(allowed(&app, "http://app.t.example.org:8080/"), Some(None));
        assert_eq!(allowed(&app, "https://app.t.example.org/"), Some(None));
        assert_eq!(allowed(&app, "https://*.shop.example.com/"), Some(None));
        for hostile in [
            "http://app.t.example.org/",
            "https://app.t.example.org:8443/",
            "https://intranet.example.org/",
            "https://x.shop.example.com/",
            "https://user@app.t.example.org/",
            "http://app.t.example.org:8080-x/",
            "tls://app.t.example.org:443",
            "http://169.254.169.254:8080/",
        ] {
            assert_eq!(allowed(&app, hostile), None, "{hostile}");
        }
    }

    #[test]
    fn an_address_in_the_place_of_a_hostname_is_the_relays() {
        let bare = web(&["203.0.113.5", "10.0.0.1"]);
        assert_eq!(allowed(&bare, "http://203.0.113.5:8080/"), Some(None));
        assert_eq!(allowed(&bare, "http://10.0.0.1:8080/"), Some(Some(endpoint())));
    }

    #[test]
    fn below_a_wildcard_a_made_up_name_is_visited() {
        let places = relay().places(
            &order(TOKEN, &["https://*.shop.example.com/"]),
            &web(&["*.shop.example.com"]),
            "",
        );
        let address = places.unwrap().remove(0).address;
        let label = address.host.strip_suffix(".shop.example.com").unwrap();
        assert!(label.starts_with("bore-visit-") && !label.contains('.'), "{label}");
    }

    #[test]
    fn a_token_has_one_shape() {
        let shell = view("shell", Protocol::Tcp).publication;
        for text in ["", "CONFIG SET dir /root/.ssh\r\nQUIT", "0123456789ABCDEF0123456789ABCDEF"] {
            let answer = relay().places(&order(text, &[]), &shell, "tcp://203.0.113.5:7777");
            assert_eq!(answer, Err(OrderError::Token), "{text}");
        }
        let answer = relay().places(&order(TOKEN, &[]), &shell, "tcp://203.0.113.5:7777");
        assert_eq!(answer.unwrap().len(), 1, "without addresses, the one that was told");
    }

    fn allowed(publication: &Publication, address: &str) -> Option<Option<IpAddr>> {
        let places = relay().places(&order(TOKEN, &[address]), publication, "");
        places.ok().map(|places| places[0].only_at)
    }

    fn web(hostnames: &[&str]) -> Publication {
        let hostnames = hostnames.iter().map(|name| name.parse().unwrap()).collect();
        Publication { hostnames, public_port: None, ..view("app", Protocol::Http).publication }
    }

    fn order(token: &str, addresses: &[&str]) -> ProbeOrder {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        ProbeOrder { token: token.to_owned(), expires_in_ms: 1, addresses }
    }

    fn relay() -> KnownRelay {
        let relays =
            ["203.0.113.5:443", "relay.example.org:443"].map(|text| text.parse().unwrap()).to_vec();
        let ports = WebPorts { http: 8080, https: 443 };
        KnownRelay { relays, endpoint: endpoint(), ports }
    }

    fn endpoint() -> IpAddr {
        [203, 0, 113, 7].into()
    }

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
}
