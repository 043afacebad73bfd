//! How often something may happen: one token bucket for every room.
//!
//! A bucket is the time at which it will be full again, so that it takes 16 bytes and nothing runs while it fills (the generic cell rate algorithm, ITU-T
//! I.371). Time is an argument; nothing here reads a clock.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    tokens: u32,
    period: Duration,
    burst: u32,
}

impl Rate {
    /// `tokens` every `period`, all of them at once if need be. With 0 `tokens` a year goes by for each.
    pub const fn new(tokens: u32, period: Duration) -> Self {
        Self { tokens, period, burst: tokens }
    }

    /// `tokens` every second, all of them at once if need be.
    pub const fn per_second(tokens: u32) -> Self {
        Self::new(tokens, Duration::from_secs(1))
    }

    /// The same with `burst` tokens at once.
    #[must_use]
    pub const fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// How long it takes until `tokens` have come.
    fn time_of(self, tokens: u32) -> Duration {
        let nanoseconds = self.period.as_nanos() * u128::from(tokens);
        match nanoseconds.checked_div(self.tokens.into()) {
            Some(nanoseconds) => {
                Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
            }
            None => YEAR * tokens,
        }
    }
}

/// Tokens of one caller. It begins full.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// `None` for one that was never used.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes `tokens` if they are there, or none.
    pub fn take(&mut self, tokens: u32, rate: Rate, now: Instant) -> bool {
        let holds = self.holds(tokens, rate, now);
        if holds {
            self.full_at = Some(self.full_at(now) + rate.time_of(tokens));
        }
        holds
    }

    /// Returns true if `tokens` are there.
    pub fn holds(&self, tokens: u32, rate: Rate, now: Instant) -> bool {
        self.missing(now) + rate.time_of(tokens) <= rate.time_of(rate.burst)
    }

    /// Takes `tokens`, or what is there of them: debt does not pile up.
    pub fn charge(&mut self, tokens: u32, rate: Rate, now: Instant) {
        let charged = self.missing(now) + rate.time_of(tokens);
        self.full_at = Some(now + charged.min(rate.time_of(rate.burst)));
    }

    /// When it was, or will be, full again: the less, the longer its caller was idle.
    pub fn full_at(&self, now: Instant) -> Instant {
        self.full_at.map_or(now, |full_at| full_at.max(now))
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at(now).saturating_duration_since(now)
    }
}

/// One token at a rate of none: longer than anything waits.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_second(10).with_burst(3);

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!((0..10).filter(|_| bucket.take(1, RATE, now)).count(), 3);
        assert!(!bucket.take(1, RATE, now + Duration::from_millis(99)));
        assert!(bucket.take(1, RATE, now + Duration::from_millis(100)));
        assert_eq!(
            (0..10).filter(|_| bucket.take(1, RATE, now + Duration::from_secs(9))).count(),
            3,
            "never more than the burst"
        );
    }

    #[test]
    fn several_tokens_are_taken_together_or_not_at_all() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert!(!bucket.take(4, RATE, now) && bucket.take(2, RATE, now));
        assert!(!bucket.take(2, RATE, now) && bucket.take(1, RATE, now));
        assert!(bucket.holds(0, RATE, now) && !bucket.holds(1, RATE, now));
    }

    #[test]
    fn bytes_are_counted_exactly() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let rate = Rate::per_second(64 << 20);
        let sent: u64 = (0..3_000_000_u64)
            .filter(|step| bucket.take(1_200, rate, start + Duration::from_micros(*step)))
            .map(|_| 1_200)
            .sum();
        let wanted = 4 * u64::from(64_u32 << 20);
        assert!(sent.abs_diff(wanted) < 10_000, "{sent}: what it held, and three seconds");
    }

    #[test]
    fn what_is_charged_empties_it_and_no_more() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        (0..100).for_each(|_| bucket.charge(1, RATE, now));
        assert!(!bucket.holds(1, RATE, now));
        assert!(bucket.holds(1, RATE, now + Duration::from_millis(100)));
    }

    #[test]
    fn a_rate_of_nothing_gives_the_burst_once() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let rate = Rate::per_second(0).with_burst(2);
        let day = now + Duration::from_secs(86_400);
        assert!(bucket.take(1, rate, now));
        assert!(bucket.take(1, rate, day) && !bucket.take(1, rate, day));
    }
}
