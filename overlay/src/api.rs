//! What goes into an [`Overlay`](crate::Overlay) and what comes out of it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::cluster::RelayIdentity;
use crate::counters::DropReason;
use crate::key::{PrivateKey, PublicKey};
use crate::tunnel::TRANSPORT_BYTES_MIN;

/// How an overlay is set up.
#[derive(Debug)]
pub struct Config {
    /// Our key.
    pub private_key: PrivateKey,
    /// Which shard this is; it is written into every receiver index.
    pub shard: u8,
    /// What to do with handshakes from keys that are no peer's.
    pub unknown_keys: UnknownKeys,
    /// What a relay answers to those who ask for its key; `None` on agents.
    pub identity: Option<RelayIdentity>,
    /// Handshakes per second from which on cookies are demanded.
    pub handshakes_per_second_max: u32,
    /// Seed of everything random that is no secret: jitter, receiver indices, hashing of prefixes. Should be unpredictable.
    pub seed: u64,
}

/// What to do with handshakes from keys that are no peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// Say nothing.
    Refuse,
    /// Take the sender, once it has proved its address, into the walled garden.
    Garden,
}

/// Names a peer of one overlay. Not reused before four billion peers have come and gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub(crate) u32);

impl PeerId {
    /// The id whose [`Self::index`] this is. An index that no peer has names nobody.
    pub fn from_index(index: u32) -> Self {
        Self(index)
    }

    /// The id as a number.
    pub fn index(&self) -> u32 {
        self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({:#x})", self.0)
    }
}

/// Which inner sources a tunnel may carry towards us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// A joining node: its garden address, and only to TCP port 80 of the relay's garden address.
    Garden,
    /// A node: its own addresses; and as a joining node, since the answer to its join may have been lost.
    Node {
        /// Its overlay IPv4 address.
        v4: Ipv4Addr,
        /// Its overlay IPv6 address.
        v6: Ipv6Addr,
    },
    /// A relay: any source that can be one.
    Relay,
}

/// A peer to be added.
#[derive(Clone)]
pub struct Peer {
    /// Its key.
    pub public_key: PublicKey,
    /// An additional shared secret.
    pub preshared_key: Option<[u8; 32]>,
    /// Where it is; `None` when it comes to us.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives. With an endpoint it also makes the tunnel come back by itself.
    pub persistent_keepalive: Option<u16>,
    /// Which inner sources its tunnel may carry.
    pub sources: Sources,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("public_key", &self.public_key)
            .field("preshared_key", &self.preshared_key.map(|_| "***"))
            .field("endpoint", &self.endpoint)
            .field("persistent_keepalive", &self.persistent_keepalive)
            .field("sources", &self.sources)
            .finish()
    }
}

/// Why a peer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddPeerError {
    /// The key is a peer's already.
    #[error("this public key is a peer already")]
    Duplicate,
    /// The key is our own.
    #[error("this public key is our own")]
    OwnKey,
    /// [`PEERS_MAX`](crate::limits::PEERS_MAX) peers are there.
    #[error("the table of peers is full")]
    Full,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// An inner packet that passed the filter.
    Packet {
        /// Whose tunnel it came by.
        peer: PeerId,
        /// The packet, in the caller's buffer.
        packet: &'b mut [u8],
    },
    /// A sign of life of a peer, authentic and for the overlay itself: a handshake's response, or a keep-alive.
    Alive {
        /// Whose.
        peer: PeerId,
    },
    /// It was for the overlay itself.
    Nothing,
    /// It was dropped, and counted.
    Dropped(DropReason),
}

/// What became of a packet to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Encapsulated<'b> {
    /// To be sent.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The datagram, in the caller's buffer.
        payload: &'b [u8],
    },
    /// The peer has no session. The packet is dropped; a handshake is under way if one is possible.
    NoSession,
    /// No such peer.
    Unknown,
}

/// Inner packets for one peer, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Packets<'p> {
    /// All of them.
    pub bytes: &'p [u8],
    /// Length of each; only the last may be shorter.
    pub packet_bytes: usize,
    /// Some were sent before and are thought to be lost.
    pub has_repeats: bool,
}

/// Sealed packets, one behind the other.
#[derive(Debug, PartialEq, Eq)]
pub struct SealedTrain<'b> {
    /// Where to.
    pub to: SocketAddr,
    /// The datagrams, in the caller's buffer.
    pub datagrams: &'b [u8],
    /// Length of each; only the last may be shorter.
    pub datagram_bytes: usize,
    /// There are several, and the path was shown to carry segments of one send.
    pub is_segmented: bool,
}

/// What the overlay itself wants sent: one datagram, or several of one length as segments of one send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The datagrams, one behind the other.
    pub payload: Vec<u8>,
    /// Length of each, when there are several. They ask the path whether it carries segments, so they must not be sent in any other way.
    pub segment_bytes: Option<usize>,
}

/// What others may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A key that is no peer's waits in the walled garden.
    Pending {
        /// Its peer, until it is promoted or expires.
        peer: PeerId,
        /// Its key.
        public_key: PublicKey,
        /// Where it is; it has proved that.
        from: SocketAddr,
    },
    /// A peer of the walled garden ran out of time and is gone.
    PendingExpired {
        /// The peer that was.
        peer: PeerId,
    },
    /// A tunnel that was down has a session that works.
    TunnelUp {
        /// The peer.
        peer: PeerId,
        /// Where it is.
        endpoint: SocketAddr,
    },
    /// A session expired, or a handshake was given up. It is tried again if there is an endpoint and a keepalive.
    TunnelDown {
        /// The peer.
        peer: PeerId,
    },
    /// A peer sends from another address.
    EndpointMoved {
        /// The peer.
        peer: PeerId,
        /// Its new address.
        to: SocketAddr,
    },
    /// A relay has told its key, and its cluster vouches for it.
    RelayIdentity {
        /// The relay's address.
        from: SocketAddr,
        /// Its key.
        key: PublicKey,
    },
    /// A peer has lost our session; a handshake is under way.
    ResetReceived {
        /// The peer.
        peer: PeerId,
    },
}

/// Facts about a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its key.
    pub public_key: PublicKey,
    /// Where it is, as far as known.
    pub endpoint: Option<SocketAddr>,
    /// Since when the session that is used for sending stands.
    pub session_established: Option<Instant>,
    /// Where it was before its datagrams last came from another address.
    pub previous_endpoint: Option<SocketAddr>,
    /// When it last answered a handshake of ours, and the address that the answer came from.
    pub last_answer: Option<(Instant, SocketAddr)>,
    /// When it last sent something authentic.
    pub last_received: Option<Instant>,
    /// Authentic bytes received, tunnel headers included.
    pub received_bytes: u64,
    /// Bytes sent in sessions, tunnel headers included.
    pub sent_bytes: u64,
    /// Length of the longest inner packet that was shown to reach the peer, or to be the longest that does.
    pub packet_bytes_shown: Option<usize>,
}

impl PeerStatus {
    /// Length of the longest IP packet of the tunnel that was shown to reach the peer: the MTU of the path, as far as it is used.
    pub fn path_mtu_bytes(&self) -> Option<usize> {
        let ip_header_bytes = if self.endpoint?.is_ipv4() { 20 } else { 40 };
        Some(self.packet_bytes_shown? + TRANSPORT_BYTES_MIN + UDP_HEADER_BYTES + ip_header_bytes)
    }
}

const UDP_HEADER_BYTES: usize = 8;
