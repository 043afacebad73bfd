//! The way to a peer: where it is, and what the path there carries.
//!
//! There is one path, the address that the peer's authentic datagrams last came from. Others to the same peer belong here, each with an
//! endpoint and a [`Capacity`] of its own.
//!
//! Invariant: the endpoint changes by nothing that can be replayed: only the caller's own word and authentic transport data move it.

use std::net::SocketAddr;
use std::time::Instant;

use crate::limits::PROBE_ANSWERS_PER_SECOND_MAX;
use bore_rate::{Bucket, Rate};

mod capacity;

pub(super) use capacity::{Capacity, LONGEST_PART, Order, SHORT_PART, SINGLE_PART};

/// The path to one peer.
#[derive(Debug)]
pub(crate) struct Path {
    endpoint: Option<SocketAddr>,
    /// Where the peer was before its datagrams last came from another address.
    previous_endpoint: Option<SocketAddr>,
    /// The last response to a handshake of ours, and where it came from.
    last_answer: Option<(Instant, SocketAddr)>,
    capacity: Capacity,
    /// No node of ours but a kernel answers probes.
    is_kernel: bool,
    /// Of the peer's probes; none before the first.
    probe_answers: Bucket,
}

impl Path {
    pub(super) fn new(endpoint: Option<SocketAddr>) -> Self {
        Self {
            endpoint: endpoint.map(canonical),
            previous_endpoint: None,
            last_answer: None,
            capacity: Capacity::new(),
            is_kernel: false,
            probe_answers: Bucket::default(),
        }
    }

    /// Where datagrams are sent.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    pub(super) fn previous_endpoint(&self) -> Option<SocketAddr> {
        self.previous_endpoint
    }

    pub(super) fn set_endpoint(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(canonical(endpoint));
    }

    /// Takes an endpoint that was configured, unless one is known.
    pub(super) fn suggest_endpoint(&mut self, endpoint: Option<SocketAddr>) {
        self.endpoint = self.endpoint.or_else(|| endpoint.map(canonical));
    }

    /// Something authentic came from `from`. Returns true unless the peer was there before.
    pub(super) fn move_to(&mut self, from: SocketAddr, now: Instant) -> bool {
        let before = self.endpoint.replace(from);
        if before == Some(from) {
            return false;
        }
        self.previous_endpoint = before.or(self.previous_endpoint);
        self.capacity.move_elsewhere(now);
        true
    }

    pub(super) fn last_answer(&self) -> Option<(Instant, SocketAddr)> {
        self.last_answer
    }

    /// A handshake of ours was answered from `from`.
    pub(super) fn note_answer(&mut self, from: SocketAddr, now: Instant) {
        self.last_answer = Some((now, from));
    }

    /// What it carries.
    pub(super) fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// As [`Self::capacity`], to be told what happens.
    pub(super) fn capacity_mut(&mut self) -> &mut Capacity {
        &mut self.capacity
    }

    pub(super) fn is_kernel(&self) -> bool {
        self.is_kernel
    }

    /// The peer may answer probes: one of our nodes, or a kernel.
    pub(super) fn allow_probes(&mut self, is_kernel: bool, now: Instant) {
        self.is_kernel = is_kernel;
        self.capacity.allow_probes(now);
    }

    /// Takes a permit to answer a probe. What the overlay itself says leaves before every flow's data, so what a peer makes it say is bounded.
    pub(super) fn may_answer_probe(&mut self, now: Instant) -> bool {
        self.probe_answers.take(1, PROBE_ANSWERS, now)
    }
}

/// An IPv4 address is IPv4, however the socket shows it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
    }
}

/// A round has seven probes, and several follow each other at once where something is lost.
const PROBE_ANSWERS: Rate = Rate::per_second(PROBE_ANSWERS_PER_SECOND_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_moves_is_remembered_where_it_was() {
        let (mut path, now) = (Path::new(None), Instant::now());
        let [first, second] = ["192.0.2.1:1", "192.0.2.2:1"].map(|text| text.parse().unwrap());
        assert!(path.move_to(first, now));
        assert!(!path.move_to(first, now), "it was there before");
        assert_eq!(path.previous_endpoint(), None);

        path.set_endpoint(second);
        assert_eq!(path.previous_endpoint(), None, "the peer did not say so itself");
        path.set_endpoint(first);
        assert!(path.move_to(second, now));
        assert_eq!((path.endpoint(), path.previous_endpoint()), (Some(second), Some(first)));
    }

    #[test]
    fn what_the_peer_showed_goes_before_what_was_configured() {
        let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
        let mut path = Path::new(None);
        path.suggest_endpoint(Some(mapped));
        path.suggest_endpoint(Some("192.0.2.9:9".parse().unwrap()));
        assert_eq!(path.endpoint(), Some("192.0.2.1:1".parse().unwrap()));
    }
}
