//! Which losses say that there is too much in flight.
//!
//! Counted over rounds of at least [`SEGMENTS_MIN`] segments. A round without a queue shows what the path loses by itself; that share, and
//! somewhat more for chance, is no sign of congestion. A flow that starts into a standing queue takes its delay for the path's: once a
//! shorter round trip proves that, nothing learned until then counts.

use std::time::Duration;

use crate::tcp::congestion::{Acked, share};

/// Losses of the round that goes on, and what is known of the path.
#[derive(Debug, Default)]
pub(super) struct Losses {
    lost_bytes: u64,
    delivered_bytes: u64,
    /// Round-trip times of the round, and how many of them show a queue.
    samples: u32,
    queued: u32,
    ends_at: u64,
    is_marked: bool,
    pub(super) round_has_ended: bool,
    verdict: Verdict,
    /// The share that the path loses unloaded.
    natural: f64,
    rounds: u32,
    /// The lowest round-trip time by which rounds were said to have no queue.
    lowest: Option<Duration>,
}

/// What the last round showed.
#[derive(Debug, Default, Clone, Copy)]
struct Verdict {
    share: f64,
    has_queue: bool,
    is_marked: bool,
    lost_bytes: u64,
}

impl Losses {
    pub(super) fn handle_loss(&mut self, bytes: u64) {
        self.lost_bytes += bytes;
    }

    /// Whether the last round was one of congestion.
    pub(super) fn is_congested(&self) -> bool {
        let Verdict { share, has_queue, is_marked, .. } = self.verdict;
        is_marked || self.is_heavy() || (has_queue && share > self.threshold())
    }

    /// Whether it lost what no line loses by itself.
    pub(super) fn is_heavy(&self) -> bool {
        self.verdict.share > SHARE_HEAVY + self.natural && self.verdict.lost_bytes > BURST_BYTES
    }

    /// Whether round-trip times of this round or the last show a queue.
    pub(super) fn has_queue(&self) -> bool {
        self.verdict.has_queue
    }

    /// The share of losses that is not yet taken for congestion.
    pub(super) fn threshold(&self) -> f64 {
        SHARE_ALLOWED + self.natural * CHANCE
    }

    /// Takes an acknowledgment; `lowest` is the path's round-trip time without a queue, `is_quiet` whether nothing was probed.
    pub(super) fn handle_acked(&mut self, acked: &Acked, lowest: Option<Duration>, is_quiet: bool) {
        self.delivered_bytes += acked.delivered_bytes;
        self.is_marked |= acked.is_marked;
        if let Some(measured) = acked.round_trip {
            let is_queued = lowest.is_some_and(|lowest| measured > lowest + queue_visible(lowest));
            self.samples += 1;
            self.queued += u32::from(is_queued);
        }
        let seen = self.lost_bytes + self.delivered_bytes;
        let is_over = acked.rate.is_some_and(|rate| rate.sent.delivered_bytes >= self.ends_at);
        self.round_has_ended = is_over && seen >= SEGMENTS_MIN * SEGMENT_BYTES;
        if self.round_has_ended {
            self.forget_if_queued(lowest);
            self.end_round(acked, is_quiet);
        }
    }

    fn end_round(&mut self, acked: &Acked, is_quiet: bool) {
        let lost = share(self.lost_bytes, self.lost_bytes + self.delivered_bytes);
        // Single ones are acknowledgments that the receiver held back.
        let has_queue = self.queued * 3 > self.samples;
        self.verdict = Verdict {
            share: lost,
            has_queue,
            is_marked: self.is_marked,
            lost_bytes: self.lost_bytes,
        };
        if is_quiet && !has_queue && lost <= NATURAL_MAX {
            self.learn(lost);
        }
        self.lost_bytes = 0;
        self.delivered_bytes = 0;
        self.samples = 0;
        self.queued = 0;
        self.is_marked = false;
        self.ends_at = acked.delivered_total;
    }

    /// A path that turns out to be shorter had a queue in the rounds that seemed to have none.
    fn forget_if_queued(&mut self, lowest: Option<Duration>) {
        let Some(lowest) = lowest else { return };
        if self.lowest.is_some_and(|before| before > lowest + queue_visible(lowest)) {
            self.natural = 0.0;
            self.rounds = 0;
        }
        self.lowest = Some(lowest);
    }

    fn learn(&mut self, lost: f64) {
        self.rounds = (self.rounds + 1).min(LEARNING_ROUNDS);
        self.natural += (lost - self.natural) / f64::from(self.rounds);
    }
}

/// How far above the lowest a round-trip time is when there is a queue.
fn queue_visible(lowest: Duration) -> Duration {
    lowest / 16 + Duration::from_millis(1)
}

const SEGMENTS_MIN: u64 = 32;
const SEGMENT_BYTES: u64 = 1_000;
const SHARE_ALLOWED: f64 = 0.02;
/// More than this much above nature is congestion with or without a queue in sight: a shaper that drops at once.
const SHARE_HEAVY: f64 = 0.2;
/// A burst of noise loses that much at once.
const BURST_BYTES: u64 = 24 * SEGMENT_BYTES;
const NATURAL_MAX: f64 = 0.2;
/// Chance alone makes rounds differ by half.
const CHANCE: f64 = 1.5;
const LEARNING_ROUNDS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::moment::Moment;
    use crate::tcp::rate::{RateSample, Snapshot};

    #[test]
    fn losses_of_a_queue_that_was_taken_for_the_path_are_forgotten() {
        let mut losses = Losses::default();
        lose_in_a_round(&mut losses, 5_000, 50);
        assert!(losses.threshold() > 2.0 * SHARE_ALLOWED, "taken for the path's nature");

        lose_in_a_round(&mut losses, 0, 20);
        assert!(losses.threshold() <= SHARE_ALLOWED, "the path takes 20 ms: 50 were a queue");
    }

    #[test]
    fn losses_of_a_path_that_has_changed_little_are_remembered() {
        let mut losses = Losses::default();
        lose_in_a_round(&mut losses, 5_000, 50);
        lose_in_a_round(&mut losses, 5_000, 49);
        assert!(losses.threshold() > 2.0 * SHARE_ALLOWED);
    }

    /// A round in which every round trip takes `lowest_ms`, which is the lowest.
    fn lose_in_a_round(losses: &mut Losses, bytes: u64, lowest_ms: u64) {
        let lowest = Duration::from_millis(lowest_ms);
        losses.handle_loss(bytes);
        losses.handle_acked(&acked(lowest), Some(lowest), true);
        assert!(losses.round_has_ended);
    }

    fn acked(round_trip: Duration) -> Acked {
        let rate = RateSample {
            bytes_per_second: 1,
            delivered_bytes: 45_000,
            is_app_limited: false,
            sent: Snapshot::default(),
            in_flight_bytes: 50_000,
        };
        Acked {
            now: Moment::default(),
            delivered_bytes: 45_000,
            delivered_total: 0,
            in_flight_before: 50_000,
            in_flight: 5_000,
            round_trip: Some(round_trip),
            round_trip_smoothed: round_trip,
            rate: Some(rate),
            is_window_limited: true,
            is_marked: false,
        }
    }
}
