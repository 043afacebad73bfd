//! What is measured of one flow: by its receiver, and by its headers on the link.

use std::time::{Duration, Instant};

/// One flow's measurements.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) longest_stall: Duration,
    /// Payload put on the link, dropped or not.
    pub(crate) sent_bytes: u64,
    /// The same without what was sent before.
    pub(crate) unique_bytes: u64,
    /// Bytes that the application at the receiver has read.
    delivered_bytes: u64,
    /// The same at the end of each slice of time.
    slices: Vec<u64>,
    last_delivery: Option<Instant>,
    /// Sequence number of the first byte.
    first_sequence: Option<u32>,
}

impl Meter {
    /// For a flow that starts when so many slices are over.
    pub(crate) fn new(slices: usize) -> Self {
        Self { slices: vec![0; slices], ..Self::default() }
    }

    /// Takes note of a packet that the sender puts on the link.
    pub(crate) fn sent(&mut self, packet: &[u8]) {
        let segment = Segment::parse(packet);
        if segment.is_syn {
            self.first_sequence = Some(segment.sequence.wrapping_add(1));
        }
        let Some(first) = self.first_sequence.filter(|_| segment.payload_bytes > 0) else { return };
        // No run sends 4 GiB, so offsets do not wrap.
        let offset = segment.sequence.wrapping_sub(first);
        self.sent_bytes += segment.payload_bytes;
        self.unique_bytes = self.unique_bytes.max(u64::from(offset) + segment.payload_bytes);
    }

    /// Takes note of what the receiver's application has read.
    pub(crate) fn delivered(&mut self, bytes: u64, now: Instant) {
        if bytes > 0 {
            self.delivered_bytes += bytes;
            self.end_stall(now);
            self.last_delivery = Some(now);
        }
    }

    /// Ends a slice of time.
    pub(crate) fn end_slice(&mut self) {
        self.slices.push(self.delivered_bytes);
    }

    /// Counts the silence until `now`, from the first byte on.
    pub(crate) fn end_stall(&mut self, now: Instant) {
        if let Some(last) = self.last_delivery {
            self.longest_stall = self.longest_stall.max(now - last);
        }
    }

    /// Bytes delivered from slice `from` up to slice `to`.
    pub(crate) fn delivered_in(&self, from: usize, to: usize) -> u64 {
        let until = |slice: usize| slice.checked_sub(1).map_or(0, |last| self.slices[last]);
        until(to) - until(from)
    }
}

/// What matters of an IPv4 packet with a TCP segment.
struct Segment {
    sequence: u32,
    payload_bytes: u64,
    is_syn: bool,
}

impl Segment {
    fn parse(packet: &[u8]) -> Self {
        assert_eq!((packet[0] >> 4, packet[9]), (4, 6), "IPv4 with TCP");
        let total = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        let tcp = &packet[usize::from(packet[0] & 0xf) * 4..];
        let headers = u64::from(packet[0] & 0xf) * 4 + u64::from(tcp[12] >> 4) * 4;
        Self {
            sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            payload_bytes: total - headers,
            is_syn: tcp[13] & 0x02 != 0,
        }
    }
}
