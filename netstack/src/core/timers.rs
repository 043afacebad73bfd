//! Deadlines of flows: at most one entry for each, moved only when it comes earlier.
//!
//! A deadline that moves later is left where it is; when it fires, the flow is looked at and armed
//! anew. So a busy flow costs no update for each packet, and an idle one ends with no entry at all.

use std::collections::BTreeSet;
use std::time::Instant;

use super::slab::FlowId;

/// Deadlines in order.
#[derive(Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Instant, FlowId)>,
}

impl Timers {
    /// Sees to it that `id` fires not after `deadline`. `armed` is the flow's own note of its entry.
    /// Gives whether the earliest deadline of all has moved forward.
    pub(super) fn arm(
        &mut self,
        id: FlowId,
        deadline: Instant,
        armed: &mut Option<Instant>,
    ) -> bool {
        if armed.is_some_and(|current| current <= deadline) {
            return false;
        }
        self.cancel(id, armed);
        let is_first = self.first().is_none_or(|first| deadline < first);
        self.entries.insert((deadline, id));
        *armed = Some(deadline);
        is_first
    }

    pub(super) fn cancel(&mut self, id: FlowId, armed: &mut Option<Instant>) {
        if let Some(current) = armed.take() {
            self.entries.remove(&(current, id));
        }
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.entries.first().map(|(deadline, _)| *deadline)
    }

    /// A flow whose deadline has come. Its note of its entry is out of date then.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<FlowId> {
        if self.first()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, id)| id)
    }
}
