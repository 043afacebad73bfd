//! What flows carry: streams of bytes that both ends can make from a seed, so that every byte received is checked at once.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The rest of a stream.
#[derive(Debug)]
pub(super) struct Content {
    random: SmallRng,
    left: usize,
}

impl Content {
    pub(super) fn new(seed: u64, bytes: usize) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), left: bytes }
    }

    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Writes what comes next into `room`; gives how much.
    pub(super) fn fill(&mut self, room: &mut [u8]) -> usize {
        let bytes = room.len().min(self.left);
        room.iter_mut().take(bytes).for_each(|byte| *byte = self.random.random());
        self.left -= bytes;
        bytes
    }

    /// Takes what was received. False when it is not what comes next.
    pub(super) fn matches(&mut self, received: &[u8]) -> bool {
        if received.len() > self.left {
            return false;
        }
        self.left -= received.len();
        received.iter().all(|byte| *byte == self.random.random::<u8>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_matches_itself_however_it_is_cut() {
        let (mut sent, mut expected) = (Content::new(7, 100), Content::new(7, 100));
        for size in [1, 30, 64, 64] {
            let mut room = vec![0; size];
            let bytes = sent.fill(&mut room);
            assert!(expected.matches(&room[..bytes]));
        }
        assert!(sent.is_over() && expected.is_over());
    }

    #[test]
    fn another_byte_or_one_too_many_does_not_match() {
        let mut first = [0; 10];
        Content::new(7, 10).fill(&mut first);
        assert!(Content::new(7, 10).matches(&first));
        assert!(!Content::new(7, 9).matches(&first));
        first[9] ^= 1;
        assert!(!Content::new(7, 10).matches(&first));
    }
}
