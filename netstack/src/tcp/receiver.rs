//! The receiving half: what has come, what is missing, what the other side is told.
//!
//! Bytes lie in the chain where they belong, in order or not; the ranges say which of them are there. What is in order can be read.
//!
//! | part | knows |
//! |---|---|
//! | [`window`] | how much the other side may send |
//! | [`acknowledging`] | when an acknowledgment is due |
//! | [`selective`] | which blocks it names |
//!
//! Source: RFC 9293 §3.10.7.4, RFC 2018, RFC 2883, RFC 5681 §4.2.

mod acknowledging;
mod selective;
mod window;

use std::rc::Rc;

use super::chain::Chain;
use super::memory::PeerMemory;
use super::moment::Moment;
use super::options::SackBlocks;
use super::ranges::Ranges;
use super::sequence::Origin;
use crate::limits::REASSEMBLY_RANGES_MAX;

pub(crate) use acknowledging::Acknowledging;
pub(crate) use selective::Selective;
pub(crate) use window::ReceiveWindow;

/// The other side's stream.
#[derive(Debug)]
pub(crate) struct Receiver {
    origin: Origin,
    chain: Chain,
    /// The next position expected: everything before it has come.
    next: u64,
    /// What has come behind a gap.
    ahead: Ranges,
    /// Where the stream ends, once FIN was seen.
    end: Option<u64>,
    window: ReceiveWindow,
    pub(crate) acknowledging: Acknowledging,
    selective: Selective,
}

/// What a segment brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The stream goes on.
    InOrder,
    /// Bytes behind a gap, or bytes known already.
    OutOfOrder,
    /// Nothing new, and nothing to answer.
    Nothing,
}

