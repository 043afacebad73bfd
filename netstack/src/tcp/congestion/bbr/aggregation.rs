//! How much more is acknowledged at once than the rate says: what links and receivers hold back and then let go.
//!
//! The rate is the highest that was delivered, not the one that congestion allows at present, which the draft takes: against a bound below
//! what is delivered everything looks held back, and the window would grow by what the bound is there to take.

use crate::tcp::congestion::Acked;
use crate::tcp::moment::Moment;
use crate::tcp::rate::bytes_in;

/// The most of the last ten rounds, in two halves.
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    began: Moment,
    delivered: u64,
    current: u64,
    previous: u64,
    rounds: u32,
}

impl Aggregation {
    /// Bytes that the window must hold more, so that such a pause does not idle the path.
    pub(super) fn extra(&self) -> u64 {
        self.current.max(self.previous)
    }

    pub(super) fn restart(&mut self, now: Moment) {
        self.began = now;
        self.delivered = 0;
    }

    pub(super) fn handle_acked(
        &mut self,
        acked: &Acked,
        bandwidth: u64,
        round_has_begun: bool,
        window: u64,
    ) {
        if round_has_begun {
            self.rounds += 1;
            if self.rounds >= HALF_ROUNDS {
                self.rounds = 0;
                self.previous = std::mem::take(&mut self.current);
            }
        }
        let expected = bytes_in(acked.now.since(self.began), bandwidth);
        if self.delivered <= expected {
            self.restart(acked.now);
            self.delivered = acked.delivered_bytes;
            self.current = self.current.max(self.delivered.min(window) / 2);
            return;
        }
        self.delivered += acked.delivered_bytes;
        let extra = self.delivered.saturating_sub(expected).min(window);
        self.current = self.current.max(extra);
    }
}

const HALF_ROUNDS: u32 = 5;
