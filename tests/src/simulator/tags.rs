//! Whether a RESET was lost to chance that no seed controls.
//!
//! The overlay keeps the tags of datagrams sent recently where their own bits say; a later datagram may take the place. Tags follow
//! from the tunnel engine's ephemeral keys, which come from the system, so a run in which it happened cannot be compared with another.

use bore_overlay::{Kind, classify};

/// The same table that the overlay keeps, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Tags(std::collections::BTreeMap<u64, u64>);

impl Tags {
    /// Notes a datagram that the host sends.
    pub(super) fn note(&mut self, datagram: &[u8]) {
        if classify(datagram) == Kind::WireGuard
            && datagram.first() == Some(&TRANSPORT)
            && let Some(tag) = last_tag(datagram)
        {
            self.0.insert(tag % PLACES, tag);
        }
    }

    /// Whether a genuine `datagram` is a RESET whose tag another has displaced.
    pub(super) fn is_displaced(&self, datagram: &[u8]) -> bool {
        let is_reset = datagram.starts_with(&[0xB2, 1]);
        let tag = last_tag(datagram).filter(|_| is_reset);
        tag.is_some_and(|tag| self.0.get(&(tag % PLACES)).is_some_and(|kept| *kept != tag))
    }
}

fn last_tag(datagram: &[u8]) -> Option<u64> {
    datagram.last_chunk().copied().map(u64::from_le_bytes)
}

const TRANSPORT: u8 = 4;
/// `RECENT_TAGS` of the overlay.
const PLACES: u64 = 16_384;
