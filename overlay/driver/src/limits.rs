//! Named bounds of the driver.

use std::time::Duration;

/// Receive batches taken from the socket before flows and timers get their turn.
pub(crate) const RECEIVE_BATCHES_MAX: usize = 4;
/// Datagrams sent in one turn before the socket is read again.
pub(crate) const TRANSMITS_PER_TURN_MAX: usize = 256;
/// Jobs that wait for the shard; more make [`crate::Shard::run`] wait.
pub(crate) const JOBS_MAX: usize = 1024;
/// Overlay events that wait for their reader; more stay in the overlay, which bounds them too.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Bytes in flight in each direction between a flow and another thread.
pub(crate) const PIPE_BYTES: usize = 64 * 1024;
/// Largest datagram that is built: the inner MTU's ceiling, WireGuard's 32 bytes, and room for its longest message.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 2048;
/// Datagrams of one send. The kernel takes 64 segments (UDP_MAX_SEGMENTS) and 65,507 bytes by IPv4.
pub(crate) const SEND_BYTES_MAX: usize = 65_000;
/// Packets of one flow that are taken from the netstack at once: sealed, 64 of them fit one send.
pub(crate) const TRAIN_BYTES_MAX: usize = SEND_BYTES_MAX - 64 * 32;
/// Correspondents that asked another than the usual address; beyond it they are learned anew.
pub(crate) const ANSWERING_ELSEWHERE_MAX: usize = 65_536;
/// What the kernel is asked to buffer for the socket; it may grant less.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// About how long a flow may be idle before it asks whether the other side still has it. That a node is gone shows by its tunnel, and that it
/// has started anew by its boot id: this finds what neither tells, a RST that was lost. 10,000 idle flows ask 83 times a second.
pub(crate) const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(120);
