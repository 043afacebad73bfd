//! Cubic: the window grows as a cubic function of the time since the last loss.
//!
//! Slow start is watched by HyStart++, recovery goes by proportional rate reduction. Segments are paced at twice the window a round trip in
//! slow start, at 1.2 times after. Source: RFC 9438.

use std::time::Duration;

use super::hystart::{Growth, SlowStart};
use super::prr::Reduction;
use super::{Acked, Controller, LostSegment, ROUND_TRIP_UNKNOWN, initial_window, scale, share};
use crate::tcp::moment::Moment;
use crate::tcp::rate::per_second;

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Cubic {
    mss: u64,
    window: u64,
    threshold: u64,
    slow_start: Option<SlowStart>,
    /// The window before the last reduction.
    window_max: u64,
    epoch: Option<Epoch>,
    reduction: Option<Reduction>,
    round_trip: Duration,
    /// What a spurious loss gives back: window, threshold, window before the last reduction.
    before: (u64, u64, u64),
}

/// Since when the window grows.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    began: Moment,
    /// Seconds until the window is what it was before the loss.
    inflection: f64,
    /// What Reno would have.
    reno: f64,
    /// Where the window stood at the beginning.
    began_with: u64,
}

impl Cubic {
    pub(crate) fn new(mss: u64) -> Self {
        let window = initial_window(mss);
        Self {
            mss,
            window,
            threshold: u64::MAX,
            slow_start: Some(SlowStart::new()),
            window_max: 0,
            epoch: None,
            reduction: None,
            round_trip: ROUND_TRIP_UNKNOWN,
            before: (window, u64::MAX, 0),
        }
    }

    /// Multiplicative decrease with fast convergence (RFC 9438 §4.6, §4.7).
    fn reduce(&mut self, in_flight: u64) {
        self.before = (self.window, self.threshold, self.window_max);
        let fast_convergence = self.window < self.window_max;
        self.window_max =
            if fast_convergence { scale(self.window, (1.0 + BETA) / 2.0) } else { self.window };
        self.threshold =
            scale(self.window.min(in_flight.max(self.window / 2)), BETA).max(2 * self.mss);
        self.epoch = None;
        self.slow_start = None;
    }

    fn grow_slowly_started(&mut self, acked: &Acked) {
        let growth = self.slow_start.as_mut().map_or(Growth::Full, |slow_start| {
            slow_start.handle_acked(acked.round_trip, acked.delivered_total, acked.in_flight)
        });
        match growth {
            Growth::Full => self.window += acked.delivered_bytes,
            Growth::Quarter => self.window += acked.delivered_bytes / 4,
            Growth::Over => self.threshold = self.window,
        }
        if self.window >= self.threshold {
            self.slow_start = None;
        }
    }

    /// RFC 9438 §4.2 to §4.5.
    fn grow_in_avoidance(&mut self, acked: &Acked) {
        let (window, window_max, mss) = (self.window, self.window_max, self.mss);
        let epoch =
            self.epoch.get_or_insert_with(|| Epoch::new(window, window_max, mss, acked.now));
        let elapsed = (acked.now.since(epoch.began) + acked.round_trip_smoothed).as_secs_f64();
        let plateau = window_max.max(epoch.began_with);
        let cubic = share(plateau, mss) + C * (elapsed - epoch.inflection).powi(3);
        let alpha = if epoch.reno >= share(window_max, mss) { 1.0 } else { ALPHA };
        epoch.reno += alpha * share(acked.delivered_bytes, window);
        let target = cubic.max(epoch.reno).min(share(window, mss) * 1.5);
        let growth = (target - share(window, mss)).max(0.0) * share(acked.delivered_bytes, window);
        self.window += scale(mss, growth).min(acked.delivered_bytes);
    }
}

impl Epoch {
    fn new(window: u64, window_max: u64, mss: u64, began: Moment) -> Self {
        let missing = share(window_max.saturating_sub(window), mss);
        Self {
            began,
            inflection: (missing / C).cbrt(),
            reno: share(window, mss),
            began_with: window,
        }
    }
}

impl Controller for Cubic {
    fn limit_mss(&mut self, mss: u64) {
        let is_first = self.window <= initial_window(self.mss);
        self.mss = mss;
        if is_first {
            self.window = self.window.min(initial_window(mss));
        }
    }

    fn handle_loss(&mut self, _: &LostSegment) {}

    fn handle_recovery(&mut self, in_flight: u64, _: Moment) {
        self.reduce(in_flight);
        self.reduction = Some(Reduction::new(in_flight));
    }

