//! A byte stream between two positions, in a chain of blocks.
//!
//! The send buffer appends at the end, copies out anywhere and releases at the start; the receive buffer is written anywhere ahead
//! and read at the start. Bytes never move, and an empty chain holds no memory.

use std::collections::VecDeque;
use std::rc::Rc;

use super::memory::{Block, BlockSize, PeerMemory};

/// Bytes from [`Chain::start`] on. What was never written between two written parts has no meaning.
#[derive(Debug)]
pub(crate) struct Chain {
    blocks: VecDeque<Piece>,
    start: u64,
    memory: Rc<PeerMemory>,
}

#[derive(Debug)]
struct Piece {
    /// Position of the block's first byte.
    at: u64,
    block: Block,
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.block.len() as u64
    }

    /// Where `bytes` go at `position`, if all of them lie in this piece.
    fn room_for(&mut self, position: u64, bytes: usize) -> Option<&mut [u8]> {
        let from = usize::try_from(position.checked_sub(self.at)?).ok()?;
        self.block.get_mut(from..from.checked_add(bytes)?)
    }
}

impl Chain {
    /// Nothing, beginning at `start`.
    pub(crate) fn new(start: u64, memory: Rc<PeerMemory>) -> Self {
        Self { blocks: VecDeque::new(), start, memory }
    }

    /// The first position that is kept.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Where the memory comes from.
    pub(crate) fn memory(&self) -> &PeerMemory {
        &self.memory
    }

    /// Contiguous room at `position`, which is where the written part ends.
    pub(crate) fn room_at(&mut self, position: u64) -> &mut [u8] {
        self.cover(position + 1);
        let Some(piece) = self.blocks.back_mut() else { return &mut [] };
        let offset = offset(piece.at, position);
        piece.block.get_mut(offset..).unwrap_or_default()
    }

    /// Bytes of memory that it would take to reach `end`.
    pub(crate) fn missing_bytes(&self, end: u64) -> u64 {
        end.saturating_sub(self.blocks.back().map_or(self.start, Piece::end))
    }

    /// Gives back blocks from `position` on, which nothing was written to.
    pub(crate) fn truncate(&mut self, position: u64) {
        while self.blocks.back().is_some_and(|piece| piece.at >= position) {
            self.blocks.pop_back();
        }
        if self.start >= position {
            self.blocks.clear();
        }
        self.shrink();
    }

    /// Writes `bytes` at `position` if the last block has room for all of them, as it nearly always has; gives whether it did.
    pub(crate) fn write_in_last(&mut self, position: u64, bytes: &[u8]) -> bool {
        let room = self.blocks.back_mut().and_then(|last| last.room_for(position, bytes.len()));
        room.map(|room| room.copy_from_slice(bytes)).is_some()
    }

    /// Writes `bytes` at `position`, which must not be before the start.
    pub(crate) fn write(&mut self, position: u64, bytes: &[u8]) {
        if self.write_in_last(position, bytes) {
            return;
        }
        self.cover(position + bytes.len() as u64);
        let (mut at, mut rest, mut index) = (position, bytes, self.index_of(position));
        while let Some(piece) = self.blocks.get_mut(index).filter(|_| !rest.is_empty()) {
            let room = piece.block.get_mut(offset(piece.at, at)..).unwrap_or_default();
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            at += now.len() as u64;
            rest = later;
            index += 1;
        }
    }

    /// Fills `out` with what lies at `position`; gives whether everything was there.
    pub(crate) fn copy_out(&self, position: u64, out: &mut [u8]) -> bool {
        let (mut at, mut rest, mut index) = (position, out, self.index_of(position));
        while let Some(piece) = self.blocks.get(index).filter(|_| !rest.is_empty()) {
            let bytes = piece.block.get(offset(piece.at, at)..).unwrap_or_default();
            let (now, later) = rest.split_at_mut(bytes.len().min(rest.len()));
            if let Some(bytes) = bytes.get(..now.len()) {
                now.copy_from_slice(bytes);
            }
            at += now.len() as u64;
            rest = later;
            index += 1;
        }
        rest.is_empty()
    }

    /// Contiguous bytes from `position` on.
    pub(crate) fn rest_at(&self, position: u64) -> &[u8] {
        let piece = self.blocks.get(self.index_of(position));
        let rest = piece.and_then(|piece| piece.block.get(offset(piece.at, position)..));
        rest.unwrap_or_default()
    }

