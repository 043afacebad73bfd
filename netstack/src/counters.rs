//! What a stack counts. Every field moves somewhere in this room; a drop is counted once.

/// Totals since the stack was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets given to `handle_packet`.
    pub packets_in: u64,
    /// Packets given out by `poll_transmit`.
    pub packets_out: u64,
    /// Packets from a peer that is not (or no longer) known.
    pub unknown_peer: u64,
    /// Packets that are truncated, fragments of anything but UDP, of a wrong version, or with impossible addresses; and datagrams whose
    /// fragments do not add up to their checksum.
    pub malformed: u64,
    /// Packets that no flow, listener or binding wanted.
    pub unmatched: u64,
    /// RST segments made for packets that belong to no flow, and for rejected SYNs.
    pub resets_sent: u64,
    /// ICMP errors made.
    pub unreachables_sent: u64,
    /// ICMP echo requests answered.
    pub echoes_answered: u64,
    /// RST, ICMP errors and echo replies not made because the peer had used up its rate.
    pub control_rate_limited: u64,
    /// Immediate answers lost because the peer's reply queue was full.
    pub replies_dropped: u64,
    /// SYNs dropped because of a bound: half-open records, backlog, size.
    pub syns_dropped: u64,
    /// SYNs with data refused because they were meant for an earlier start of this node.
    pub stale_syns: u64,
    /// Half-open records that nobody decided in time.
    pub half_open_expired: u64,
    /// Flows refused because of a bound.
    pub flows_refused: u64,
    /// Flows opened, by either side.
    pub flows_opened: u64,
    /// Flows whose memory was given back.
    pub flows_closed: u64,
    /// Flows that the other side reset, or refused.
    pub flows_reset: u64,
    /// Flows given up because the other side stayed silent.
    pub flows_timed_out: u64,
    /// Flows that went on closing after their handle was gone.
    pub flows_lingered: u64,
    /// TIME-WAIT records forgotten early because of the bound.
    pub time_wait_evicted: u64,
    /// ICMP errors about TCP that changed nothing: unknown flow, wrong sequence, established flow.
    pub icmp_ignored: u64,
    /// Fragments of UDP datagrams received.
    pub fragments_in: u64,
    /// UDP datagrams put together from fragments.
    pub datagrams_reassembled: u64,
    /// Fragments dropped because they are impossible, contradict others of their datagram, or are one of too many from their peer.
    pub fragments_refused: u64,
    /// Datagrams dropped because their last fragment did not come in time.
    pub reassemblies_expired: u64,
    /// Datagrams dropped before that because of a bound.
    pub reassemblies_evicted: u64,
    /// UDP datagrams cut into fragments because they are longer than the tunnel's MTU.
    pub datagrams_fragmented: u64,
    /// Times a connection was touched; a packet costs one, whatever the number of flows.
    pub engine_polls: u64,
}

impl Counters {
    /// Every total with its name, for metrics.
    pub fn named(&self) -> [(&'static str, u64); 28] {
        [
            ("packets_in", self.packets_in),
            ("packets_out", self.packets_out),
            ("unknown_peer", self.unknown_peer),
            ("malformed", self.malformed),
            ("unmatched", self.unmatched),
            ("resets_sent", self.resets_sent),
            ("unreachables_sent", self.unreachables_sent),
            ("echoes_answered", self.echoes_answered),
            ("control_rate_limited", self.control_rate_limited),
            ("replies_dropped", self.replies_dropped),
            ("syns_dropped", self.syns_dropped),
            ("stale_syns", self.stale_syns),
            ("half_open_expired", self.half_open_expired),
            ("flows_refused", self.flows_refused),
            ("flows_opened", self.flows_opened),
            ("flows_closed", self.flows_closed),
            ("flows_reset", self.flows_reset),
            ("flows_timed_out", self.flows_timed_out),
            ("flows_lingered", self.flows_lingered),
            ("time_wait_evicted", self.time_wait_evicted),
            ("icmp_ignored", self.icmp_ignored),
            ("fragments_in", self.fragments_in),
            ("datagrams_reassembled", self.datagrams_reassembled),
            ("fragments_refused", self.fragments_refused),
            ("reassemblies_expired", self.reassemblies_expired),
            ("reassemblies_evicted", self.reassemblies_evicted),
            ("datagrams_fragmented", self.datagrams_fragmented),
            ("engine_polls", self.engine_polls),
        ]
    }
}
