//! A set of rules, one bit each, in the order of the documents.

/// Indexes of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Adds `index`.
    pub(crate) fn insert(&mut self, index: usize) {
        let word = index / WORD_BITS;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (index % WORD_BITS);
        }
    }

    /// Adds every index of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// The lowest index that both sets hold.
    pub(crate) fn first_common(&self, other: &Self) -> Option<usize> {
        let common = self.0.iter().zip(&other.0).map(|(mine, theirs)| mine & theirs);
        lowest(common)
    }

    /// The lowest index.
    pub(crate) fn first(&self) -> Option<usize> {
        lowest(self.0.iter().copied())
    }
}

fn lowest(words: impl Iterator<Item = u64>) -> Option<usize> {
    let (word, bits) = words.enumerate().find(|(_, bits)| *bits != 0)?;
    let bit = (0..WORD_BITS).find(|bit| bits & (1 << bit) != 0)?;
    Some(word * WORD_BITS + bit)
}

const WORD_BITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(indexes: &[usize]) -> Bits {
        let mut bits = Bits::default();
        indexes.iter().for_each(|index| bits.insert(*index));
        bits
    }

    #[test]
    fn the_first_common_index_is_the_lowest_of_the_intersection() {
        assert_eq!(set(&[1, 63, 64, 200]).first_common(&set(&[2, 64, 200])), Some(64));
        assert_eq!(set(&[1, 200]).first_common(&set(&[2, 3])), None);
        assert_eq!(set(&[]).first_common(&set(&[0])), None);
    }

    #[test]
    fn adding_unites_sets_of_different_lengths() {
        let mut small = set(&[3]);
        small.add(&set(&[130]));
        assert_eq!(small, set(&[3, 130]));
        small.add(&set(&[0]));
        assert_eq!(small.first(), Some(0));
    }
}
