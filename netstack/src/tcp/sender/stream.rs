//! The bytes that wait or are unacknowledged, and whether FIN follows them.

use std::rc::Rc;

use super::super::chain::Chain;
use super::super::memory::PeerMemory;
use crate::limits::{SEND_INITIAL_BYTES, SEND_MAX_BYTES};

/// Our stream, from the first unacknowledged byte on.
#[derive(Debug)]
pub(crate) struct SendStream {
    chain: Chain,
    /// Behind the last byte written.
    written: u64,
    is_shut: bool,
}

impl SendStream {
    pub(crate) fn new(memory: Rc<PeerMemory>) -> Self {
        Self { chain: Chain::new(1, memory), written: 1, is_shut: false }
    }

    /// Position behind the last byte written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Where FIN stands, once it was asked for.
    pub(crate) fn fin(&self) -> Option<u64> {
        self.is_shut.then_some(self.written)
    }

    pub(crate) fn shut(&mut self) {
        self.is_shut = true;
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Bytes that may be written when everything before `una` is acknowledged, `next` is the first position never sent, and `window` bytes
    /// may be in flight: a window's worth waits to be sent, however much waits to be acknowledged.
    pub(super) fn room(&self, una: u64, next: u64, window: u64) -> u64 {
        let held = self.written - una.max(1);
        let unsent = self.written - next.max(1);
        let memory = self.chain.memory();
        if memory.is_scarce() {
            let limit = SEND_INITIAL_BYTES.min(memory.free_bytes() as u64).max(SEND_LEAST_BYTES);
            return limit.saturating_sub(held);
        }
        let may_wait = window.max(SEND_INITIAL_BYTES).saturating_sub(unsent);
        may_wait.min(SEND_MAX_BYTES.saturating_sub(held))
    }

    /// Calls `write` with contiguous room of at most `room_bytes`; as many bytes as it gives are taken.
    pub(crate) fn write_with<R>(
        &mut self,
        room_bytes: u64,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> R {
        let room = self.chain.room_at(self.written);
        let count = room.len().min(usize::try_from(room_bytes).unwrap_or(usize::MAX));
        let room = room.get_mut(..count).unwrap_or_default();
        let (taken, outcome) = write(room);
        self.written += taken.min(count) as u64;
        self.chain.truncate(self.written);
        outcome
    }

    /// What lies from `position` on, to be copied out piece by piece.
    pub(crate) fn reader(&self, position: u64) -> StreamReader<'_> {
        StreamReader { chain: &self.chain, position, rest: self.chain.rest_at(position) }
    }

    /// Everything before `una` has arrived.
    pub(super) fn release(&mut self, una: u64) {
        let data = una.min(self.written);
        self.chain.release(data);
        if data == self.written {
            self.chain.truncate(data);
        }
    }

    /// Gives all memory back; nothing more is sent.
    pub(crate) fn clear(&mut self) {
        self.chain.clear();
    }
}

/// Where a copy out of the stream has got to.
#[derive(Debug)]
pub(crate) struct StreamReader<'s> {
    chain: &'s Chain,
    position: u64,
    /// Of the block there: nearly always it holds the next piece too.
    rest: &'s [u8],
}

impl StreamReader<'_> {
    /// Copies the next piece; gives whether it was all there.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> bool {
        self.position += out.len() as u64;
        if let Some((piece, rest)) = self.rest.split_at_checked(out.len()) {
            out.copy_from_slice(piece);
            self.rest = rest;
            return true;
        }
        let is_there = self.chain.copy_out(self.position - out.len() as u64, out);
        self.rest = self.chain.rest_at(self.position);
        is_there
    }
}

/// A flow may always have a little under way, however scarce memory is: its acknowledgment wakes the writer.
const SEND_LEAST_BYTES: u64 = 2 * 1024;
