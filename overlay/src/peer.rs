//! One peer: three states that know nothing of each other, and what of them follows from each other.
//!
//! | part | knows |
//! |---|---|
//! | [`sessions`] | which sessions stand, and the handshakes under way |
//! | [`timers`] | what is owed and awaited, and since when |
//! | [`path`] | where the peer is, and what the path there carries |
//!
//! | here | is done |
//! |---|---|
//! | [`handshake`] | handshakes, both ways |
//! | [`transport`] | transport data, both ways |
//! | [`probing`] | probes of the path, both ways |
//! | [`timeouts`] | what is due when nothing arrives |

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use zeroize::Zeroizing;

use crate::api::{Peer, PeerId, PeerStatus, Sources};
use crate::key::PublicKey;
use crate::outbox::Outbox;
use crate::reset::RecentTags;
use crate::session::Session;
use crate::slots::Slots;
use crate::tunnel::Keys;

mod handshake;
mod path;
mod probing;
mod sessions;
mod timeouts;
mod timers;
mod transport;

use path::Path;
pub(crate) use path::canonical;
use sessions::Sessions;
use timers::Timers;

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
    /// In the walled garden until then.
    garden_until: Option<Instant>,
    sessions: Sessions,
    timers: Timers,
    path: Path,
    received_bytes: u64,
    sent_bytes: u64,
}

impl PeerState {
    pub(crate) fn new(id: PeerId, peer: Peer) -> Self {
        let keepalive = keepalive(&peer);
        Self {
            id,
            public_key: peer.public_key,
            sources: peer.sources,
            scheduled: None,
            preshared_key: peer.preshared_key.map(Zeroizing::new),
            garden_until: None,
            sessions: Sessions::default(),
            timers: Timers::new(keepalive),
            path: Path::new(peer.endpoint),
            received_bytes: 0,
            sent_bytes: 0,
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
        self.timers.set_keepalive(keepalive(&peer));
        self.preshared_key = peer.preshared_key.map(Zeroizing::new);
        self.path.suggest_endpoint(peer.endpoint);
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.garden_until.is_some()
    }

    pub(crate) fn garden_time_is_over(&self, now: Instant) -> bool {
        self.garden_until.is_some_and(|until| until <= now)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: SocketAddr) {
        self.path.set_endpoint(endpoint);
    }

    pub(crate) fn status(&self, now: Instant) -> PeerStatus {
        let current = self.sessions.current().filter(|session| !session.is_expired(now));
        PeerStatus {
            public_key: self.public_key,
            endpoint: self.path.endpoint(),
            session_established: current.map(Session::born),
            previous_endpoint: self.path.previous_endpoint(),
            last_answer: self.path.last_answer(),
            last_received: self.timers.last_received(),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            packet_bytes_shown: self.path.capacity().packet_bytes_shown(),
        }
    }

    /// Gives back every receiver index.
    pub(crate) fn release(&mut self, slots: &mut Slots) {
        self.sessions.release(slots);
    }
}

fn keepalive(peer: &Peer) -> Option<Duration> {
    let seconds = peer.persistent_keepalive.filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.into()))
}
