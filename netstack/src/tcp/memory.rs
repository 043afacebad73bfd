//! Blocks of buffer memory: who may have how many.
//!
//! A flow takes blocks as bytes come and gives them back as they go, so an idle flow holds none. Three sizes, from a small one for flows that
//! say little to a large one for bulk. Budgets of a peer and of the whole stack are soft: near the bound windows stop to grow; beyond it
//! what comes is dropped, to be sent again, but for a little that every flow may hold.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use bytes::BytesMut;

use super::slabs::Slabs;
use crate::limits::{
    BUFFERS_BYTES_MAX, BUFFERS_PER_PEER_BYTES_MAX, LARGE_BLOCKS_KEPT_MAX, MEDIUM_BLOCKS_KEPT_MAX,
    SMALL_BLOCKS_KEPT_MAX,
};

/// Bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockSize {
    Small,
    Medium,
    Large,
}

impl BlockSize {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Small => 2 * 1024,
            Self::Medium => 16 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

/// The memory of one stack.
#[derive(Debug)]
pub(crate) struct Memory {
    used_bytes: Cell<usize>,
    small: RefCell<Slabs>,
    medium: RefCell<Slabs>,
    large: RefCell<Slabs>,
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
        let (slab, bytes) = self.stack.slabs(size).borrow_mut().take();
        add(&self.used_bytes, size.bytes());
        add(&self.stack.used_bytes, size.bytes());
        Block { bytes, slab, size, owner: Rc::clone(self) }
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

    fn give_back(&self, bytes: BytesMut, slab: usize, size: BlockSize) {
        subtract(&self.used_bytes, size.bytes());
        subtract(&self.stack.used_bytes, size.bytes());
        self.stack.slabs(size).borrow_mut().give_back(slab, bytes);
    }
}

impl Default for Memory {
    fn default() -> Self {
        let slabs = |size: BlockSize, kept_max| RefCell::new(Slabs::new(size.bytes(), kept_max));
        Self {
            used_bytes: Cell::new(0),
            small: slabs(BlockSize::Small, SMALL_BLOCKS_KEPT_MAX),
            medium: slabs(BlockSize::Medium, MEDIUM_BLOCKS_KEPT_MAX),
            large: slabs(BlockSize::Large, LARGE_BLOCKS_KEPT_MAX),
        }
    }
}

impl Memory {
    /// Bytes in blocks that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    fn slabs(&self, size: BlockSize) -> &RefCell<Slabs> {
        match size {
            BlockSize::Small => &self.small,
            BlockSize::Medium => &self.medium,
            BlockSize::Large => &self.large,
        }
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
    bytes: BytesMut,
    /// The number of the slab that it was cut from.
    slab: usize,
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
        self.owner.give_back(std::mem::take(&mut self.bytes), self.slab, self.size);
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
