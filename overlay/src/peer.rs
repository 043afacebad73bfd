//! One peer: its sessions, its handshakes, its endpoint, its timers.
//!
//! | place | holds | becomes |
//! |---|---|---|
//! | `attempt` | our handshake in flight | `current`, when the response proves to be for it |
//! | `candidates` | handshakes that we answered | `current`, when authentic transport data arrives on one |
//! | `current` | the session that we send in | `previous`, when another becomes current |
//! | `previous` | the session before, for receiving only | nothing; it ends at 180 s |
//!
//! Invariant: neither `current` nor `endpoint` changes by anything that can be replayed. An initiation only adds a candidate; a
//! response is bound to our fresh ephemeral key; transport data has a counter.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use zeroize::Zeroizing;

use crate::api::{Peer, PeerId, PeerStatus, Sources};
use crate::key::PublicKey;
use crate::limits::INITIATIONS_SEEN_MAX;
use crate::outbox::Outbox;
use crate::prefix::Bucket;
use crate::reset::RecentTags;
use crate::session::{Attempt, Session};
use crate::slots::Slots;
use crate::tunnel::Keys;

mod handshake;
mod path;
mod probing;
mod timeouts;
mod transport;

use path::Capacity;

/// What all peers of an overlay share.
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) slots: Slots,
    pub(crate) tags: RecentTags,
    pub(crate) out: Outbox,
    pub(crate) random: SmallRng,
    /// The driver can send a train with one system call, and may.
    pub(crate) may_segment: bool,
}

/// One peer.
pub(crate) struct PeerState {
    pub(crate) id: PeerId,
    pub(crate) public_key: PublicKey,
    pub(crate) sources: Sources,
    /// The wake-up that the schedule holds for this peer.
    pub(crate) scheduled: Option<Instant>,
    preshared_key: Option<Zeroizing<[u8; 32]>>,
    endpoint: Option<SocketAddr>,
    /// Where the peer was before its datagrams last came from another address.
    previous_endpoint: Option<SocketAddr>,
    keepalive: Option<Duration>,
    /// In the walled garden until then.
    garden_until: Option<Instant>,

    current: Option<Session>,
    previous: Option<Session>,
    candidates: Vec<Session>,
    attempt: Option<Attempt>,
    /// First bytes of the ephemeral keys of initiations that were answered, newest last.
    seen: [u64; INITIATIONS_SEEN_MAX],

    /// Whether others think that this tunnel works.
    up: bool,
    /// Handshakes given up in a row.
    failures: u32,
    /// When the next handshake begins by itself.
    retry_at: Option<Instant>,
    last_reset: Option<Instant>,
    /// The last response to a handshake of ours, and where it came from.
    last_answer: Option<(Instant, SocketAddr)>,
    last_received: Option<Instant>,
    last_sent: Option<Instant>,
    /// Since when we owe an answer, if only a keepalive.
    answer_owed: Option<Instant>,
    /// Since when we have heard nothing on what we sent.
    answer_awaited: Option<Instant>,
    received_bytes: u64,
    sent_bytes: u64,
    capacity: Capacity,
    /// No node of ours but a kernel answers probes of the path.
    is_kernel: bool,
    /// Of the peer's probes; none before the first.
    probe_answers: Option<Bucket>,
}

impl PeerState {
    pub(crate) fn new(id: PeerId, peer: Peer) -> Self {
        Self {
            id,
            public_key: peer.public_key,
            sources: peer.sources,
            scheduled: None,
            preshared_key: peer.preshared_key.map(Zeroizing::new),
            endpoint: peer.endpoint.map(canonical),
            previous_endpoint: None,
            keepalive: keepalive(&peer),
            garden_until: None,
            current: None,
            previous: None,
            candidates: Vec::new(),
            attempt: None,
            seen: [0; INITIATIONS_SEEN_MAX],
            up: false,
            failures: 0,
            retry_at: None,
            last_reset: None,
            last_answer: None,
            last_received: None,
            last_sent: None,
            answer_owed: None,
            answer_awaited: None,
            received_bytes: 0,
            sent_bytes: 0,
            capacity: Capacity::new(),
            is_kernel: false,
            probe_answers: None,
        }
    }

    /// A peer of the walled garden.
    pub(crate) fn pending(id: PeerId, public_key: PublicKey, until: Instant) -> Self {
        let peer = Peer {
            public_key,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            sources: Sources::Garden,
        };
        Self { garden_until: Some(until), ..Self::new(id, peer) }
    }

    /// Leaves the walled garden; sessions and the address that was learned stay.
    pub(crate) fn promote(&mut self, peer: Peer) {
        self.garden_until = None;
        self.sources = peer.sources;
        self.keepalive = keepalive(&peer);
        self.preshared_key = peer.preshared_key.map(Zeroizing::new);
        self.endpoint = self.endpoint.or_else(|| peer.endpoint.map(canonical));
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.garden_until.is_some()
    }

    pub(crate) fn garden_time_is_over(&self, now: Instant) -> bool {
        self.garden_until.is_some_and(|until| until <= now)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(canonical(endpoint));
    }

    pub(crate) fn status(&self, now: Instant) -> PeerStatus {
        let current = self.current.as_ref().filter(|session| !session.is_expired(now));
        PeerStatus {
            public_key: self.public_key,
            endpoint: self.endpoint,
            session_established: current.map(|session| session.born),
            previous_endpoint: self.previous_endpoint,
            last_answer: self.last_answer,
            last_received: self.last_received,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            packet_bytes_shown: self.capacity.packet_bytes_shown(),
        }
    }

    /// Gives back every receiver index.
    pub(crate) fn release(&mut self, slots: &mut Slots) {
        let sessions = self.current.take().into_iter().chain(self.previous.take());
        for session in sessions.chain(self.candidates.drain(..)) {
            slots.release(session.slot);
        }
        if let Some(attempt) = self.attempt.take() {
            slots.release(attempt.slot);
        }
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

fn keepalive(peer: &Peer) -> Option<Duration> {
    let seconds = peer.persistent_keepalive.filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.into()))
}
