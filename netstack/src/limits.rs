//! Every bound of the netstack, by name. Hitting one is counted in [`Counters`](crate::Counters).

use std::time::Duration;

/// Receive buffer of a flow, allocated when the flow is made.
///
/// One byte under 64 KiB on purpose: the largest window that needs no scaling. smoltcp 0.14 reads
/// the unscaled window of its own SYN as if it were scaled, and a peer that overran the buffer before
/// the first ordinary ACK would hit an assertion. Without a shift both readings agree.
pub const RECEIVE_BUFFER_BYTES: usize = 65_535;

/// Send buffer of a flow, allocated when the flow is made.
pub const SEND_BUFFER_BYTES: usize = 65_536;

/// Flows of all peers together.
pub const FLOWS_MAX: usize = 32_768;

/// Flows of one peer.
pub const FLOWS_PER_PEER_MAX: usize = 16_384;

/// SYNs of all peers that wait for a decision.
pub const HALF_OPEN_MAX: usize = 65_536;

/// SYNs of one peer that wait for a decision.
pub const HALF_OPEN_PER_PEER_MAX: usize = 256;

/// Largest SYN that is kept. Headers with every option take 120 bytes; data in a SYN is not spoken.
pub const HALF_OPEN_PACKET_BYTES_MAX: usize = 128;

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

/// How long a peer may leave data, FIN, SYN-ACK or a probe unanswered (RFC 5482 user timeout).
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a flow whose handle is gone may take to close (FIN-WAIT-2 and all before it).
pub const LINGER_MAX: Duration = Duration::from_secs(60);

/// Smallest and largest inner MTU of a peer.
pub const MTU_BYTES_MIN: usize = 576;
/// See [`MTU_BYTES_MIN`].
pub const MTU_BYTES_MAX: usize = 9_216;
