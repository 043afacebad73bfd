//! Which blocks an acknowledgment names.
//!
//! First what was received twice (RFC 2883 §4), then the range that grew last, then the ranges named before it (RFC 2018 §4), so that each
//! block is told several times.

use super::super::options::{SACK_BLOCKS_MAX, SackBlocks};
use super::super::ranges::Ranges;
use super::super::sequence::Origin;

/// What was reported, newest first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selective {
    duplicate: Option<(u64, u64)>,
    /// Positions that lie in ranges reported lately.
    recent: [Option<u64>; SACK_BLOCKS_MAX],
}

impl Selective {
    /// The range that begins at `start` has grown.
    pub(crate) fn note_range(&mut self, start: u64) {
        let kept = self.recent;
        let others = kept.into_iter().flatten().filter(|other| *other != start);
        let mut newest_first = std::iter::once(start).chain(others);
        self.recent = std::array::from_fn(|_| newest_first.next());
    }

    pub(crate) fn note_duplicate(&mut self, start: u64, end: u64) {
        self.duplicate = Some((start, end));
    }

    pub(crate) fn has_duplicate(&self) -> bool {
        self.duplicate.is_some()
    }

    /// Up to `count_max` blocks; a duplicate is told once.
    pub(crate) fn blocks(
        &mut self,
        ahead: &Ranges,
        origin: Origin,
        count_max: usize,
    ) -> SackBlocks {
        let duplicate = self.duplicate.take();
        let mut ranges: [Option<(u64, u64)>; SACK_BLOCKS_MAX] = [None; SACK_BLOCKS_MAX];
        let mut count = 0;
        for range in self.recent.into_iter().flatten().filter_map(|position| ahead.find(position)) {
            if !ranges.contains(&Some(range))
                && let Some(slot) = ranges.get_mut(count)
            {
                *slot = Some(range);
                count += 1;
            }
        }
        self.recent = ranges.map(|range| range.map(|(start, _)| start));
        let mut blocks = SackBlocks::default();
        for (start, end) in duplicate.into_iter().chain(ranges.into_iter().flatten()) {
            blocks.push((origin.number(start), origin.number(end)));
        }
        blocks.truncate(count_max);
        blocks
    }
}
