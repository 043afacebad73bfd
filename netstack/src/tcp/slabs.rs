//! Blocks of one size, cut from slabs.
//!
//! A slab is one allocation, so large that every allocator asks the system for it and gives it back to the system; what of it was never used costs
//! nothing. Blocks come from the fullest slab, so that the others run empty, and an empty one goes unless it is small enough to keep for the next
//! bytes. Blocks that were allocated one by one would lie between what lives longer, and their memory would never return.

use bytes::BytesMut;

/// All slabs of one block size.
#[derive(Debug)]
pub(crate) struct Slabs {
    block_bytes: usize,
    /// Blocks in empty slabs that are kept.
    kept_max: usize,
    /// By number; `None` where one was given back.
    slabs: Vec<Option<Slab>>,
}

#[derive(Debug)]
struct Slab {
    /// What no block was cut from yet, and the system has not been made to find memory for.
    rest: BytesMut,
    free: Vec<BytesMut>,
    in_use: usize,
}

impl Slabs {
    pub(crate) fn new(block_bytes: usize, kept_max: usize) -> Self {
        Self { block_bytes, kept_max, slabs: Vec::new() }
    }

    /// A block, and the number of its slab. What is in it has no meaning.
    pub(crate) fn take(&mut self) -> (usize, BytesMut) {
        let number = self.fullest().unwrap_or_else(|| self.add());
        let block = self.slabs.get_mut(number).and_then(Option::as_mut).map(|slab| {
            slab.in_use += 1;
            slab.free.pop().unwrap_or_else(|| slab.rest.split_to(self.block_bytes))
        });
        (number, block.unwrap_or_default())
    }

    /// Takes a block back into the slab that it came from.
    pub(crate) fn give_back(&mut self, number: usize, block: BytesMut) {
        let Some(Some(slab)) = self.slabs.get_mut(number) else { return };
        slab.free.push(block);
        slab.in_use -= 1;
        if slab.in_use == 0 && self.kept() > self.kept_max {
            self.slabs.get_mut(number).and_then(Option::take);
        }
    }

    /// The slab with room that has most blocks in use.
    fn fullest(&self) -> Option<usize> {
        let present = self.slabs.iter().enumerate();
        let with_room = present.filter_map(|(number, slab)| {
            let slab = slab.as_ref()?;
            let has_room = !slab.free.is_empty() || slab.rest.len() >= self.block_bytes;
            has_room.then_some((slab.in_use, number))
        });
        with_room.max().map(|(_, number)| number)
    }

    fn add(&mut self) -> usize {
        let rest = BytesMut::zeroed(SLAB_BYTES);
        let slab = Some(Slab { rest, free: Vec::new(), in_use: 0 });
        let number = self.slabs.iter().position(Option::is_none);
        if let Some((number, slot)) =
            number.and_then(|number| Some((number, self.slabs.get_mut(number)?)))
        {
            *slot = slab;
            return number;
        }
        self.slabs.push(slab);
        self.slabs.len() - 1
    }

    /// Blocks that were cut from slabs without any in use.
    fn kept(&self) -> usize {
        self.slabs
            .iter()
            .flatten()
            .filter(|slab| slab.in_use == 0)
            .map(|slab| slab.free.len())
            .sum()
    }
}

/// The least that no allocator keeps for itself: what the GNU C library learns to keep ends below it (`mallopt(3)`, `M_MMAP_THRESHOLD`).
const SLAB_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_BYTES: usize = 1024 * 1024;
    const PER_SLAB: usize = SLAB_BYTES / BLOCK_BYTES;

    fn slab_count(slabs: &Slabs) -> usize {
        slabs.slabs.iter().flatten().count()
    }

    #[test]
    fn a_burst_leaves_no_slab_behind() {
        let mut slabs = Slabs::new(BLOCK_BYTES, 4);
        let held: Vec<_> = (0..3 * PER_SLAB).map(|_| slabs.take()).collect();
        assert_eq!(slab_count(&slabs), 3);
        for (number, block) in held {
            slabs.give_back(number, block);
        }
        assert_eq!(slab_count(&slabs), 0);
    }

    #[test]
    fn a_few_blocks_are_kept_and_used_again() {
        let mut slabs = Slabs::new(BLOCK_BYTES, 4);
        let (number, mut block) = slabs.take();
        block[0] = 7;
        slabs.give_back(number, block);
        assert_eq!((slab_count(&slabs), slabs.take().1[0]), (1, 7), "the same memory");
    }

    #[test]
    fn the_fullest_slab_is_used_first_so_that_the_others_run_empty() {
        let mut slabs = Slabs::new(BLOCK_BYTES, 0);
        let mut held: Vec<_> = (0..2 * PER_SLAB).map(|_| slabs.take()).collect();
        // The first slab keeps one block, the second all but one.
        let kept = held.remove(0);
        for (number, block) in held.drain(..PER_SLAB) {
            slabs.give_back(number, block);
        }
        let (number, block) = slabs.take();
        assert_ne!(number, kept.0);
        slabs.give_back(number, block);
        slabs.give_back(kept.0, kept.1);
        assert_eq!(slab_count(&slabs), 1);
    }
}
