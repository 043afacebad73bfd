//! Many tunnels behind one socket.
//!
//! The driver gives every datagram to [`Overlay::handle_datagram`] and every packet to [`Overlay::encapsulate`], calls
//! [`Overlay::handle_timeout`] at [`Overlay::poll_timeout`], and after each of these sends what [`Overlay::poll_transmit`] gives and tells
//! what [`Overlay::poll_event`] gives, until there is none.
//!
//! Invariants: nothing that a stranger sends changes a session or an endpoint, nor gets a longer answer; nothing that anybody sends
//! panics or allocates without bound.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::admission::AdmissionControl;
use crate::api::{
    AddPeerError, Config, Encapsulated, Event, Packets, Peer, PeerId, PeerStatus, SealedTrain,
    Sources, Transmit, UnknownKeys,
};
use crate::cluster::ClusterPublicKey;
use crate::counters::{Counters, DropReason};
use crate::garden::Pending;
use crate::identity::{Answerer, Requests};
use crate::key::PublicKey;
use crate::limits::{INNER_MTU_BASE, PEERS_MAX, TIMEOUTS_PER_CALL_MAX};
use crate::outbox::Outbox;
use crate::peer::{PeerState, Shared};
use crate::peers::Peers;
use crate::reset::{RecentTags, ResetLimiter};
use crate::schedule::Schedule;
use crate::slots::Slots;
use crate::tunnel::{Keys, TRANSPORT_BYTES_MIN};

mod receive;

/// All tunnels of one shard.
pub struct Overlay {
    public_key: PublicKey,
    unknown_keys: UnknownKeys,
    shared: Shared,
    peers: Peers,
    pending: Pending,
    schedule: Schedule,
    admission: AdmissionControl,
    resets: ResetLimiter,
    answerer: Answerer,
    requests: Requests,
    /// The latest time that we were told.
    now: Instant,
}

