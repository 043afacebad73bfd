//! Round-trip time and the retransmission timeout.
//!
//! Source: RFC 6298, with a floor of 200 ms as Linux has it, and microseconds instead of clock ticks.

use std::time::Duration;

use super::moment::Moment;

/// Smoothed round-trip time of a connection.
#[derive(Debug, Clone)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    /// The least of the last minutes, for RACK (RFC 8985 §6.1).
    lowest: Windowed,
    /// Timeouts in a row.
    backoff: u32,
    /// Follows from the others; every segment asks for it.
    timeout: Duration,
}

/// A minimum over a window of time, in two halves.
#[derive(Debug, Clone, Copy)]
struct Windowed {
    current: Duration,
    previous: Duration,
    began: Moment,
}

impl Default for RoundTrip {
    fn default() -> Self {
        let lowest =
            Windowed { current: Duration::MAX, previous: Duration::MAX, began: Moment::default() };
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            lowest,
            backoff: 0,
            timeout: TIMEOUT_INITIAL,
        }
    }
}

impl RoundTrip {
    /// Takes a measurement (RFC 6298 §2.2, §2.3).
    pub(crate) fn sample(&mut self, measured: Duration, now: Moment) {
        let measured = measured.max(Duration::from_micros(1));
        self.lowest.sample(measured, now);
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(measured);
            self.variation = measured / 2;
            self.set_timeout();
            return;
        };
        self.variation = (self.variation * 3 + smoothed.abs_diff(measured)) / 4;
        self.smoothed = Some((smoothed * 7 + measured) / 8);
        self.set_timeout();
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The least that was measured lately; a second before any measurement.
    pub(crate) fn lowest(&self) -> Duration {
        self.smoothed.map_or(TIMEOUT_INITIAL, |_| self.lowest.value())
    }

    /// How long to wait for an acknowledgment, doubled for each timeout in a row (RFC 6298 §2.4, §5.5).
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Timeouts since something was last acknowledged.
    pub(crate) fn timeouts(&self) -> u32 {
        self.backoff
    }

    pub(crate) fn note_timeout(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.set_timeout();
    }

    /// Something new was acknowledged (RFC 6298 §5.7, as in practice: progress ends the back-off).
    pub(crate) fn note_progress(&mut self) {
        self.end_backoff();
    }

    /// Waits as long as at first.
    pub(crate) fn end_backoff(&mut self) {
        if std::mem::take(&mut self.backoff) > 0 {
            self.set_timeout();
        }
    }

    fn set_timeout(&mut self) {
        let base = self.smoothed.map_or(TIMEOUT_INITIAL, |smoothed| {
            (smoothed + (self.variation * 4).max(TIMEOUT_MIN)).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
        });
        self.timeout = (base * (1 << self.backoff.min(BACKOFF_DOUBLINGS_MAX))).min(TIMEOUT_MAX);
    }
}

impl Windowed {
    fn sample(&mut self, measured: Duration, now: Moment) {
        if now.since(self.began) > LOWEST_WINDOW / 2 {
            self.previous = self.current;
            self.current = Duration::MAX;
            self.began = now;
        }
        self.current = self.current.min(measured);
    }

    fn value(&self) -> Duration {
        self.current.min(self.previous)
    }
}

const TIMEOUT_INITIAL: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const BACKOFF_DOUBLINGS_MAX: u32 = 8;
const LOWEST_WINDOW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_timeout_follows_rfc_6298() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(), ms(1000), "§2.1");
        round_trip.sample(ms(400), Moment::default());
        assert_eq!(round_trip.timeout(), ms(400 + 4 * 200), "§2.2");
        round_trip.sample(ms(400), Moment::default());
        assert_eq!(round_trip.timeout(), ms(400 + 4 * 150), "§2.3");
    }

    #[test]
    fn each_timeout_doubles_it_and_progress_ends_that() {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(ms(10), Moment::default());
        let base = round_trip.timeout();
        assert_eq!(base, ms(210), "the floor stands for the variation");
        round_trip.note_timeout();
        round_trip.note_timeout();
        assert_eq!(round_trip.timeout(), base * 4, "§5.5");
        (0..20).for_each(|_| round_trip.note_timeout());
        assert_eq!(round_trip.timeout(), base * 256);
        round_trip.note_progress();
        assert_eq!(round_trip.timeout(), base);
    }
}
