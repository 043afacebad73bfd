//! The highest rate delivered in this probing cycle and the last.

use crate::tcp::rate::RateSample;

/// Rates in bytes a second.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    current: u64,
    previous: u64,
    /// Of the round that goes on, and of the round before.
    running: Latest,
    latest: Latest,
}

/// The most that one round delivered.
#[derive(Debug, Default, Clone, Copy)]
struct Latest {
    bandwidth: u64,
    inflight: u64,
}

impl Bandwidth {
    pub(super) fn sample(&mut self, bytes_per_second: u64) {
        self.current = self.current.max(bytes_per_second);
    }

    pub(super) fn highest(&self) -> u64 {
        self.current.max(self.previous)
    }

    /// A probing cycle is over: the rates of the one before the last no longer count.
    pub(super) fn advance(&mut self) {
        if self.current > 0 {
            self.previous = std::mem::take(&mut self.current);
        }
    }

    pub(super) fn note_latest(&mut self, rate: &RateSample) {
        self.running.bandwidth = self.running.bandwidth.max(rate.bytes_per_second);
        self.running.inflight = self.running.inflight.max(rate.delivered_bytes);
    }

    pub(super) fn end_round(&mut self, has_ended: bool) {
        if has_ended {
            self.latest = std::mem::take(&mut self.running);
        }
    }

    /// The highest rate of the last round.
    pub(super) fn latest(&self) -> u64 {
        self.latest.bandwidth.max(self.running.bandwidth)
    }

    /// The most delivered in one round trip of the last round.
    pub(super) fn inflight_latest(&self) -> u64 {
        self.latest.inflight.max(self.running.inflight)
    }
}