    /// Contiguous bytes from the start, up to `end` at most.
    pub(crate) fn front(&self, end: u64) -> &[u8] {
        let Some(piece) = self.blocks.front() else { return &[] };
        let from = offset(piece.at, self.start);
        let to = offset(piece.at, end.max(self.start)).min(piece.block.len());
        piece.block.get(from..to).unwrap_or_default()
    }

    /// Forgets everything before `position`.
    pub(crate) fn release(&mut self, position: u64) {
        self.start = self.start.max(position);
        while self.blocks.front().is_some_and(|piece| piece.end() <= self.start) {
            self.blocks.pop_front();
        }
        self.shrink();
    }

    /// Gives back every block: nothing of what is kept is of interest.
    pub(crate) fn clear(&mut self) {
        self.blocks = VecDeque::new();
    }

    /// Sees to it that blocks reach to `end`.
    fn cover(&mut self, end: u64) {
        let mut reached = self.blocks.back().map_or(self.start, Piece::end);
        while reached < end {
            let size = size_for(end - self.start);
            let block = self.memory.take(size);
            self.blocks.push_back(Piece { at: reached, block });
            reached += size.bytes() as u64;
        }
    }

    /// The block that holds `position`, or the first behind it.
    fn index_of(&self, position: u64) -> usize {
        let Some(last) = self.blocks.back() else { return 0 };
        // In bulk all blocks are large.
        let behind = last.at.saturating_sub(position).div_ceil(BlockSize::Large.bytes() as u64);
        let guess =
            usize::try_from(behind).ok().and_then(|back| self.blocks.len().checked_sub(1 + back));
        let is_right = |index: &usize| {
            self.blocks
                .get(*index)
                .is_some_and(|piece| piece.at <= position && position < piece.end())
        };
        guess
            .filter(is_right)
            .unwrap_or_else(|| self.blocks.partition_point(|piece| piece.end() <= position))
    }

    /// An empty list of blocks keeps no memory of a busier time.
    fn shrink(&mut self) {
        if self.blocks.is_empty() && self.blocks.capacity() > 0 {
            self.blocks = VecDeque::new();
        }
    }
}

fn offset(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

/// The block that a chain goes on with when it spans so much.
fn size_for(span_bytes: u64) -> BlockSize {
    if span_bytes <= SMALL_SPAN_BYTES {
        BlockSize::Small
    } else if span_bytes <= MEDIUM_SPAN_BYTES {
        BlockSize::Medium
    } else {
        BlockSize::Large
    }
}

/// A chain that spans more than this goes on in medium blocks.
const SMALL_SPAN_BYTES: u64 = 4 * 1024;
/// And one that spans more than this in large ones.
const MEDIUM_SPAN_BYTES: u64 = 36 * 1024;

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn bytes_written_in_any_order_come_out_in_order() {
        let memory = Rc::new(Memory::default());
        let mut chain = Chain::new(1, PeerMemory::new(&memory));
        let data: Vec<u8> = (0..200_000_u32).map(|index| index.to_le_bytes()[0] ^ 0x5a).collect();
        let mut parts: Vec<usize> = (0..data.len()).step_by(1_237).collect();
        parts.sort_by_key(|at| (at % 7, *at));
        for at in parts {
            let end = (at + 1_237).min(data.len());
            chain.write(1 + at as u64, &data[at..end]);
        }
        let mut copy = vec![0; data.len()];
        assert!(chain.copy_out(1, &mut copy));
        assert_eq!(copy, data);
        let mut read = Vec::new();
        while read.len() < data.len() {
            let front = chain.front(1 + data.len() as u64).to_vec();
            assert!(!front.is_empty());
            read.extend_from_slice(&front);
            chain.release(1 + read.len() as u64);
        }
        assert_eq!(read, data);
        drop(chain);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn room_that_is_not_used_is_given_back() {
        let memory = Rc::new(Memory::default());
        let mut chain = Chain::new(1, PeerMemory::new(&memory));
        assert!(!chain.room_at(1).is_empty());
        chain.truncate(1);
        assert_eq!(memory.used_bytes(), 0);
        chain.write(1, b"abc");
        assert!(!chain.room_at(4).is_empty());
        chain.truncate(4);
        assert_eq!(chain.front(4), b"abc");
        chain.release(4);
        assert_eq!((chain.front(4), memory.used_bytes()), (&[][..], BlockSize::Small.bytes()));
        chain.truncate(4);
        assert_eq!(memory.used_bytes(), 0);
    }
}
