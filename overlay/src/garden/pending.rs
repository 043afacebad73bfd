//! Who is in the walled garden: how many, and how many from one place.

use std::net::IpAddr;

use crate::api::PeerId;
use crate::counters::DropReason;
use crate::limits::{PENDING_MAX, PENDING_PER_PREFIX_MAX};
use crate::prefix::prefix;

/// The peers of the walled garden and where they came from.
#[derive(Debug, Default)]
pub(crate) struct Pending(Vec<(PeerId, u64)>);

impl Pending {
    /// Whether one more may come from `from`.
    pub(crate) fn check_room(&self, from: IpAddr) -> Result<(), DropReason> {
        let prefix = prefix(from, V6_BITS);
        let neighbours = self.0.iter().filter(|(_, other)| *other == prefix).count();
        if neighbours >= PENDING_PER_PREFIX_MAX {
            return Err(DropReason::PendingPrefixFull);
        }
        if self.0.len() >= PENDING_MAX { Err(DropReason::PendingFull) } else { Ok(()) }
    }

    pub(crate) fn insert(&mut self, peer: PeerId, from: IpAddr) {
        self.0.push((peer, prefix(from, V6_BITS)));
    }

    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.0.retain(|(other, _)| *other != peer);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

const V6_BITS: u8 = 56;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_prefix_cannot_fill_the_garden() {
        let mut pending = Pending::default();
        for peer in (0..).take(PENDING_PER_PREFIX_MAX) {
            let from = format!("2001:db8::{peer:x}").parse().unwrap();
            assert_eq!(pending.check_room(from), Ok(()));
            pending.insert(PeerId(peer), from);
        }
        let neighbour = "2001:db8:0:ff::1".parse().unwrap();
        let other = "2001:db8:0:100::1".parse().unwrap();
        assert_eq!(pending.check_room(neighbour), Err(DropReason::PendingPrefixFull));
        assert_eq!(pending.check_room(other), Ok(()));
    }

    #[test]
    fn the_garden_has_an_end_and_room_again_once_somebody_left() {
        let mut pending = Pending::default();
        for peer in (0..).take(PENDING_MAX) {
            pending.insert(PeerId(peer), Ipv4Addr::from(peer).into());
        }
        let next = "192.0.2.1".parse().unwrap();
        assert_eq!(pending.check_room(next), Err(DropReason::PendingFull));
        pending.remove(PeerId(0));
        assert_eq!(pending.check_room(next), Ok(()));
    }
}
