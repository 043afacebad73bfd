//! Sealed datagrams that the kernel had no room for, in the order in which they were sealed.
//!
//! Nothing is sealed while something waits here, so it holds no more than one train and one datagram of the overlay's own. Its memory is
//! kept: a kernel that is full costs a copy and no allocation.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bore_overlay::PeerId;

/// Datagrams for one address, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// Whose they are; `None` for what the overlay itself wants sent.
    pub(crate) peer: Option<PeerId>,
    pub(crate) to: SocketAddr,
    /// Length of each; only the last may be shorter.
    pub(crate) datagram_bytes: usize,
    pub(crate) sending: Sending,
}

/// How a batch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// One datagram after the other.
    Singly,
    /// As segments of one send; singly, if the kernel refuses that.
    Segmented,
    /// As segments of one send, or not at all: it is to be found out whether they arrive.
    OnlySegmented,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    batches: VecDeque<(Batch, usize)>,
    bytes: Vec<u8>,
    /// How many of `bytes` are sent.
    start: usize,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn push(&mut self, batch: Batch, datagrams: &[u8]) {
        self.batches.push_back((batch, datagrams.len()));
        self.bytes.extend_from_slice(datagrams);
    }

    /// The oldest batch, and what is left of its datagrams.
    pub(crate) fn front(&mut self) -> Option<(&mut Batch, &[u8])> {
        let (batch, length) = self.batches.front_mut()?;
        let datagrams = self.bytes.get(self.start..self.start + *length)?;
        Some((batch, datagrams))
    }

    /// Forgets the first `bytes` of the oldest batch.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let Some((_, length)) = self.batches.front_mut() else { return };
        self.start += bytes.min(*length);
        *length = length.saturating_sub(bytes);
        if *length == 0 {
            self.batches.pop_front();
        }
        if self.batches.is_empty() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.bytes.clear();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_in_order_and_in_parts() {
        let mut unsent = Unsent::default();
        let batch = |datagram_bytes| Batch {
            peer: None,
            to: SocketAddr::from(([192, 0, 2, 1], 1)),
            datagram_bytes,
            sending: Sending::Singly,
        };
        unsent.push(batch(2), b"aabbc");
        unsent.push(batch(3), b"ddd");

        unsent.advance(2);
        assert_eq!(unsent.front().unwrap().1, b"bbc");
        unsent.advance(3);
        let (second, datagrams) = unsent.front().unwrap();
        assert_eq!((second.datagram_bytes, datagrams), (3, &b"ddd"[..]));
        unsent.advance(3);
        assert!(unsent.is_empty() && unsent.front().is_none());
        unsent.push(batch(1), b"e");
        assert_eq!(unsent.front().unwrap().1, b"e");
    }
}
