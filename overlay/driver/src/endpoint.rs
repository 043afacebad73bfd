//! The loop of a shard without the ground that it stands on: the tunnels, the flows inside them, and what of it leaves when.
//!
//! The shell around it gives each datagram that came to [`Endpoint::handle_datagram`], then calls [`Endpoint::turn`]; and again when
//! [`Endpoint::poll_timeout`] has come, when the way out has room and something [waits](Endpoint::is_blocked), and when the waker of
//! [`Endpoint::stack`] was called. One turn runs what is due, tells what happened, and sends until nothing is left, the turn's budget is
//! spent or the way out is full. Inner packets are pulled from the netstack one train at a time, so a full way out is felt by the flows and
//! nothing queues in between.
//!
//! Never: a socket, a clock, a task. So a simulator runs the same loop in virtual time.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bore_netstack::limits::{MTU_BYTES_MAX, PACKET_BYTES_MAX};
use bore_netstack::{Config as StackConfig, PeerConfig, PeerKey, Stack, Verdict};
use bore_overlay::{
    AddPeerError, Config as OverlayConfig, DropReason, Event, Overlay, Peer, PeerId, Received,
};

use crate::counters::{Counters, DriverCounters};
use crate::limits::{DATAGRAM_BYTES_MAX, KEEP_ALIVE_IDLE, SEND_BYTES_MAX, TRAIN_BYTES_MAX};

mod egress;
mod unsent;

use unsent::Unsent;

/// What is around an endpoint.
pub trait Surroundings {
    /// Sends one datagram; or several, all or none, of `segment_bytes` each, of which the last may be shorter.
    ///
    /// # Errors
    /// Why it does not leave.
    fn send(
        &mut self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_bytes: Option<usize>,
    ) -> Result<(), SendError>;

    /// Returns true if one more event can be told at present; what is not told stays in the overlay, which bounds it.
    fn has_room_for_event(&self) -> bool;

    /// Takes what happened to a tunnel.
    fn tell(&mut self, event: Event);
}

/// Why a datagram does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// There is no room for it at present.
    Full,
    /// It is longer than the path carries.
    TooLong,
    /// Anything else.
    Refused,
}

/// What became of a datagram that came.
#[derive(Debug)]
pub enum Arrival<'b> {
    /// A packet came out of the tunnel of `peer`, and the netstack had it.
    Packet {
        /// Whose tunnel.
        peer: PeerId,
        /// The packet.
        packet: &'b [u8],
        /// What the netstack says of it. UDP is the shell's to hand on.
        verdict: Verdict<'b>,
    },
    /// A sign of life of `peer`.
    Alive {
        /// Whose.
        peer: PeerId,
    },
    /// It was for the overlay itself.
    Nothing,
    /// It was dropped, and counted.
    Dropped(DropReason),
}

impl Arrival<'_> {
    /// It was sealed by a peer.
    pub fn is_authentic(&self) -> bool {
        matches!(self, Self::Packet { .. } | Self::Alive { .. })
    }
}

/// The tunnels of one shard, the flows inside them, and what waits to leave.
pub struct Endpoint {
    overlay: Overlay,
    stack: Stack,
    /// Largest inner packet, in bytes.
    mtu: usize,
    counters: DriverCounters,
    buffers: Buffers,
    unsent: Unsent,
}

/// Scratch space for building a packet and sealing it.
struct Buffers {
    inner: Box<[u8]>,
    fragment: Box<[u8]>,
    sealed: Box<[u8]>,
}

impl Endpoint {
    /// An endpoint without peers, whose inner packets have `mtu` bytes at most.
    pub fn new(config: OverlayConfig, mtu: usize, now: Instant) -> Self {
        let stack = Stack::new(StackConfig { seed: config.seed });
        Self {
            overlay: Overlay::new(config, now),
            stack,
            mtu,
            counters: DriverCounters::default(),
            buffers: Buffers {
                inner: room(TRAIN_BYTES_MAX.max(PACKET_BYTES_MAX)),
                fragment: room(MTU_BYTES_MAX),
                sealed: room(SEND_BYTES_MAX + DATAGRAM_BYTES_MAX),
            },
            unsent: Unsent::default(),
        }
    }

    /// The netstack, for its own calls.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The overlay, for what it tells.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The overlay, for its own calls. Peers come and go by [`Self::add_peer`] and [`Self::remove_peer`].
    pub fn overlay_mut(&mut self) -> &mut Overlay {
        &mut self.overlay
    }

    /// Adds a tunnel; a key that waits in the walled garden keeps its session and becomes this peer. `is_foreign` says that the tunnel does not
    /// end at one of our own nodes.
    ///
    /// # Errors
    /// The key is a peer already, or the table is full.
    pub fn add_peer(
        &mut self,
        peer: Peer,
        is_foreign: bool,
        now: Instant,
    ) -> Result<PeerId, AddPeerError> {
        let id = self.overlay.add_peer(peer, now)?;
        self.adopt_peer(id, is_foreign, now);
        Ok(id)
    }

