//! Blocks of buffer memory: who may have how many, and those that wait to be used again.
//!
//! A flow takes blocks as bytes come and gives them back as they go, so an idle flow holds none. Two sizes: a small one for flows that
//! say little, a large one for bulk. Budgets of a peer and of the whole stack are soft: near the bound windows stop to grow; beyond it
//! what comes is dropped, to be sent again, but for a little that every flow may hold.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::limits::{
    BUFFERS_BYTES_MAX, BUFFERS_PER_PEER_BYTES_MAX, LARGE_BLOCKS_KEPT_MAX, SMALL_BLOCKS_KEPT_MAX,
};

/// Bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockSize {
    Small,
    Large,
}

impl BlockSize {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Small => 2 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

/// The memory of one stack.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    used_bytes: Cell<usize>,
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
}

/// What one peer may use of it.
#[derive(Debug)]
pub(crate) struct PeerMemory {
    stack: Rc<Memory>,
    used_bytes: Cell<usize>,
}

impl PeerMemory {
    pub(crate) fn new(stack: &Rc<Memory>) -> Rc<Self> {
        Rc::new(Self { stack: Rc::clone(stack), used_bytes: Cell::new(0) })
    }

    /// A block whose contents do not matter.
    pub(crate) fn take(self: &Rc<Self>, size: BlockSize) -> Block {
        let kept = self.stack.kept(size).borrow_mut().pop();
        let bytes = kept.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice());
        add(&self.used_bytes, size.bytes());
        add(&self.stack.used_bytes, size.bytes());
        Block { bytes, size, owner: Rc::clone(self) }
    }

    /// Bytes that may still be taken before either budget is used up.
    pub(crate) fn free_bytes(&self) -> usize {
        let of_peer = BUFFERS_PER_PEER_BYTES_MAX.saturating_sub(self.used_bytes.get());
        of_peer.min(BUFFERS_BYTES_MAX.saturating_sub(self.stack.used_bytes.get()))
    }

    /// Whether buffers should no longer grow: a quarter of a budget is left, or less.
    pub(crate) fn is_scarce(&self) -> bool {
        self.used_bytes.get() > BUFFERS_PER_PEER_BYTES_MAX / 4 * 3
            || self.stack.used_bytes.get() > BUFFERS_BYTES_MAX / 4 * 3
    }

    fn give_back(&self, bytes: Box<[u8]>, size: BlockSize) {
        subtract(&self.used_bytes, size.bytes());
        subtract(&self.stack.used_bytes, size.bytes());
        let mut kept = self.stack.kept(size).borrow_mut();
        if kept.len() < kept_max(size) {
            kept.push(bytes);
        }
    }
}

impl Memory {
    /// Bytes in blocks that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    fn kept(&self, size: BlockSize) -> &RefCell<Vec<Box<[u8]>>> {
        match size {
            BlockSize::Small => &self.small,
            BlockSize::Large => &self.large,
        }
    }
}

fn kept_max(size: BlockSize) -> usize {
    match size {
        BlockSize::Small => SMALL_BLOCKS_KEPT_MAX,
        BlockSize::Large => LARGE_BLOCKS_KEPT_MAX,
    }
}

fn add(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get() + bytes);
}

fn subtract(cell: &Cell<usize>, bytes: usize) {
    cell.set(cell.get().saturating_sub(bytes));
}

/// Memory in use by a flow. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Box<[u8]>,
    size: BlockSize,
    owner: Rc<PeerMemory>,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.owner.give_back(std::mem::take(&mut self.bytes), self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again_and_used_again() {
        let stack = Rc::new(Memory::default());
        let peer = PeerMemory::new(&stack);
        let mut block = peer.take(BlockSize::Small);
        block[0] = 7;
        assert_eq!(stack.used_bytes(), BlockSize::Small.bytes());
        drop(block);
        assert_eq!(stack.used_bytes(), 0);
        assert_eq!(peer.take(BlockSize::Small)[0], 7, "the same memory");
    }

    #[test]
    fn a_peer_at_its_budget_leaves_the_others_theirs() {
        let stack = Rc::new(Memory::default());
        let (greedy, modest) = (PeerMemory::new(&stack), PeerMemory::new(&stack));
        let mut held = Vec::new();
        while greedy.free_bytes() >= BlockSize::Large.bytes() {
            held.push(greedy.take(BlockSize::Large));
        }
        assert!(greedy.is_scarce());
        assert!(!modest.is_scarce());
        assert!(modest.free_bytes() >= BUFFERS_PER_PEER_BYTES_MAX);
    }
}
