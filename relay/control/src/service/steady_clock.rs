//! Whether the machine's clock can be believed when something is to be deleted for its age.
//!
//! A clock that was wrong (a dead battery, a restored machine) is mended by a jump, usually soon after the start. So it counts once it has kept pace with
//! the monotonic clock for an hour.

use std::time::{Duration, Instant};

use bore_api::model::Micros;

/// Since when the clock keeps pace.
#[derive(Debug, Default)]
pub(super) struct SteadyClock(Option<(Instant, Micros)>);

impl SteadyClock {
    /// Looks at both clocks; returns true if the machine's has been steady for long enough.
    pub(super) fn is_steady(&mut self, monotonic: Instant, now: Micros) -> bool {
        let Some((since, began)) = self.0 else {
            self.0 = Some((monotonic, now));
            return false;
        };
        let steady_for = monotonic.saturating_duration_since(since);
        let expected = began.saturating_add(micros(steady_for));
        if now.abs_diff(expected) > DRIFT_MAX.as_micros().try_into().unwrap_or(u64::MAX) {
            self.0 = Some((monotonic, now));
            return false;
        }
        steady_for >= STEADY_FOR
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

const STEADY_FOR: Duration = Duration::from_secs(60 * 60);

/// What a machine that slept, or whose clock is steered slowly, may differ by.
const DRIFT_MAX: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_an_hour_after_its_last_jump() {
        let (mut clock, start) = (SteadyClock::default(), Instant::now());
        let minute = 60 * 1_000_000;
        let mut look = |minutes: u64, wall: i64| {
            clock.is_steady(start + Duration::from_secs(60 * minutes), wall * minute)
        };
        assert!(!look(0, 1_000));
        assert!(!look(59, 1_059));
        assert!(look(60, 1_065), "it is steered a little");
        assert!(!look(61, 900_000), "ahead");
        assert!(!look(90, 900_029));
        assert!(!look(91, 1_091), "mended");
        assert!(!look(150, 1_150));
        assert!(look(151, 1_151));
    }
}
