//! Time as the engine counts it: nanoseconds since the stack began.
//!
//! Eight bytes instead of sixteen, of which a scoreboard holds three a segment.

use std::time::{Duration, Instant};

/// A point in time. Only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(u64);

impl Moment {
    /// `instant`, seen from `epoch`; what lies before it counts as the epoch itself.
    pub(crate) fn at(instant: Instant, epoch: Instant) -> Self {
        let nanos = instant.saturating_duration_since(epoch).as_nanos();
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Back to the caller's clock.
    pub(crate) fn instant(self, epoch: Instant) -> Instant {
        epoch + Duration::from_nanos(self.0)
    }

    /// Time passed since `earlier`; none if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This much later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// This much earlier, not before the epoch.
    pub(crate) fn before(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// The first of those that are there. In place: an iterator over the array would copy it for each segment, wider than it was written.
    pub(crate) fn earliest<const COUNT: usize>(moments: [Option<Self>; COUNT]) -> Option<Self> {
        let mut first = None;
        for moment in &moments {
            match (first, *moment) {
                (Some(earliest), Some(moment)) if earliest <= moment => {}
                (_, None) => {}
                (_, later) => first = later,
            }
        }
        first
    }

    /// Whole units of `unit` since the epoch, as the timestamps option counts them: modulo 2^32.
    pub(crate) fn ticks(self, unit: Duration) -> u32 {
        let unit = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX).max(1);
        u32::try_from((self.0 / unit) & u64::from(u32::MAX)).unwrap_or(0)
    }
}