impl Overlay {
    /// An overlay without peers.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut random = SmallRng::seed_from_u64(config.seed);
        Self {
            public_key: config.private_key.public(),
            unknown_keys: config.unknown_keys,
            admission: AdmissionControl::new(
                config.handshakes_per_second_max,
                random.random(),
                now,
            ),
            resets: ResetLimiter::new(random.random()),
            answerer: Answerer::new(config.identity, random.random()),
            shared: Shared {
                keys: Keys::new(&config.private_key),
                slots: Slots::new(config.shard),
                tags: RecentTags::new(),
                out: Outbox::default(),
                random,
                may_segment: false,
            },
            peers: Peers::default(),
            pending: Pending::default(),
            schedule: Schedule::default(),
            requests: Requests::default(),
            now,
        }
    }

    /// Our own key.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Adds a peer. A key that waits in the walled garden keeps its id and its session. With an endpoint and a keepalive the handshake
    /// begins at once.
    ///
    /// # Errors
    /// The key is a peer's already, or our own, or the table is full.
    pub fn add_peer(&mut self, peer: Peer, now: Instant) -> Result<PeerId, AddPeerError> {
        self.now = now;
        if peer.public_key == self.public_key {
            return Err(AddPeerError::OwnKey);
        }
        if self.peers.len() - self.pending.len() >= PEERS_MAX {
            return Err(AddPeerError::Full);
        }
        let state = match self.peers.by_key(&peer.public_key) {
            Some(id) => {
                let state = self.peers.get_mut(id).filter(|state| state.is_pending());
                let state = state.ok_or(AddPeerError::Duplicate)?;
                self.pending.remove(id);
                self.shared.out.counters.pending_promoted += 1;
                state.promote(peer);
                state
            }
            None => {
                let make = |id| PeerState::new(id, peer);
                self.peers.insert(make).ok_or(AddPeerError::Full)?
            }
        };
        state.maintain(now);
        self.schedule.plan(state);
        Ok(state.id)
    }

    /// Forgets a peer and its sessions.
    pub fn remove_peer(&mut self, peer: PeerId) {
        if let Some(mut state) = self.peers.remove(peer) {
            self.schedule.forget(&mut state);
            self.pending.remove(peer);
            state.release(&mut self.shared.slots);
        }
    }

    /// Changes which inner sources a peer's tunnel may carry.
    pub fn set_sources(&mut self, peer: PeerId, sources: Sources) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.sources = sources;
        }
    }

    /// Says where a peer is. What is sent next goes there; authentic data from elsewhere moves it again.
    pub fn set_endpoint(&mut self, peer: PeerId, endpoint: SocketAddr) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.set_endpoint(endpoint);
            state.maintain(self.now);
            self.schedule.plan(state);
        }
    }

    /// Sends a handshake at once, unless one was sent within the last half second. The standing session goes on meanwhile.
    pub fn start_handshake(&mut self, peer: PeerId, now: Instant) {
        self.now = now;
        if let Some(state) = self.peers.get_mut(peer) {
            state.start_handshake(&mut self.shared, now);
            self.schedule.plan(state);
        }
    }

    /// Seals a packet for a peer. `buffer` has room for the packet and 32 bytes, and for 148 bytes at least.
    pub fn encapsulate<'b>(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Encapsulated<'b> {
        self.now = now;
        let Some(state) = self.peers.get_mut(peer) else { return Encapsulated::Unknown };
        let sealed = state.seal_packet(&mut self.shared, packet, buffer, now);
        self.schedule.plan(state);
        match sealed {
            Ok((to, payload)) => Encapsulated::Datagram { to, payload },
            Err(reason) => {
                self.shared.out.counters.count_drop(reason);
                Encapsulated::NoSession
            }
        }
    }

    /// Seals the packets of a train one behind the other. `buffer` has room for the packets and 32 bytes each, and for 148 bytes more. `None`
    /// when the peer has no session, or is none.
    pub fn encapsulate_train<'b>(
        &mut self,
        peer: PeerId,
        train: Packets<'_>,
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Option<SealedTrain<'b>> {
        self.now = now;
        let state = self.peers.get_mut(peer)?;
        let sealed = state.seal_train(&mut self.shared, train, buffer, now);
        self.schedule.plan(state);
        sealed.map_err(|reason| self.shared.out.counters.count_drop(reason)).ok()
    }

    /// Whether trains may be sent as segments of one send, where the path is shown to carry them. At first they may not.
    pub fn allow_segments(&mut self, may_segment: bool) {
        self.shared.may_segment = may_segment;
    }

    /// Packets for a peer may be longer than every path carries, and trains leave in one send, as far as probes of the path are answered: by one
    /// of our own nodes, or, as echo requests to its overlay IPv4 address, by a node that `is_kernel`.
    pub fn allow_probes(&mut self, peer: PeerId, is_kernel: bool, now: Instant) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.allow_probes(is_kernel, now);
            self.schedule.plan(state);
        }
    }

    /// Length of the longest packet, IP header included, that the path to a peer carries as far as is known.
    pub fn packet_bytes_max(&self, peer: PeerId) -> usize {
        self.peers.get(peer).map_or(INNER_MTU_BASE, PeerState::packet_bytes_max)
    }

    /// A peer whose [`Self::packet_bytes_max`] has changed.
    pub fn poll_path(&mut self) -> Option<PeerId> {
        self.shared.out.poll_path()
    }

    /// The kernel refused a datagram for a peer because it is too long. What is not longer than what every path carries is no news.
    pub fn note_datagram_too_long(&mut self, peer: PeerId, bytes: usize, now: Instant) {
        let is_longer = bytes > INNER_MTU_BASE + TRANSPORT_BYTES_MIN;
        if let Some(state) = self.peers.get_mut(peer).filter(|_| is_longer) {
            state.note_datagram_too_long(&mut self.shared, now);
        }
    }

    /// The kernel refused to send a train of this peer as segments, and sent its datagrams one by one.
    pub fn note_segments_refused(&mut self, peer: PeerId, now: Instant) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.note_segments_refused(&mut self.shared, now);
        }
    }

    /// Runs the timers that are due, of a bounded number of peers; [`Self::poll_timeout`] says if more wait.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.requests.handle_timeout(&mut self.shared.out, now);
        for _ in 0..TIMEOUTS_PER_CALL_MAX {
            let Some(peer) = self.schedule.pop_due(now) else { return };
            self.handle_peer_timeout(peer, now);
        }
    }

    /// When [`Self::handle_timeout`] wants to run next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.schedule.next().into_iter().chain(self.requests.poll_timeout()).min()
    }

    /// The next datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.shared.out.poll_transmit()
    }

    /// The next thing to be told.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.out.poll_event()
    }

    /// Asks the relay at `to` who it is, every half second until it answers with a key that `cluster` has signed.
    pub fn request_identity(&mut self, to: SocketAddr, cluster: ClusterPublicKey, now: Instant) {
        self.now = now;
        let Shared { random, out, .. } = &mut self.shared;
        self.requests.add(crate::peer::canonical(to), cluster, random, out, now);
    }

    /// Stops asking.
    pub fn cancel_identity_requests(&mut self) {
        self.requests.clear();
    }

    /// Facts about a peer.
    pub fn status(&self, peer: PeerId) -> Option<PeerStatus> {
        self.peers.get(peer).map(|state| state.status(self.now))
    }

    /// Everything counted so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.out.counters
    }

    fn handle_peer_timeout(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.scheduled = None;
        if state.garden_time_is_over(now) {
            self.remove_peer(peer);
            self.shared.out.emit(Event::PendingExpired { peer });
            return;
        }
        state.handle_timeout(&mut self.shared, now);
        self.schedule.plan_after(state, now);
    }

    fn count_drop(&mut self, reason: DropReason) {
        self.shared.out.counters.count_drop(reason);
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("public_key", &self.public_key)
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
