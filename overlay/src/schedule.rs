//! Which peer's timers run next.
//!
//! Each peer has at most one entry. A deadline that moves later leaves its entry where it is: the peer wakes early, finds nothing to
//! do and is planned again. So a packet, which mostly moves deadlines later, costs nothing here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::api::PeerId;
use crate::peer::PeerState;

/// The deadlines of all peers, in order.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: BTreeMap<(Instant, PeerId), &'static str>,
}

impl Schedule {
    /// Makes sure that `peer` wakes in time for its next deadline.
    pub(crate) fn plan(&mut self, peer: &mut PeerState) {
        let Some((due, reason)) = peer.deadline() else { return };
        if peer.scheduled.is_some_and(|planned| planned <= due) {
            return;
        }
        self.forget(peer);
        self.entries.insert((due, peer.id), reason);
        peer.scheduled = Some(due);
    }

    /// Plans a peer that has just run its timers: never for `now` again, so that every turn ends.
    pub(crate) fn plan_after(&mut self, peer: &mut PeerState, now: Instant) {
        let Some((due, reason)) = peer.deadline() else { return };
        let due = due.max(now + TICK);
        self.entries.insert((due, peer.id), reason);
        peer.scheduled = Some(due);
    }

    pub(crate) fn forget(&mut self, peer: &mut PeerState) {
        if let Some(planned) = peer.scheduled.take() {
            self.entries.remove(&(planned, peer.id));
        }
    }

    /// The next peer whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<PeerId> {
        let entry = self.entries.first_entry()?;
        let (due, peer) = *entry.key();
        (due <= now).then(|| {
            entry.remove();
            peer
        })
    }

    pub(crate) fn next(&self) -> Option<(Instant, &'static str)> {
        self.entries.first_key_value().map(|((due, _), reason)| (*due, *reason))
    }
}

const TICK: Duration = Duration::from_millis(1);
