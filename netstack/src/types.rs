//! The small public words of the room: keys, settings, bindings, verdicts.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Which tunnel a packet came from or goes to. The driver gives the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub u32);

/// Settings of a [`Stack`](crate::Stack).
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Seeds initial sequence numbers, port choice and the hash of the flow table. From the
    /// operating system's generator in production, fixed in tests.
    pub seed: u64,
}

/// Settings of one peer.
#[derive(Debug, Clone, Copy)]
pub struct PeerConfig {
    /// Largest inner packet, clamped to what [`limits`](crate::limits) allow. Default 1280. A path that takes less is told of by
    /// [`Stack::set_path_mtu`](crate::Stack::set_path_mtu).
    pub mtu: usize,
    /// The tunnel does not end at one of our own nodes: packets may come from any kernel behind it. Their checksums are verified, which
    /// the AEAD makes needless for our own, and nothing is spoken that only our own understand.
    pub is_foreign: bool,
    /// How flows share the path with others.
    pub congestion: Congestion,
    /// Probes the other side when a flow has been idle for about this long, a quarter more or less by chance, so that its death shows. `None`,
    /// the default: an idle flow costs nothing and lives for ever.
    pub keep_alive: Option<Duration>,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self { mtu: 1280, is_foreign: false, congestion: Congestion::default(), keep_alive: None }
    }
}

/// Congestion control of a peer's flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// A model of the path, in the family of BBRv3: fast on paths that lose packets.
    #[default]
    Model,
    /// Cubic with HyStart++ (RFC 9438, RFC 9406): what most of the Internet speaks.
    Cubic,
}

/// Packets of one flow, one behind the other in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Train {
    /// The tunnel that they are for.
    pub peer: PeerKey,
    pub(crate) lengths: Lengths,
}

impl Train {
    /// Length of each packet; only the last may be shorter. Never zero.
    #[must_use]
    pub fn packet_bytes(&self) -> usize {
        self.lengths.packet_bytes()
    }

    /// Length of all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lengths.bytes()
    }

    /// Some were sent before and are thought to be lost.
    #[must_use]
    pub fn has_repeats(&self) -> bool {
        self.lengths.has_repeats
    }

    /// How many packets there are.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.bytes().div_ceil(self.packet_bytes())
    }
}

/// Packets that lie one behind the other: narrow, so that it travels in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    packet_bytes: NonZeroU16,
    has_repeats: bool,
    bytes: u32,
}

impl Lengths {
    /// Of each packet, and of all together; `None` where that is nothing, or more than IP or a train can hold.
    pub(crate) fn new(packet_bytes: usize, bytes: usize) -> Option<Self> {
        let packet_bytes = u16::try_from(packet_bytes).ok().and_then(NonZeroU16::new)?;
        Some(Self { packet_bytes, has_repeats: false, bytes: bytes.try_into().ok()? })
    }

    /// The same, of which some were sent before if `has_repeats`.
    pub(crate) fn with_repeats(self, has_repeats: bool) -> Self {
        Self { has_repeats, ..self }
    }

    pub(crate) fn has_repeats(self) -> bool {
        self.has_repeats
    }

    pub(crate) fn packet_bytes(self) -> usize {
        self.packet_bytes.get().into()
    }

    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

/// What UDP packets a binding claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Packets to a local address, from any peer.
    Local {
        /// Ours.
        address: IpAddr,
        /// Ours.
        ports: RangeInclusive<u16>,
    },
    /// Packets from an address behind one peer, to any local address.
    Remote {
        /// The tunnel that they must come from.
        peer: PeerKey,
        /// Theirs.
        address: IpAddr,
        /// Theirs.
        ports: RangeInclusive<u16>,
    },
}

/// Names a binding of [`Stack::bind_udp`](crate::Stack::bind_udp).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingId(pub(crate) u64);

/// Why a destination cannot be reached, in the words that ICMP and ICMPv6 share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No route to the network, or an ICMP code without a word of its own.
    Network,
    /// The host does not answer.
    Host,
    /// Nobody listens on the port.
    Port,
    /// Forbidden by policy.
    Prohibited,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'p> {
    /// The stack has dealt with it.
    Consumed,
    /// A UDP packet that a binding claims.
    Udp {
        /// Which.
        binding: BindingId,
        /// Theirs.
        source: SocketAddr,
        /// Ours.
        destination: SocketAddr,
        /// Data behind the UDP header.
        payload: &'p [u8],
    },
    /// ICMP says that a UDP packet of a binding did not arrive.
    UdpUnreachable {
        /// Which.
        binding: BindingId,
        /// Ours: where the packet was sent from.
        source: SocketAddr,
        /// Theirs: where it was sent to.
        destination: SocketAddr,
    },
    /// No flow, listener or binding wants it. A RST or ICMP error may follow by
    /// [`Stack::poll_transmit`](crate::Stack::poll_transmit).
    Unmatched,
    /// The last fragment of a UDP datagram: [`Stack::take_reassembled`](crate::Stack::take_reassembled) gives the whole packet, which is
    /// then to be handled as if it had come in one piece.
    Reassembled,
    /// Not a whole IP packet with sane addresses, nor a sane fragment of a UDP datagram.
    Malformed,
}
