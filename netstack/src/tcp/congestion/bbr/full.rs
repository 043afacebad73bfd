//! Whether the rate still grows.

use crate::tcp::congestion::{Acked, scale};

/// A pipe is full when three rounds in a row did not deliver a quarter more.
#[derive(Debug, Default)]
pub(super) struct FullPipe {
    is_full: bool,
    /// As of the last reset.
    has_stopped_growing: bool,
    highest: u64,
    rounds: u32,
}

impl FullPipe {
    /// Whether the pipe was ever full.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn has_stopped_growing(&self) -> bool {
        self.has_stopped_growing
    }

    pub(super) fn note_full(&mut self) {
        self.is_full = true;
    }

    /// Begins to watch growth anew.
    pub(super) fn reset(&mut self) {
        self.has_stopped_growing = false;
        self.highest = 0;
        self.rounds = 0;
    }

    /// Something else than the path has held the rate back so far.
    pub(super) fn restart(&mut self, acked: &Acked) {
        self.has_stopped_growing = false;
        self.highest = acked.rate.map_or(0, |rate| rate.bytes_per_second);
        self.rounds = 0;
    }

    pub(super) fn handle_round(&mut self, acked: &Acked, bandwidth: u64) {
        let Some(rate) = acked.rate else { return };
        if self.has_stopped_growing || rate.is_app_limited {
            return;
        }
        if bandwidth >= scale(self.highest, GROWTH) {
            self.highest = bandwidth;
            self.rounds = 0;
            return;
        }
        self.rounds += 1;
        if self.rounds >= ROUNDS {
            self.has_stopped_growing = true;
            self.is_full = true;
        }
    }
}

const GROWTH: f64 = 1.25;
const ROUNDS: u32 = 3;
