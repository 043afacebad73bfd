//! What is different where others fill the queue as well.
//!
//! A flow alone empties in Down what it has queued in Up, so its round trips are short for most of a cycle. Flows that share a path each
//! remember the highest rate they had; together that is more than the path delivers, so the queue grows until each has all in flight that
//! its window allows. Then every share is stable, whatever it is: a flow gets of the path what it has of the queue. Two things end that:
//! - Outside of probes a flow sends no faster than it is delivered. The queue stops growing, and Up finds room in its window.
//! - Up goes on until the path is full by what comes back (§5.3.3.6): what is in flight is of no use as a sign where the queue alone is
//!   more than a probe adds. That lasts several rounds, in which a small flow grows by a larger part than a large one.

use std::time::Duration;

use super::Bbr;
use crate::tcp::congestion::Acked;

impl Bbr {
    /// Whether there is a queue that is longer than what a probe of one flow leaves.
    pub(super) fn is_crowded(&self, acked: &Acked) -> bool {
        self.delay.lowest().is_some_and(|lowest| acked.round_trip_smoothed > with_probe(lowest))
    }

    /// Sends no faster than was delivered in the last round, until the next probe.
    pub(super) fn settle_short(&mut self) {
        self.bandwidth_short = self.bandwidth_short.min(self.bandwidth.latest());
    }

    /// Goes down once three rounds brought little more, unless the bound that is being raised was what held them back.
    pub(super) fn step_up_crowded(&mut self, acked: &Acked) {
        if acked.is_window_limited && self.window >= self.inflight_long {
            self.full.restart(acked);
        } else if self.full.has_stopped_growing() {
            self.begin_down_at(acked.now);
        }
    }
}

/// The round-trip time on a path of `lowest` on which Up has sent for one round trip.
fn with_probe(lowest: Duration) -> Duration {
    lowest + lowest / 4
}
