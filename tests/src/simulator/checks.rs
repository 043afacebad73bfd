//! The invariants, held at every single datagram and deadline.
//!
//! **Invariant:** an endpoint moves only by transport data, and a session only by transport data or a response, each of which the
//! peer itself sealed, whose bits nobody changed, and which this program sees for the first time.
//! **Invariant:** what the relay takes out of a tunnel has a source that the tunnel may carry.
//! **Invariant:** who has proved nothing gets no longer an answer than what it sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bore_overlay::{DropReason, PeerId, PublicKey};

use super::host::{Inner, Outgoing};
use super::network::{Datagram, RELAY};
use super::world::{World, is_relay};

/// What may not move by itself, by peer.
pub(super) type Before = BTreeMap<PeerId, Fixed>;

/// Of one tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    public_key: PublicKey,
    endpoint: Option<SocketAddr>,
    session: Option<Instant>,
}

impl World {
    /// Takes down what may not move by itself.
    pub(super) fn before(&self, host: usize) -> Before {
        let statuses = self.hosts.get(host).map(|host| host.statuses()).unwrap_or_default();
        let fixed = statuses.into_iter().map(|(id, status)| {
            let (endpoint, session) = (status.endpoint, status.session_established);
            (id, Fixed { public_key: status.public_key, endpoint, session })
        });
        fixed.collect()
    }

    /// Holds what a datagram moved against what it may move.
    pub(super) fn check_moves(
        &mut self,
        host: usize,
        datagram: &Datagram,
        is_news: bool,
        before: &Before,
    ) {
        let kind = datagram.bytes.first().copied().unwrap_or_default();
        for (id, after) in self.before(host) {
            let nothing = Fixed { public_key: after.public_key, endpoint: None, session: None };
            let before = before.get(&id).copied().unwrap_or(nothing);
            let has_moved = after.endpoint != before.endpoint;
            let is_renewed = after.session.is_some() && after.session != before.session;
            if !has_moved && !is_renewed {
                continue;
            }
            let is_owners = datagram.origin.key == after.public_key;
            assert!(
                is_news && is_owners && (kind == TRANSPORT || kind == RESPONSE && !has_moved),
                "host {host}: {before:?} became {after:?} by a datagram of kind {kind} from {} \
                 (news: {is_news}, the peer's own: {is_owners})",
                datagram.from,
            );
            self.count(if has_moved { "endpoints moved" } else { "sessions renewed" });
        }
    }

    /// Timers and handles move no endpoint and make no session.
    pub(super) fn check_quiet(&self, host: usize, before: &Before) {
        for (id, after) in self.before(host) {
            let Some(before) = before.get(&id) else { continue };
            assert_eq!(after.endpoint, before.endpoint, "a timer has moved an endpoint");
            assert!(
                after.session.is_none() || after.session == before.session,
                "a timer has made a session"
            );
        }
    }

    /// The reference model decides by the key of the tunnel, whatever the overlay thinks of it.
    pub(super) fn check_inner(&self, host: usize, inner: &Inner) {
        if !is_relay(host) {
            return;
        }
        let peer = PeerId::from_index(inner.peer);
        let status = self.hosts.get(host).and_then(|host| host.overlay().status(peer));
        let key = status.map(|status| status.public_key);
        let node = self.nodes.iter().find(|node| Some(node.public_key()) == key);
        let may_pass = match node {
            Some(node) => node.model.may_send(inner),
            // A key that its node has given up.
            None => inner.is_knock(),
        };
        let model = node.map(|node| node.model);
        assert!(may_pass, "{inner:?} passed the filter, and {model:?} forbids it");
    }

    /// Only answers to addresses that are nobody's: at a peer's address other things may be due.
    pub(super) fn check_amplification(&self, host: usize, datagram: &Datagram, sent: &[Outgoing]) {
        let is_peers =
            self.before(host).values().any(|fixed| fixed.endpoint == Some(datagram.from));
        if is_peers || datagram.from == RELAY {
            return;
        }
        let to_it = sent.iter().filter(|outgoing| outgoing.to == datagram.from);
        let bytes: usize = to_it.map(|outgoing| outgoing.bytes.len()).sum();
        assert!(bytes <= datagram.bytes.len(), "{bytes} bytes for {}", datagram.bytes.len());
    }

    /// No queue was ever full: what the hosts have to do fits into every bound.
    pub(super) fn check_bounds(&self) {
        for host in &self.hosts {
            let counters = host.overlay().counters();
            for reason in [
                DropReason::TransmitsFull,
                DropReason::EventsFull,
                DropReason::IndicesExhausted,
                DropReason::BufferTooSmall,
            ] {
                assert_eq!(counters.dropped(reason), 0, "{}", reason.name());
            }
            let netstack = host.stack().counters();
            let full = [netstack.replies_dropped, netstack.flows_refused, netstack.malformed];
            assert_eq!(full, [0; 3], "replies dropped, flows refused, malformed");
        }
    }
}

const RESPONSE: u8 = 2;
const TRANSPORT: u8 = 4;
