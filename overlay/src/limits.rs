//! Every bound of this room, in one place. Each has a counter that moves when it is hit, unless hitting it is an error to the caller.

use std::time::Duration;

/// Relay addresses in a join key.
pub const JOIN_KEY_RELAYS_MAX: usize = 4;
/// Characters of the longest join key: prefix and base32 of 1,126 bytes.
pub(crate) const JOIN_KEY_CHARACTERS_MAX: usize = 1_812;

/// Peers of one overlay (one shard). A third of the receiver indices, so that every peer can rekey at once.
pub const PEERS_MAX: usize = 20_000;
/// Handshakes of one peer that were answered and not yet confirmed.
pub const CANDIDATES_MAX: usize = 4;
/// Initiations of one peer that are remembered, so that a repeated one is not answered again.
pub(crate) const INITIATIONS_SEEN_MAX: usize = 8;

/// Peers in the walled garden.
pub const PENDING_MAX: usize = 1_024;
/// Peers in the walled garden per IPv4 address or IPv6 /56: a whole site behind one address may be joining.
pub const PENDING_PER_PREFIX_MAX: usize = 128;
/// How long a peer may stay in the walled garden.
pub const PENDING_LIFETIME: Duration = Duration::from_secs(15);

/// Datagrams waiting for `poll_transmit`.
pub const TRANSMITS_MAX: usize = 4_096;
/// Of these, answers to senders that have proved nothing: they never crowd out a peer's handshake.
pub const TRANSMITS_UNPROVEN_MAX: usize = 1_024;
/// Events waiting for `poll_event`: room for every peer to come and go.
pub const EVENTS_MAX: usize = 65_536;
/// Of these, events that may be lost, and new peers in the garden.
pub const EVENTS_MINOR_MAX: usize = 16_384;
/// Relays asked for their identity at once.
pub const IDENTITY_REQUESTS_MAX: usize = 8;
/// Peers whose timers run in one `handle_timeout`; the rest run in the next.
pub(crate) const TIMEOUTS_PER_CALL_MAX: usize = 1_024;

/// Largest inner packet, IP header included. Sealed and with UDP and IP headers it measures 1,340 bytes by IPv4 and 1,360 by IPv6.
pub const INNER_MTU: usize = 1_280;
/// Inner packet that every path must carry: sealed and with UDP and IP headers it measures 1,260 bytes by IPv4 and 1,280 by IPv6, which is the least
/// MTU of IPv6 (RFC 8200 §5). Also RFC 8899's BASE_PLPMTU.
pub const INNER_MTU_BASE: usize = 1_200;
/// Datagrams of the train that asks a path whether it carries segments.
pub(crate) const SEGMENTS_PROBED: u8 = 4;
/// Probes of one peer that are answered in a second, and in one burst.
pub const PROBE_ANSWERS_PER_SECOND_MAX: u32 = 128;

/// Tags of sent datagrams by which a RESET is recognised, over all peers. A power of two.
pub(crate) const RECENT_TAGS: usize = 16_384;
/// Buckets of one limiter by source prefix. A power of two.
pub(crate) const PREFIX_BUCKETS: usize = 4_096;
