//! A NAT box: port-restricted, with mappings that expire and that can be lost.
//!
//! One mapping an inside address, whatever it talks to; what comes back passes only from an address and port that was sent to.
//! Source: RFC 4787 §4 (endpoint-independent mapping), §5 (address and port-dependent filtering).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// One box with one public address.
#[derive(Debug)]
pub(super) struct Nat {
    public: Ipv4Addr,
    port_next: u16,
    mappings: BTreeMap<SocketAddr, Mapping>,
}

#[derive(Debug)]
struct Mapping {
    port: u16,
    used: Instant,
    permitted: Vec<SocketAddr>,
}

impl Nat {
    pub(super) fn new(public: Ipv4Addr, port_first: u16) -> Self {
        Self { public, port_next: port_first, mappings: BTreeMap::new() }
    }

    pub(super) fn public(&self) -> Ipv4Addr {
        self.public
    }

    /// The public address of what leaves from `inside` for `to`.
    pub(super) fn leave(&mut self, inside: SocketAddr, to: SocketAddr, now: Instant) -> SocketAddr {
        self.mappings.retain(|_, mapping| mapping.is_alive(now));
        let port_next = &mut self.port_next;
        let mapping = self.mappings.entry(inside).or_insert_with(|| {
            *port_next = port_next.wrapping_add(1).max(PORT_MIN);
            Mapping { port: *port_next, used: now, permitted: Vec::new() }
        });
        mapping.used = now;
        if !mapping.permitted.contains(&to) {
            mapping.permitted.push(to);
        }
        SocketAddr::new(self.public.into(), mapping.port)
    }

    /// The inside address for what comes `from` outside to the public `port`, if it may pass.
    pub(super) fn enter(&self, port: u16, from: SocketAddr, now: Instant) -> Option<SocketAddr> {
        let passes = |mapping: &Mapping| {
            mapping.port == port && mapping.permitted.contains(&from) && mapping.is_alive(now)
        };
        self.mappings.iter().find(|(_, mapping)| passes(mapping)).map(|(inside, _)| *inside)
    }

    /// Forgets every mapping, as a box that is switched off and on: what leaves next has another port.
    pub(super) fn rebind(&mut self) {
        self.mappings.clear();
    }
}

impl Mapping {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < MAPPING_LIFETIME
    }
}

/// Shorter than the two minutes of RFC 4787 §4.3, as many boxes are.
const MAPPING_LIFETIME: Duration = Duration::from_secs(60);
const PORT_MIN: u16 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_sent_to_comes_back_and_only_for_a_minute() {
        let now = Instant::now();
        let mut nat = Nat::new(Ipv4Addr::new(198, 51, 100, 1), 2_000);
        let outside = nat.leave(at("10.0.0.2:1"), at("203.0.113.1:443"), now);
        let enter = |from, now| nat.enter(outside.port(), at(from), now);
        assert_eq!(enter("203.0.113.1:443", now), Some(at("10.0.0.2:1")));
        assert_eq!(enter("203.0.113.1:444", now), None);
        assert_eq!(enter("203.0.113.1:443", now + MAPPING_LIFETIME), None);
    }

    #[test]
    fn a_box_that_forgot_gives_another_port() {
        let now = Instant::now();
        let mut nat = Nat::new(Ipv4Addr::new(198, 51, 100, 1), 2_000);
        let before = nat.leave(at("10.0.0.2:1"), at("203.0.113.1:443"), now);
        nat.rebind();
        assert_eq!(nat.enter(before.port(), at("203.0.113.1:443"), now), None);
        assert_ne!(nat.leave(at("10.0.0.2:1"), at("203.0.113.1:443"), now), before);
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