    /// Ends a tunnel: its flows are reset and its datagrams are unknown from here on.
    pub fn remove_peer(&mut self, peer: PeerId) {
        self.overlay.remove_peer(peer);
        self.forget_peer(peer);
    }

    /// Takes a datagram that came from `from`. `plain` has room for the datagram, and for 148 bytes at least.
    pub fn handle_datagram<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        plain: &'b mut [u8],
        now: Instant,
    ) -> Arrival<'b> {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        match self.overlay.handle_datagram(from, datagram, plain, now) {
            Received::Packet { peer, packet } => {
                let packet: &'b [u8] = packet;
                Arrival::Packet { peer, packet, verdict: self.deliver(peer, packet, now) }
            }
            Received::Alive { peer } => {
                self.stack.heard_from(key(peer), now);
                Arrival::Alive { peer }
            }
            Received::Nothing => Arrival::Nothing,
            Received::Dropped(reason) => Arrival::Dropped(reason),
        }
    }

    /// Takes a packet that came out of the tunnel of `peer`: for what [`Verdict::Reassembled`] tells of.
    pub fn deliver<'p>(&self, peer: PeerId, packet: &'p [u8], now: Instant) -> Verdict<'p> {
        self.stack.handle_packet(key(peer), packet, now)
    }

    /// Runs what is due, tells what happened, sends what may leave. Returns true if more may be waiting: the next turn is due once sockets
    /// and flows had theirs.
    pub fn turn(&mut self, surroundings: &mut impl Surroundings, now: Instant) -> bool {
        self.overlay.handle_timeout(now);
        self.follow_paths();
        self.stack.handle_timeout(now);
        self.tell_events(surroundings, now);
        self.transmit(surroundings, now)
    }

    /// Sends what the end of the flows left to say, as far as it can leave.
    pub fn say_farewell(&mut self, surroundings: &mut impl Surroundings, now: Instant) {
        self.stack.handle_timeout(now);
        self.transmit(surroundings, now);
    }

    /// When [`Self::turn`] is due next, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let overlay = self.overlay.poll_timeout().map(|(at, _reason)| at);
        [overlay, self.stack.poll_timeout()].into_iter().flatten().min()
    }

    /// Something waits for room on the way out.
    pub fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The way out is another: what waited for the one before is lost.
    pub fn forget_unsent(&mut self) {
        self.unsent.clear();
    }

    /// Everything counted so far.
    pub fn counters(&self) -> Counters {
        Counters {
            driver: self.counters,
            overlay: self.overlay.counters().clone(),
            netstack: self.stack.counters(),
            flows: self.stack.flow_count(),
        }
    }

    fn tell_events(&mut self, surroundings: &mut impl Surroundings, now: Instant) {
        while surroundings.has_room_for_event() {
            let Some(event) = self.overlay.poll_event() else { return };
            self.prepare_peer(&event, now);
            surroundings.tell(event);
        }
    }

    /// A tunnel's flows rest while it has no session, and a garden peer has a stack before anybody hears of it.
    fn prepare_peer(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Pending { peer, .. } => self.adopt_peer(*peer, true, now),
            Event::PendingExpired { peer } => self.forget_peer(*peer),
            Event::TunnelUp { peer, .. } => self.stack.pause_peer(key(*peer), false),
            Event::TunnelDown { peer } => self.stack.pause_peer(key(*peer), true),
            Event::EndpointMoved { .. }
            | Event::RelayIdentity { .. }
            | Event::ResetReceived { .. } => {}
        }
    }

    fn adopt_peer(&mut self, peer: PeerId, is_foreign: bool, now: Instant) {
        let keep_alive = Some(KEEP_ALIVE_IDLE);
        let config = PeerConfig { mtu: self.mtu, is_foreign, keep_alive, ..Default::default() };
        self.stack.add_peer(key(peer), config);
        self.overlay.allow_probes(peer, is_foreign, now);
        follow_path(&self.overlay, &self.stack, peer);
    }

    fn forget_peer(&self, peer: PeerId) {
        self.stack.remove_peer(key(peer));
    }

    fn follow_paths(&mut self) {
        follow_paths(&mut self.overlay, &self.stack);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

/// The netstack sends packets as long as the overlay says that the paths carry.
fn follow_paths(overlay: &mut Overlay, stack: &Stack) {
    while let Some(peer) = overlay.poll_path() {
        follow_path(overlay, stack, peer);
    }
}

fn follow_path(overlay: &Overlay, stack: &Stack, peer: PeerId) {
    stack.set_path_mtu(key(peer), overlay.packet_bytes_max(peer));
}

/// What the netstack calls a peer of the overlay.
fn key(peer: PeerId) -> PeerKey {
    PeerKey(peer.index())
}

fn room(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}
