//! What the link does to packets.

use std::fmt;
use std::time::Duration;

/// Settings of the link, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Rate of the bottleneck, headers of IP included.
    pub megabits_per_second: u32,
    /// Both directions together, without waiting in the queue.
    pub round_trip: Duration,
    /// Longest wait in front of the bottleneck; what would wait longer is dropped.
    pub queue: Duration,
    /// Share of the packets that is lost behind the bottleneck.
    pub loss_percent: f64,
    /// Share of the packets that three later ones overtake.
    pub reorder_percent: f64,
}

impl Conditions {
    /// A faultless link with a queue of 20 ms.
    #[must_use]
    pub const fn new(megabits_per_second: u32, round_trip_ms: u64) -> Self {
        Self {
            megabits_per_second,
            round_trip: Duration::from_millis(round_trip_ms),
            queue: Duration::from_millis(QUEUE_MS),
            loss_percent: 0.0,
            reorder_percent: 0.0,
        }
    }

    /// The same with random loss.
    #[must_use]
    pub const fn loss(self, loss_percent: f64) -> Self {
        Self { loss_percent, ..self }
    }

    /// The same with reordering.
    #[must_use]
    pub const fn reorder(self, reorder_percent: f64) -> Self {
        Self { reorder_percent, ..self }
    }

    /// The same with another queue.
    #[must_use]
    pub const fn queue(self, queue_ms: u64) -> Self {
        Self { queue: Duration::from_millis(queue_ms), ..self }
    }

    /// How long the bottleneck is busy with a packet.
    pub(crate) fn serialisation(&self, bytes: usize) -> Duration {
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX) * 8;
        Duration::from_nanos(bits * 1000 / u64::from(self.megabits_per_second))
    }
}

/// As cells are named: `100m-20ms-loss1`.
impl fmt::Display for Conditions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}m-{}ms", self.megabits_per_second, self.round_trip.as_millis())?;
        if self.queue != Duration::from_millis(QUEUE_MS) {
            write!(formatter, "-queue{}", self.queue.as_millis())?;
        }
        if self.loss_percent > 0.0 {
            write!(formatter, "-loss{}", self.loss_percent)?;
        }
        if self.reorder_percent > 0.0 {
            write!(formatter, "-reorder{}", self.reorder_percent)?;
        }
        Ok(())
    }
}

const QUEUE_MS: u64 = 20;
