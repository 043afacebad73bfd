//! How much of what senders put on the link they had sent before, read from sequence numbers.
//!
//! Counted where packets enter the link, so before anything can be lost or change its order.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use crate::headers::Segment;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    flows: HashMap<SocketAddrV4, Sent>,
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Behind the last byte that was ever sent.
    ends: u32,
    bytes: u64,
    repeated_bytes: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, segment: &Segment) {
        let fresh = Sent { ends: segment.data_starts, bytes: 0, repeated_bytes: 0 };
        self.flows.entry(segment.destination).or_insert(fresh).note(segment);
    }

    /// Data sent again on the way to `destination`, in percent of all data sent there.
    pub(crate) fn repeated_percent(&self, destination: SocketAddrV4) -> f64 {
        let sent = self.flows.get(&destination);
        sent.map_or(0.0, |sent| crate::statistics::percent(sent.repeated_bytes, sent.bytes))
    }
}

impl Sent {
    fn note(&mut self, segment: &Segment) {
        let ends = segment.data_starts.wrapping_add(segment.data_bytes);
        let ahead = ends.wrapping_sub(self.ends);
        // Sequence numbers are compared modulo 2^32 (RFC 9293 §3.4): a leap of half the space is a step back.
        let new_bytes = if ahead < 1 << 31 { ahead.min(segment.data_bytes) } else { 0 };
        if new_bytes > 0 {
            self.ends = ends;
        }
        self.bytes += u64::from(segment.data_bytes);
        self.repeated_bytes += u64::from(segment.data_bytes - new_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);

    fn segment(data_starts: u32, data_bytes: u32) -> Segment {
        Segment { source: TO, destination: TO, data_starts, data_bytes }
    }

    #[test]
    fn only_bytes_sent_before_count_as_repeated() {
        let mut ledger = Ledger::default();
        let start = u32::MAX - 50;
        ledger.note(&segment(start, 0));
        ledger.note(&segment(start, 100));
        ledger.note(&segment(start.wrapping_add(100), 100));
        assert_eq!(ledger.repeated_percent(TO), 0.0);
        ledger.note(&segment(start.wrapping_add(50), 200));
        assert_eq!(ledger.repeated_percent(TO), 150.0 * 100.0 / 400.0);
    }
}
