//! Every bound of the netstack, by name. Hitting one is counted in [`Counters`](crate::Counters).

use std::time::Duration;

/// Receive window of a new flow. Costs nothing until bytes come.
pub const WINDOW_INITIAL_BYTES: u64 = 65_535;

/// Largest receive window of a flow: 1 Gbit/s over 128 ms while a loss is repaired.
pub const WINDOW_MAX_BYTES: u64 = 65_535 << 9;

/// What a flow may always have written and not sent, while memory is not scarce.
pub const SEND_INITIAL_BYTES: u64 = 64 * 1024;

/// Most that a flow may have written and not acknowledged.
pub const SEND_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Buffers of all flows together. Above three quarters of it windows stop to grow.
pub const BUFFERS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Buffers of one peer's flows.
pub const BUFFERS_PER_PEER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Emptied buffers that are kept for the next bytes: 8 MiB, 2 MiB and 2 MiB.
pub const LARGE_BLOCKS_KEPT_MAX: usize = 128;
/// See [`LARGE_BLOCKS_KEPT_MAX`].
pub const MEDIUM_BLOCKS_KEPT_MAX: usize = 128;
/// See [`LARGE_BLOCKS_KEPT_MAX`].
pub const SMALL_BLOCKS_KEPT_MAX: usize = 1_024;

/// Gaps in what a flow has received; a segment that would open another is dropped.
pub const REASSEMBLY_RANGES_MAX: usize = 1_024;

/// Flows of all peers together.
pub const FLOWS_MAX: usize = 131_072;

/// Flows of one peer.
pub const FLOWS_PER_PEER_MAX: usize = 16_384;

/// SYNs of all peers that wait for a decision.
pub const HALF_OPEN_MAX: usize = 65_536;

/// SYNs of one peer that wait for a decision. All visitors of an agent come from one peer, and several of its services may hang.
pub const HALF_OPEN_PER_PEER_MAX: usize = 2_048;

/// Largest SYN of a foreign peer that is kept: headers with every option take 120 bytes. Our own nodes may send data with it.
pub const HALF_OPEN_PACKET_BYTES_MAX: usize = 128;

/// What our own nodes may send of a stream before its SYN is answered.
pub const EARLY_BYTES_MAX: usize = 4 * 1024;

/// Early bytes of one peer that wait for decisions: with each such SYN a packet.
pub const EARLY_PER_PEER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a SYN waits for a decision.
pub const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(30);

/// SYNs that wait in one listener for `accept`.
pub const LISTENER_BACKLOG_MAX: usize = 256;

/// Listeners of a stack.
pub const LISTENERS_MAX: usize = 65_536;

/// UDP bindings of a stack.
pub const BINDINGS_MAX: usize = 65_536;

/// Flows remembered in TIME-WAIT; the oldest is forgotten first.
pub const TIME_WAIT_MAX: usize = 16_384;

/// How long a closed 5-tuple is remembered.
pub const TIME_WAIT_LIFETIME: Duration = Duration::from_secs(10);

/// Packets of one flow that leave at once: what one send can carry (UDP_MAX_SEGMENTS of Linux).
pub const TRAIN_PACKETS_MAX: usize = 64;

/// Immediate answers (duplicate ACK, RST, ICMP) of one peer that wait for egress.
pub const REPLIES_PER_PEER_MAX: usize = 256;

/// Emptied reply buffers that are kept for the next reply.
pub const REPLY_BUFFERS_KEPT_MAX: usize = 256;

/// RST, ICMP errors and echo replies that one peer can cause in a second, and in one burst.
pub const CONTROL_REPLIES_PER_SECOND_MAX: u32 = 100;

/// How much of an offending packet an ICMP error quotes.
pub const QUOTE_BYTES_MAX: usize = 128;

/// Ports that `free_port` tries before it gives up.
pub const FREE_PORT_PROBES_MAX: usize = 1_024;

/// How long a peer may leave data, FIN, SYN-ACK or a probe unanswered (RFC 5482 user timeout). Longer than the 100 seconds that RFC 1122
/// §4.2.3.5 asks for at least, so that a handover, a restarted router or a tunnel in a train is survived; shorter than the quarter of an hour
/// of Linux, because a visitor waits at the other end. So long a peer without a session may be silent, too, before its idle flows end.
pub const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// How long after another start of a peer was heard the flows of the one before end. Of two nodes with one identity each would otherwise end the
/// other's flows before that hears which of them is refused.
pub const START_GRACE: Duration = Duration::from_secs(5);

/// A question that keep-alive asked is repeated at this interval until it is answered, or [`USER_TIMEOUT`] has passed.
pub const KEEP_ALIVE_RETRY: Duration = Duration::from_secs(15);

/// After this much silence, what comes from a peer shows that the path works again: what waits for a timeout that was doubled goes at once.
pub const SILENCE_MIN: Duration = Duration::from_secs(1);

/// After this much silence a flow may have ended at the other side, and its RST be lost: idle flows ask.
pub const SILENCE_LONG: Duration = Duration::from_secs(30);

/// Over how much time the questions of a peer's idle flows are spread.
pub const QUESTIONS_SPREAD: Duration = Duration::from_secs(5);

/// How long a flow whose handle is gone may take to close (FIN-WAIT-2 and all before it).
pub const LINGER_MAX: Duration = Duration::from_secs(60);

/// Smallest and largest inner MTU of a peer.
pub const MTU_BYTES_MIN: usize = 576;
/// See [`MTU_BYTES_MIN`].
pub const MTU_BYTES_MAX: usize = 9_216;

/// Largest IP packet: the largest payload of IPv6, and its header (RFC 8200 §3).
pub const PACKET_BYTES_MAX: usize = 40 + 65_535;

/// Datagrams of one peer that wait for their last fragment; the oldest leaves first.
pub const REASSEMBLIES_PER_PEER_MAX: usize = 256;

/// Memory of these.
pub const REASSEMBLY_PER_PEER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Datagrams of all peers that wait for their last fragment; the peer that holds the most bytes loses its oldest.
pub const REASSEMBLIES_MAX: usize = 8_192;

/// Memory of these.
pub const REASSEMBLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Datagrams of which something is missing that one peer's fragments push out in a second, and in one burst.
pub const EVICTIONS_PER_PEER_PER_SECOND_MAX: u32 = 1_000;

/// Gaps in a datagram, and one: a fragment that would open another ends the datagram.
pub const DATAGRAM_RANGES_MAX: usize = 16;

/// How long a datagram waits for its last fragment. Short, as identifications of IPv4 come again soon (RFC 4963 §3).
pub const REASSEMBLY_TIMEOUT: Duration = Duration::from_secs(5);
