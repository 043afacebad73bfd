//! Who owns which ports of which address: ranges that do not overlap.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::error::ListenError;
use crate::types::PeerKey;

/// An address, seen from one peer or from all.
pub(super) type Place = (IpAddr, Option<PeerKey>);

/// Port ranges and their owners.
#[derive(Debug)]
pub(super) struct PortMap<T> {
    ranges: BTreeMap<Place, BTreeMap<u16, (u16, T)>>,
}

impl<T> Default for PortMap<T> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new() }
    }
}

impl<T: Copy> PortMap<T> {
    pub(super) fn insert(
        &mut self,
        place: Place,
        ports: &RangeInclusive<u16>,
        owner: T,
    ) -> Result<(), ListenError> {
        let (first, last) = (*ports.start(), *ports.end());
        if first == 0 || ports.is_empty() {
            return Err(ListenError::Ports);
        }
        let ranges = self.ranges.entry(place).or_default();
        let below = ranges.range(..=last).next_back();
        if below.is_some_and(|(_, (below_last, _))| *below_last >= first) {
            return Err(ListenError::InUse);
        }
        ranges.insert(first, (last, owner));
        Ok(())
    }

    pub(super) fn remove(&mut self, place: Place, ports: &RangeInclusive<u16>) {
        if let Some(ranges) = self.ranges.get_mut(&place) {
            ranges.remove(ports.start());
            if ranges.is_empty() {
                self.ranges.remove(&place);
            }
        }
    }

    /// The owner of one port.
    pub(super) fn owner(&self, place: Place, port: u16) -> Option<T> {
        let (_, (last, owner)) = self.ranges.get(&place)?.range(..=port).next_back()?;
        (port <= *last).then_some(*owner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn overlapping_ranges_are_refused_and_neighbours_are_not() {
        let place = (Ipv4Addr::LOCALHOST.into(), None);
        let mut map = PortMap::default();
        map.insert(place, &(100..=199), 1).unwrap();
        for overlap in [100..=100, 50..=100, 199..=300, 50..=300, 150..=160] {
            assert_eq!(map.insert(place, &overlap, 2), Err(ListenError::InUse), "{overlap:?}");
        }
        map.insert(place, &(200..=200), 3).unwrap();
        assert_eq!(
            [99, 100, 199, 200, 201].map(|port| map.owner(place, port)),
            [None, Some(1), Some(1), Some(3), None]
        );
    }
}
