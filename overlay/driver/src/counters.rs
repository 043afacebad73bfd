//! What a shard has counted, as one picture for metrics.

use std::cell::Cell;

/// Everything a shard counts: its own figures, the overlay's and the netstack's.
#[derive(Debug, Clone)]
pub struct Counters {
    /// The socket's side.
    pub driver: DriverCounters,
    /// Handshakes, drops, resets.
    pub overlay: bore_overlay::Counters,
    /// Flows and inner packets.
    pub netstack: bore_netstack::Counters,
    /// Open TCP flows.
    pub flows: usize,
}

/// Datagrams at the UDP socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverCounters {
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Sends of several datagrams with one system call.
    pub segmented_sends: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Datagrams dropped because the kernel's send buffer was full.
    pub send_buffer_full: u64,
    /// Datagrams that the kernel refused to send.
    pub send_failed: u64,
    /// Inner packets dropped because their tunnel has no session.
    pub without_session: u64,
    /// Inner datagrams dropped because no IP packet can hold them, or their addresses are of two families.
    pub not_built: u64,
}

/// The live cells behind [`DriverCounters`]; one thread writes, so no atomics.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) datagrams_received: Cell<u64>,
    pub(crate) bytes_received: Cell<u64>,
    pub(crate) segmented_sends: Cell<u64>,
    pub(crate) datagrams_sent: Cell<u64>,
    pub(crate) bytes_sent: Cell<u64>,
    pub(crate) send_buffer_full: Cell<u64>,
    pub(crate) send_failed: Cell<u64>,
    pub(crate) without_session: Cell<u64>,
    pub(crate) not_built: Cell<u64>,
}

impl Cells {
    pub(crate) fn snapshot(&self) -> DriverCounters {
        DriverCounters {
            datagrams_received: self.datagrams_received.get(),
            bytes_received: self.bytes_received.get(),
            segmented_sends: self.segmented_sends.get(),
            datagrams_sent: self.datagrams_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            send_buffer_full: self.send_buffer_full.get(),
            send_failed: self.send_failed.get(),
            without_session: self.without_session.get(),
            not_built: self.not_built.get(),
        }
    }
}

/// Adds to a cell.
pub(crate) fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().wrapping_add(more));
}
