//! Disjoint ranges of stream positions, in order.

/// A set of positions as half-open ranges. Touching ranges are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges {
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Where the highest range ends.
    #[cfg(test)]
    pub(crate) fn end(&self) -> Option<u64> {
        self.ranges.last().map(|(_, end)| *end)
    }

    /// The range that holds `position`.
    pub(crate) fn find(&self, position: u64) -> Option<(u64, u64)> {
        let index = self.ranges.partition_point(|(_, end)| *end <= position);
        self.ranges.get(index).copied().filter(|(start, _)| *start <= position)
    }

    /// Whether every position of the range is in the set.
    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        start >= end || self.find(start).is_some_and(|(_, found_end)| end <= found_end)
    }

    /// The first part of `start..end` that is not in the set.
    pub(crate) fn first_gap(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let index = self.ranges.partition_point(|(_, range_end)| *range_end <= start);
        let (from, next) = match self.ranges.get(index) {
            Some((range_start, range_end)) if *range_start <= start => {
                (*range_end, self.ranges.get(index + 1).map(|(next, _)| *next))
            }
            Some((range_start, _)) => (start, Some(*range_start)),
            None => (start, None),
        };
        let to = next.map_or(end, |next| next.min(end));
        (from < to).then_some((from, to))
    }

    /// Adds `start..end`; gives the range that it is part of then.
    pub(crate) fn insert(&mut self, start: u64, end: u64) -> (u64, u64) {
        if start >= end {
            return (start, end);
        }
        let first = self.ranges.partition_point(|(_, range_end)| *range_end < start);
        let last = self.ranges.partition_point(|(range_start, _)| *range_start <= end);
        let touched = self.ranges.get(first..last).unwrap_or_default();
        let merged = touched.iter().fold((start, end), |(low, high), (range_start, range_end)| {
            (low.min(*range_start), high.max(*range_end))
        });
        let is_one = touched.len() == 1;
        match self.ranges.get_mut(first) {
            Some(only) if is_one => *only = merged,
            _ => drop(self.ranges.splice(first..last.max(first), [merged])),
        }
        merged
    }

    /// Forgets everything before `position`.
    pub(crate) fn remove_before(&mut self, position: u64) {
        let gone = self.ranges.partition_point(|(_, end)| *end <= position);
        self.ranges.drain(..gone);
        if let Some((start, _)) = self.ranges.first_mut() {
            *start = (*start).max(position);
        } else {
            self.ranges = Vec::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_numbers_says_the_same(parts in prop::collection::vec((0u64..200, 0u64..30), 0..40), cut in 0u64..200) {
            let mut ranges = Ranges::default();
            let mut numbers = BTreeSet::new();
            for (start, length) in parts {
                let merged = ranges.insert(start, start + length);
                numbers.extend(start..start + length);
                prop_assert!(merged.0 <= start && start + length <= merged.1);
            }
            ranges.remove_before(cut);
            numbers.retain(|number| *number >= cut);
            for number in 0..240 {
                prop_assert_eq!(ranges.find(number).is_some(), numbers.contains(&number));
                let gap = (number..230).find(|number| !numbers.contains(number));
                prop_assert_eq!(ranges.first_gap(number, 230).map(|(from, _)| from), gap);
            }
            let holes = (1..ranges.len()).count();
            prop_assert_eq!(holes, ranges.len().saturating_sub(1));
            prop_assert_eq!(ranges.end(), numbers.last().map(|last| last + 1));
        }
    }
}
