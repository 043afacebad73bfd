//! How exact the link's clock was: packets handed over after their time.

use std::time::Duration;

/// How late packets were handed over. What is late by more than 0.1 ms blurs the pacing of a sender.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lateness {
    packets: u64,
    late: u64,
    worst: Duration,
}

impl Lateness {
    pub(crate) fn add(&mut self, lateness: Duration) {
        self.packets += 1;
        self.late += u64::from(lateness > EXACT);
        self.worst = self.worst.max(lateness);
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            late: self.late + other.late,
            worst: self.worst.max(other.worst),
        }
    }

    /// Share of the packets that were late by more than 0.1 ms, in percent.
    #[must_use]
    pub fn late_percent(&self) -> f64 {
        crate::statistics::percent(self.late, self.packets)
    }

    /// The latest packet.
    #[must_use]
    pub fn worst(&self) -> Duration {
        self.worst
    }
}

const EXACT: Duration = Duration::from_micros(100);
