//! RACK: a segment is lost when one sent after it has arrived, and time enough has passed for reordering.
//!
//! The wait is a quarter of the lowest round-trip time at first, more when the other side reports segments received twice, and nothing
//! while no reordering was ever seen and losses are plain. Source: RFC 8985 §6.

use std::time::Duration;

use super::moment::Moment;
use super::scoreboard::Sent;

/// What is known of the path's order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rack {
    /// Of the delivered segment that was sent last: when, and where it ends.
    newest: Option<(Moment, u64)>,
    /// The round-trip time of that segment.
    round_trip: Duration,
    /// Behind the highest position delivered.
    highest: u64,
    has_reordering: bool,
    /// Quarters of the lowest round-trip time to wait.
    quarters: u32,
    /// Recoveries until the wait is short again.
    patience: u32,
    /// Until this is acknowledged, another duplicate does not lengthen the wait further.
    duplicate_round: u64,
}

/// What the wait depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    pub(crate) lowest_round_trip: Duration,
    pub(crate) smoothed_round_trip: Duration,
    pub(crate) is_recovering: bool,
    /// At least three segments' worth is held out of order by the other side.
    pub(crate) has_plain_loss: bool,
}

impl Rack {
    /// Takes a delivered segment (§6.2 steps 1 to 3).
    pub(crate) fn note_delivered(&mut self, sent: &Sent, lowest_round_trip: Duration, now: Moment) {
        let round_trip = now.since(sent.sent_at);
        if sent.end < self.highest && !sent.is_retransmission {
            self.has_reordering = true;
        }
        self.highest = self.highest.max(sent.end);
        // An answer that quick is to the original, not to the retransmission.
        if sent.is_retransmission && round_trip < lowest_round_trip {
            return;
        }
        if self.newest.is_none_or(|newest| newest < (sent.sent_at, sent.end)) {
            self.newest = Some((sent.sent_at, sent.end));
            self.round_trip = round_trip;
        }
    }

    /// The other side has received something twice (§6.2 step 4).
    pub(crate) fn note_duplicate(&mut self, una: u64, next: u64) {
        if una < self.duplicate_round {
            return;
        }
        self.duplicate_round = next;
        self.has_reordering = true;
        self.quarters = (self.quarters + 1).min(QUARTERS_MAX);
        self.patience = PATIENCE_RECOVERIES;
    }

    /// A recovery is over.
    pub(crate) fn note_recovered(&mut self) {
        self.patience = self.patience.saturating_sub(1);
        if self.patience == 0 {
            self.quarters = 0;
        }
    }

    /// How long a segment is waited for after a later one has arrived.
    pub(crate) fn reordering_window(&self, surroundings: &Surroundings) -> Duration {
        if !self.has_reordering && (surroundings.is_recovering || surroundings.has_plain_loss) {
            return Duration::ZERO;
        }
        let quarters = self.quarters + 1;
        (surroundings.lowest_round_trip / 4 * quarters).min(surroundings.smoothed_round_trip)
    }

    /// When `sent` counts as lost; `None` while nothing sent after it has arrived (§6.2 step 5).
    pub(crate) fn lost_at(&self, sent: &Sent, reordering_window: Duration) -> Option<Moment> {
        let newest = self.newest?;
        let is_older = (sent.sent_at, sent.end) < newest;
        is_older.then(|| sent.sent_at.after(self.round_trip + reordering_window))
    }
}

const QUARTERS_MAX: u32 = 64;
const PATIENCE_RECOVERIES: u32 = 16;
