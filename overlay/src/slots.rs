//! Receiver indices: which session a datagram is for, found without hashing.
//!
//! | byte of the datagram | is |
//! |---|---|
//! | 4 | the engine's count of handshakes in this tunnel |
//! | 5 | the shard |
//! | 6–7 | the slot, little-endian |
//!
//! Every session has a slot of its own. Slots are given out at random, so that an index of a session long gone rarely names another.

use rand::Rng;
use rand::rngs::SmallRng;

use crate::api::PeerId;

/// The slots of one shard and whose they are.
pub(crate) struct Slots {
    shard: u8,
    owners: Vec<Option<PeerId>>,
    used: usize,
}

impl Slots {
    pub(crate) fn new(shard: u8) -> Self {
        Self { shard, owners: vec![None; SLOTS], used: 0 }
    }

    /// Gives `owner` a free slot. `None` when nearly all are in use.
    pub(crate) fn take(&mut self, owner: PeerId, random: &mut SmallRng) -> Option<u16> {
        if self.used >= SLOTS_USED_MAX {
            return None;
        }
        let start: u16 = random.random();
        let slot =
            (0..=u16::MAX).map(|step| start.wrapping_add(step)).find(|slot| self.is_free(*slot))?;
        *self.owners.get_mut(usize::from(slot))? = Some(owner);
        self.used += 1;
        Some(slot)
    }

    pub(crate) fn release(&mut self, slot: u16) {
        if let Some(owner) = self.owners.get_mut(usize::from(slot))
            && owner.take().is_some()
        {
            self.used -= 1;
        }
    }

    /// The upper 24 bits of the receiver index that names `slot`.
    pub(crate) fn index(&self, slot: u16) -> u32 {
        u32::from(slot) << 8 | u32::from(self.shard)
    }

    /// The slot that a receiver index names, and whose it is.
    pub(crate) fn find(&self, receiver_index: u32) -> Option<(u16, PeerId)> {
        let [_, shard, low, high] = receiver_index.to_le_bytes();
        let slot = u16::from_le_bytes([low, high]);
        let owner = self.owners.get(usize::from(slot)).copied().flatten()?;
        (shard == self.shard).then_some((slot, owner))
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    fn is_free(&self, slot: u16) -> bool {
        let looks_like_stun = self.shard == STUN_SHARD && slot == STUN_SLOT;
        !looks_like_stun && self.owners.get(usize::from(slot)).is_some_and(Option::is_none)
    }
}

const SLOTS: usize = 1 << 16;
/// Leaves gaps, so that a free slot is found within a few steps.
const SLOTS_USED_MAX: usize = SLOTS / 16 * 15;
/// STUN's magic cookie 0x2112A442, read as a receiver index.
const STUN_SHARD: u8 = 0x12;
const STUN_SLOT: u16 = 0x42A4;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn an_index_names_its_slot_whatever_the_session_count() {
        let mut slots = Slots::new(7);
        let slot = slots.take(OWNER, &mut random()).unwrap();
        for count in [0, 1, 255] {
            let index = slots.index(slot) << 8 | count;
            assert_eq!(index.to_le_bytes()[1], 7, "byte 5 of the datagram is the shard");
            assert_eq!(slots.find(index), Some((slot, OWNER)));
        }
    }

    #[test]
    fn an_index_of_another_shard_or_of_a_released_slot_names_nothing() {
        let mut slots = Slots::new(7);
        let slot = slots.take(OWNER, &mut random()).unwrap();
        let index = slots.index(slot) << 8;
        assert_eq!(slots.find(index ^ 0x100), None);

        slots.release(slot);
        slots.release(slot);
        assert_eq!(slots.find(index), None);
        assert_eq!(slots.used(), 0);
    }

    #[test]
    fn the_index_that_looks_like_stun_is_never_given_out() {
        let mut slots = Slots::new(STUN_SHARD);
        let mut random = random();
        let given: Vec<u16> = std::iter::from_fn(|| slots.take(OWNER, &mut random)).collect();
        assert_eq!(given.len(), SLOTS_USED_MAX);
        assert!(!given.contains(&STUN_SLOT));
        assert!(!slots.is_free(STUN_SLOT));
    }

    fn random() -> SmallRng {
        SmallRng::seed_from_u64(1)
    }

    const OWNER: PeerId = PeerId(9);
}
