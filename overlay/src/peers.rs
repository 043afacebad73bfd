//! The table of peers: by id without hashing, and by key.
//!
//! An id is a position (lower 16 bits) and how often that position was used before. A position is used again only after all others, so
//! an id comes back after some four billion peers.

use std::collections::{BTreeMap, VecDeque};

use crate::api::PeerId;
use crate::key::PublicKey;
use crate::peer::PeerState;

/// All peers, those of the walled garden included.
#[derive(Default)]
pub(crate) struct Peers {
    entries: Vec<Entry>,
    free: VecDeque<u16>,
    by_key: BTreeMap<PublicKey, PeerId>,
}

#[derive(Default)]
struct Entry {
    generation: u16,
    peer: Option<Box<PeerState>>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Adds what `make` gives for the new id. `None` when every position is in use.
    pub(crate) fn insert(
        &mut self,
        make: impl FnOnce(PeerId) -> PeerState,
    ) -> Option<&mut PeerState> {
        let position = self.free_position()?;
        let entry = self.entries.get_mut(usize::from(position))?;
        let id = PeerId(u32::from(entry.generation) << 16 | u32::from(position));
        let peer = entry.peer.insert(Box::new(make(id)));
        self.by_key.insert(peer.public_key, id);
        Some(peer)
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Box<PeerState>> {
        let (position, generation) = split(id);
        let entry = self.entries.get_mut(usize::from(position))?;
        if entry.generation != generation {
            return None;
        }
        let peer = entry.peer.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push_back(position);
        self.by_key.remove(&peer.public_key);
        Some(peer)
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&PeerState> {
        let (position, generation) = split(id);
        let entry = self.entries.get(usize::from(position))?;
        entry.peer.as_deref().filter(|_| entry.generation == generation)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut PeerState> {
        let (position, generation) = split(id);
        let entry = self.entries.get_mut(usize::from(position))?;
        entry.peer.as_deref_mut().filter(|_| entry.generation == generation)
    }

    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    fn free_position(&mut self) -> Option<u16> {
        let Ok(position) = u16::try_from(self.entries.len()) else { return self.free.pop_front() };
        self.entries.push(Entry::default());
        Some(position)
    }
}

fn split(id: PeerId) -> (u16, u16) {
    let [a, b, c, d] = id.0.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::api::{Peer, Sources};

    #[test]
    fn an_id_is_not_reused_and_names_nothing_once_removed() {
        let mut peers = Peers::default();
        let mut seen = HashSet::new();
        for _ in 0..200_000 {
            let id = insert(&mut peers);
            assert!(seen.insert(id));
            assert!(peers.get(id).is_some() && peers.by_key(&KEY) == Some(id));
            assert!(peers.remove(id).is_some());
            assert!(peers.get(id).is_none() && peers.remove(id).is_none());
        }
        assert_eq!(peers.len(), 0);
    }

    fn insert(peers: &mut Peers) -> PeerId {
        let peer = Peer {
            public_key: KEY,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            sources: Sources::Relay,
        };
        peers.insert(|id| PeerState::new(id, peer)).unwrap().id
    }

    const KEY: PublicKey = PublicKey([1; 32]);
}
