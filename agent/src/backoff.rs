//! How long to wait before the next attempt: full jitter, doubling up to a minute, for ever.
//!
//! The first wait is between nothing and a second, so that ten thousand agents of one relay do not return at once.

use std::time::Duration;

/// Waits between attempts. Randomness comes from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: FIRST }
    }
}

impl Backoff {
    /// The wait before the next attempt; `random` is uniform in 0.0..1.0.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let wait = self.ceiling.mul_f64(random.clamp(0.0, 1.0));
        self.ceiling = (self.ceiling * 2).min(CAP);
        wait
    }

    /// The last attempt worked, or the world has changed.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_again_after_a_reset() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);

        backoff.reset();
        assert_eq!(backoff.next(1.0), FIRST);
    }

    #[test]
    fn a_wait_lies_anywhere_below_its_ceiling() {
        assert_eq!(Backoff::default().next(0.0), Duration::ZERO);
        assert_eq!(Backoff::default().next(0.5), Duration::from_millis(500));
    }
}
