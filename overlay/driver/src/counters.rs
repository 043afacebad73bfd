//! What a shard has counted, as one picture for metrics.

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