    fn handle_recovered(&mut self) {
        if self.reduction.take().is_some() {
            self.window = self.threshold;
        }
    }

    fn handle_timeout(&mut self, _: Moment) {
        self.reduce(self.window);
        self.window = self.mss;
        self.reduction = None;
        self.slow_start = Some(SlowStart::new());
    }

    fn handle_spurious(&mut self) {
        (self.window, self.threshold, self.window_max) = self.before;
        self.reduction = None;
        self.epoch = None;
    }

    fn handle_acked(&mut self, acked: &Acked) {
        self.round_trip = acked.round_trip_smoothed;
        if acked.is_marked && self.reduction.is_none() {
            self.reduce(acked.in_flight);
            self.window = self.threshold;
        }
        if let Some(reduction) = &mut self.reduction {
            let (in_flight, threshold) = (acked.in_flight, self.threshold);
            self.window = reduction.window(acked.delivered_bytes, in_flight, threshold, self.mss);
            return;
        }
        if !acked.is_window_limited {
            return;
        }
        if self.window < self.threshold {
            self.grow_slowly_started(acked);
        } else {
            self.grow_in_avoidance(acked);
        }
    }

    fn handle_restart(&mut self, _: Moment) {
        // RFC 9438 §5.8: time without sending is no time in which the window grew.
        self.epoch = None;
        self.window = self.window.min(initial_window(self.mss).max(self.window / 2));
    }

    fn handle_sent(&mut self, bytes: u64) {
        if let Some(reduction) = &mut self.reduction {
            reduction.note_sent(bytes);
        }
    }

    fn window_bytes(&self) -> u64 {
        self.window.max(self.mss)
    }

    fn bytes_per_second(&self) -> u64 {
        let gain = if self.window < self.threshold { 2.0 } else { 1.2 };
        scale(per_second(self.window.max(2 * self.mss), self.round_trip), gain)
    }
}

/// Multiplicative decrease.
const BETA: f64 = 0.7;
/// Segments per second cubed.
const C: f64 = 0.4;
/// Reno's growth that goes with [`BETA`] (RFC 9438 §4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1_000;

    fn acked(cubic: &Cubic, at: Moment) -> Acked {
        Acked {
            now: at,
            delivered_bytes: cubic.window_bytes(),
            delivered_total: 0,
            in_flight_before: cubic.window_bytes(),
            in_flight: cubic.window_bytes(),
            round_trip: None,
            round_trip_smoothed: Duration::from_millis(100),
            rate: None,
            is_window_limited: true,
            is_marked: false,
        }
    }

    #[test]
    fn the_window_returns_to_what_it_was_after_the_time_of_the_formula() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 100 * MSS;
        cubic.handle_recovery(100 * MSS, Moment::default());
        cubic.handle_recovered();
        assert_eq!(cubic.window_bytes(), 70 * MSS, "RFC 9438 §4.6");
        // K = cbrt(30 / 0.4) = 4.2 s.
        let mut now = Moment::default();
        let mut returned = None;
        for round in 0..100 {
            now = now.after(Duration::from_millis(100));
            cubic.handle_acked(&acked(&cubic, now));
            if cubic.window_bytes() >= 99 * MSS && returned.is_none() {
                returned = Some(round);
            }
        }
        assert!(returned.is_some_and(|round| (28..=46).contains(&round)), "{returned:?}");
    }

    #[test]
    fn a_spurious_loss_is_taken_back() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 50 * MSS;
        cubic.handle_timeout(Moment::default());
        assert_eq!(cubic.window_bytes(), MSS);
        cubic.handle_spurious();
        assert_eq!(cubic.window_bytes(), 50 * MSS);
    }

    #[test]
    fn shorter_segments_make_the_first_window_smaller_and_leave_a_grown_one() {
        let mut cubic = Cubic::new(MSS);
        cubic.limit_mss(MSS / 2);
        assert_eq!(cubic.window_bytes(), 5 * MSS);
        cubic.window = 50 * MSS;
        cubic.limit_mss(MSS / 4);
        assert_eq!(cubic.window_bytes(), 50 * MSS);
    }

    #[test]
    fn what_does_not_use_the_window_does_not_grow_it() {
        let mut cubic = Cubic::new(MSS);
        let idle = Acked { is_window_limited: false, ..acked(&cubic, Moment::default()) };
        cubic.handle_acked(&idle);
        assert_eq!(cubic.window_bytes(), 10 * MSS);
    }
}