impl Receiver {
    /// Expects the stream whose SYN had the number `origin`.
    pub(crate) fn new(origin: Origin, memory: Rc<PeerMemory>) -> Self {
        Self {
            origin,
            chain: Chain::new(1, memory),
            next: 1,
            ahead: Ranges::default(),
            end: None,
            window: ReceiveWindow::default(),
            acknowledging: Acknowledging::default(),
            selective: Selective::default(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The next position expected; behind FIN once that is in order.
    pub(crate) fn next(&self) -> u64 {
        self.next + u64::from(self.has_ended())
    }

    /// FIN has come, and everything before it.
    pub(crate) fn has_ended(&self) -> bool {
        self.end == Some(self.next)
    }

    pub(crate) fn unread_bytes(&self) -> u64 {
        self.next - self.chain.start()
    }

    /// Whether a segment at `start..end` touches the window (RFC 9293 §3.10.7.4, table 6).
    pub(crate) fn is_acceptable(&self, start: u64, end: u64) -> bool {
        let (next, edge) = (self.next(), self.window.edge(self.next()));
        // What comes next is heard even without room for its bytes: it may acknowledge, or reset.
        // At the edge stand the acknowledgments of a sender that has filled the window.
        let is_empty_ahead = start == end && next < start && start <= edge;
        start == next || is_empty_ahead || (start < edge && end > next)
    }

    /// Takes the bytes at `start` and whether FIN follows them.
    pub(crate) fn take(&mut self, start: u64, payload: &[u8], fin: bool) -> Arrived {
        let end = start + payload.len() as u64;
        if fin && self.end.is_none() && end >= self.next {
            self.end = Some(end);
        }
        let arrived = self.take_bytes(start, payload);
        if fin && end <= self.next {
            return Arrived::InOrder;
        }
        let fills_last_gap = arrived == Arrived::InOrder && self.has_ended();
        let is_ahead = fin && arrived == Arrived::Nothing;
        if fills_last_gap || is_ahead { Arrived::OutOfOrder } else { arrived }
    }

    /// Takes the bytes that come next, if nothing stands in their way; gives whether it did.
    pub(crate) fn append(&mut self, payload: &[u8]) -> bool {
        let end = self.next + payload.len() as u64;
        let is_plain = self.ahead.is_empty() && self.end.is_none();
        if !is_plain || end > self.window.edge(self.next) {
            return false;
        }
        if !self.chain.write_in_last(self.next, payload) {
            if !self.has_memory_for(end) {
                return false;
            }
            self.chain.write(self.next, payload);
        }
        self.next = end;
        true
    }

    fn take_bytes(&mut self, start: u64, payload: &[u8]) -> Arrived {
        let whole_end = start + payload.len() as u64;
        let limit = self.end.unwrap_or(u64::MAX).min(self.window.edge(self.next));
        let (from, to) = (start.max(self.next), whole_end.min(limit));
        if start < self.next && start < whole_end {
            self.selective.note_duplicate(start, whole_end.min(self.next));
        }
        if from >= to {
            return if payload.is_empty() { Arrived::Nothing } else { Arrived::OutOfOrder };
        }
        if !self.has_memory_for(to) {
            return Arrived::OutOfOrder;
        }
        let skip = usize::try_from(from - start).unwrap_or(usize::MAX);
        let count = usize::try_from(to - from).unwrap_or(0);
        let bytes = payload.get(skip..).and_then(|rest| rest.get(..count)).unwrap_or_default();
        if from == self.next && self.ahead.is_empty() {
            self.chain.write(from, bytes);
            self.next = to;
            return Arrived::InOrder;
        }
        self.take_out_of_order(from, to, bytes)
    }

    /// What was promised to all flows together may be more than there is. What is not acknowledged may be dropped: it is sent again. A flow that
    /// holds nothing always gets a little.
    fn has_memory_for(&self, end: u64) -> bool {
        let missing = self.chain.missing_bytes(end);
        missing <= LITTLE_BYTES || missing <= self.chain.memory().free_bytes() as u64
    }

    fn take_out_of_order(&mut self, from: u64, to: u64, bytes: &[u8]) -> Arrived {
        if self.ahead.covers(from, to) {
            self.selective.note_duplicate(from, to);
            return Arrived::OutOfOrder;
        }
        let fills_gap = from == self.next;
        if !fills_gap && self.ahead.len() >= REASSEMBLY_RANGES_MAX {
            return Arrived::OutOfOrder;
        }
        self.chain.write(from, bytes);
        let (start, end) = self.ahead.insert(from, to);
        if start > self.next {
            self.selective.note_range(start);
            return Arrived::OutOfOrder;
        }
        self.next = end;
        self.ahead.remove_before(end);
        // A gap that is filled, in part or wholly, is worth telling at once (RFC 5681 §4.2).
        Arrived::OutOfOrder
    }

    /// Contiguous bytes that can be read.
    pub(crate) fn front(&self) -> &[u8] {
        self.chain.front(self.next)
    }

    /// Forgets the first `count` bytes. Gives whether the other side should hear of the room soon.
    pub(crate) fn consume(&mut self, count: usize, now: Moment) -> bool {
        let read = (self.chain.start() + count as u64).min(self.next);
        self.chain.release(read);
        if self.unread_bytes() == 0 && self.ahead.is_empty() {
            self.chain.truncate(read);
        }
        self.window.note_read(read, self.next, self.chain.memory().is_scarce(), now);
        self.window.is_worth_telling(self.next, read, self.chain.memory().free_bytes() as u64)
    }

    /// The window field of a segment that leaves now; `shift` is its scale.
    pub(crate) fn offer(&mut self, shift: u8) -> u16 {
        let free_bytes = self.chain.memory().free_bytes() as u64;
        self.window.offer(self.next, self.chain.start(), free_bytes, shift)
    }

    /// The first `bytes` may come before a window was offered.
    pub(crate) fn open_early(&mut self, bytes: u64) {
        self.window.open_early(1 + bytes);
    }

    /// A measurement of how long the other side takes to answer, for the growth of the window.
    pub(crate) fn note_round_trip(&mut self, measured: std::time::Duration) {
        self.window.note_round_trip(measured);
    }

    /// Blocks for an acknowledgment, at most `count_max`.
    pub(crate) fn sack_blocks(&mut self, count_max: usize) -> SackBlocks {
        self.selective.blocks(&self.ahead, self.origin, count_max)
    }

    /// Whether there is something that only SACK blocks tell.
    pub(crate) fn has_news(&self) -> bool {
        !self.ahead.is_empty() || self.selective.has_duplicate()
    }

    /// Bytes came that were there already.
    pub(crate) fn note_duplicate(&mut self, start: u64, end: u64) {
        self.selective.note_duplicate(start, end);
    }
}

/// One small block.
const LITTLE_BYTES: u64 = 2 * 1024;

#[cfg(test)]
mod tests;
