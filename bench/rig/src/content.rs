//! What is sent: a stream whose byte at an offset is known, so that a receiver can check every byte.

use std::sync::LazyLock;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// Bytes of the stream from `offset` on, as many as lie together in memory.
pub(crate) fn from(offset: u64) -> &'static [u8] {
    let at = usize::try_from(offset % PERIOD).unwrap_or_default();
    BLOCK.get(at..).unwrap_or_default()
}

/// The same, but nothing beyond `end`.
pub(crate) fn next(offset: u64, end: Option<u64>) -> &'static [u8] {
    let piece = from(offset);
    let left = end.map_or(usize::MAX, |end| usize::try_from(end - offset).unwrap_or(usize::MAX));
    piece.get(..left).unwrap_or(piece)
}

/// Whether `bytes` are those of the stream at `offset`.
pub(crate) fn matches(mut offset: u64, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let expected = from(offset);
        let length = expected.len().min(bytes.len());
        let (checked, rest) = bytes.split_at(length);
        if expected.get(..length) != Some(checked) {
            return false;
        }
        offset += length as u64;
        bytes = rest;
    }
    true
}

/// A prime: no segment size and no buffer size divides it, so a piece in a wrong place shows.
const PERIOD: u64 = 1_048_573;

static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = vec![0; usize::try_from(PERIOD).unwrap_or_default()];
    SmallRng::seed_from_u64(PERIOD).fill_bytes(&mut block);
    block
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_in_a_wrong_place_is_found() {
        let stream = [&from(PERIOD - 10)[..10], &from(0)[..90]].concat();
        assert!(matches(PERIOD - 10, &stream));
        assert!(!matches(PERIOD - 9, &stream));
    }
}
