//! When an acknowledgment is due.
//!
//! At once for what is out of order, for a second whole segment, for several small ones, whose sender lets few be in flight, and for the
//! first whole segments of a connection, whose sender counts acknowledgments to grow; else after a short wait in which data may carry it
//! (RFC 5681 §4.2, RFC 1122 §4.2.3.2).

use std::time::Duration;

use super::super::moment::Moment;

/// What the other side is owed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledging {
    is_due: bool,
    due_at: Option<Moment>,
    unacknowledged_bytes: usize,
    unacknowledged_segments: u32,
    segments: u32,
}

impl Acknowledging {
    /// Something has to be said at once.
    pub(crate) fn demand(&mut self) {
        self.is_due = true;
    }

    /// A segment of `bytes` came in order; `whole_bytes` is the most that one carries.
    pub(crate) fn note_in_order(&mut self, bytes: usize, whole_bytes: usize, now: Moment) {
        self.unacknowledged_bytes += bytes;
        self.unacknowledged_segments += 1;
        self.segments = self.segments.saturating_add(1);
        let is_whole = bytes >= whole_bytes;
        let is_enough = self.unacknowledged_bytes >= 2 * whole_bytes.max(1)
            || self.unacknowledged_segments >= SMALL_SEGMENTS;
        if is_enough || (is_whole && self.segments <= QUICK_SEGMENTS) {
            self.is_due = true;
        }
        self.due_at.get_or_insert_with(|| now.after(DELAY));
    }

    /// Whether an acknowledgment should leave at `now`.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.is_due || self.due_at.is_some_and(|due_at| due_at <= now)
    }

    pub(crate) fn due_at(&self, now: Moment) -> Option<Moment> {
        if self.is_due { Some(now) } else { self.due_at }
    }

    /// A segment with the newest acknowledgment has left.
    pub(crate) fn note_sent(&mut self) {
        self.is_due = false;
        self.due_at = None;
        self.unacknowledged_bytes = 0;
        self.unacknowledged_segments = 0;
    }
}

/// The longest wait. Far below what RFC 1122 allows: a tunnel's user waits for it.
const DELAY: Duration = Duration::from_millis(20);
const QUICK_SEGMENTS: u32 = 8;
/// Half of what our own sender has in flight of small segments: a stream of short messages does not wait for [`DELAY`].
const SMALL_SEGMENTS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_short_messages_is_acknowledged_before_its_sender_has_to_wait() {
        let mut acknowledging = Acknowledging::default();
        let now = Moment::default();
        for _ in 1..SMALL_SEGMENTS {
            acknowledging.note_in_order(50, 1_000, now);
            assert!(!acknowledging.is_due(now), "data may still carry it");
        }
        acknowledging.note_in_order(50, 1_000, now);
        assert!(acknowledging.is_due(now));
        acknowledging.note_sent();
        acknowledging.note_in_order(50, 1_000, now);
        assert!(!acknowledging.is_due(now) && acknowledging.is_due(now.after(DELAY)));
    }
}
