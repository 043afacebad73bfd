//! Prefixes of one address family, as a path-compressed binary trie.
//!
//! Each prefix carries the rules that name it. A look-up walks from the shortest to the longest
//! prefix that contains the address: at most one node per bit, however many prefixes there are.
//! Source: D. R. Morrison, "PATRICIA", 1968.

use crate::bits::Bits;

/// Prefixes with the rules that name them. Addresses are left-aligned in 128 bits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trie {
    root: Option<Box<Node>>,
}

/// One prefix. `zero` and `one` hold longer prefixes, by the first bit after this one.
#[derive(Debug, Clone)]
struct Node {
    prefix: Prefix,
    rules: Vec<usize>,
    zero: Option<Box<Self>>,
    one: Option<Box<Self>>,
}

/// The first `length` bits of `bits`; the others are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    bits: u128,
    length: u32,
}

impl Trie {
    /// Adds `rule` to those of `prefix`.
    pub(crate) fn insert(&mut self, prefix: Prefix, rule: usize) {
        self.root = Some(inserted(self.root.take(), prefix, rule));
    }

    /// Adds to `found` the rules of every prefix that contains `address`.
    pub(crate) fn collect(&self, address: u128, found: &mut Bits) {
        let mut next = self.root.as_deref();
        while let Some(node) = next {
            if !node.prefix.contains(address) {
                return;
            }
            node.rules.iter().for_each(|rule| found.insert(*rule));
            next = node.child(address);
        }
    }
}

impl Prefix {
    /// The first `length` bits of `bits`; `length` above 128 means 128.
    pub(crate) fn new(bits: u128, length: u32) -> Self {
        let length = length.min(ADDRESS_BITS);
        Self { bits: bits & mask(length), length }
    }

    fn contains(self, address: u128) -> bool {
        address & mask(self.length) == self.bits
    }

    /// The longest prefix that contains both.
    fn common(self, other: Self) -> Self {
        let same = (self.bits ^ other.bits).leading_zeros();
        Self::new(self.bits, same.min(self.length).min(other.length))
    }
}

impl Node {
    fn leaf(prefix: Prefix, rule: usize) -> Box<Self> {
        let mut node = Self::empty(prefix);
        node.rules.push(rule);
        node
    }

    fn empty(prefix: Prefix) -> Box<Self> {
        Box::new(Self { prefix, rules: Vec::new(), zero: None, one: None })
    }

    fn child(&self, address: u128) -> Option<&Self> {
        let side = if bit(address, self.prefix.length) { &self.one } else { &self.zero };
        side.as_deref()
    }

    fn child_mut(&mut self, address: u128) -> &mut Option<Box<Self>> {
        if bit(address, self.prefix.length) { &mut self.one } else { &mut self.zero }
    }
}

/// The tree under `node` with one prefix more. Recursion ends after at most one call per bit.
fn inserted(node: Option<Box<Node>>, prefix: Prefix, rule: usize) -> Box<Node> {
    let Some(mut node) = node else { return Node::leaf(prefix, rule) };
    let common = node.prefix.common(prefix);
    if common == node.prefix {
        if common == prefix {
            node.rules.push(rule);
        } else {
            let side = node.child_mut(prefix.bits);
            *side = Some(inserted(side.take(), prefix, rule));
        }
        return node;
    }
    let mut parent = Node::empty(common);
    let side = parent.child_mut(node.prefix.bits);
    *side = Some(node);
    inserted(Some(parent), prefix, rule)
}

/// The bit after the first `position` ones; false past the end.
fn bit(address: u128, position: u32) -> bool {
    position < ADDRESS_BITS && (address << position) >> (ADDRESS_BITS - 1) == 1
}

fn mask(length: u32) -> u128 {
    u128::MAX.checked_shl(ADDRESS_BITS - length).unwrap_or(0)
}

const ADDRESS_BITS: u32 = u128::BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_containing_prefix_is_found_and_no_other() {
        let trie = trie(&[(0, 0), (0x0a, 8), (0x0a01, 16), (0x0a02, 16), (0x0b, 8)]);
        assert_eq!(found(&trie, 0x0a01), [0, 1, 2]);
        assert_eq!(found(&trie, 0x0a02), [0, 1, 3]);
        assert_eq!(found(&trie, 0x0a03), [0, 1]);
        assert_eq!(found(&trie, 0x0b00), [0, 4]);
        assert_eq!(found(&trie, 0xc000), [0]);
    }

    #[test]
    fn order_of_insertion_does_not_matter() {
        let prefixes = [(0x0a01, 16), (0x0a, 8), (0, 0), (0x0500, 15), (0x0a01, 16)];
        for turn in 0..prefixes.len() {
            let mut turned = prefixes;
            turned.rotate_left(turn);
            assert_eq!(found(&trie(&turned), 0x0a01).len(), 5, "turned by {turn}");
        }
    }

    #[test]
    fn single_addresses_are_told_apart_to_the_last_bit() {
        let mut trie = Trie::default();
        trie.insert(Prefix::new(u128::MAX, 128), 0);
        trie.insert(Prefix::new(u128::MAX - 1, 128), 1);
        let mut bits = Bits::default();
        trie.collect(u128::MAX - 1, &mut bits);
        assert_eq!(bits.first(), Some(1));
    }

    #[test]
    fn an_empty_trie_finds_nothing() {
        assert!(found(&Trie::default(), 0x0a01).is_empty());
    }

    /// Prefixes given by their leading bits and length, numbered in order.
    fn trie(prefixes: &[(u128, u32)]) -> Trie {
        let mut trie = Trie::default();
        for (rule, (leading, length)) in prefixes.iter().enumerate() {
            let bits = leading.checked_shl(ADDRESS_BITS - length).unwrap_or(0);
            trie.insert(Prefix::new(bits, *length), rule);
        }
        trie
    }

    /// Rules whose prefixes contain the address that begins with these 16 bits.
    fn found(trie: &Trie, leading: u128) -> Vec<usize> {
        let mut bits = Bits::default();
        trie.collect(leading << 112, &mut bits);
        (0..8)
            .filter(|rule| {
                let mut single = Bits::default();
                single.insert(*rule);
                bits.first_common(&single).is_some()
            })
            .collect()
    }
}
