//! A model of the path: how fast it delivers, how long it takes, how much it holds.
//!
//! In the family of BBRv3 (draft-ietf-ccwg-bbr-04, whose sections are named): the rate sent at follows the highest rate delivered lately,
//! the amount in flight the product of that rate and the lowest round-trip time; both are probed now and then, and congestion sets bounds
//! to both.
//!
//! ```text
//! Startup ─full─▶ Drain ─▶ Down ─▶ Cruise ─▶ Refill ─▶ Up ─▶ Down …      any ─▶ ProbeRtt ─▶ back
//! ```
//! | part | knows |
//! |---|---|
//! | [`bandwidth`] | the highest rate delivered in the last two cycles |
//! | [`delay`] | the lowest round-trip time, and when to look for a lower one |
//! | [`aggregation`] | how much more arrives at once than the rate says |
//! | [`losses`] | which losses are of our making |
//! | [`full`] | whether the rate still grows |
//! | [`cycle`] | which state comes when |
//! | [`crowd`] | what is different where others fill the queue as well |
//!
//! It differs from the draft in what counts as congestion. A path that loses a steady share whether it is loaded or not (radio, a long
//! bad line) has that share taken as its nature and subtracted; what is left counts where the round-trip time shows a queue, or where it
//! is so much that no line would do it by itself. The draft backs off at two percent, whatever the cause.
//!
//! It differs also in how long Up lasts: as long as the draft says (§5.3.3.6) only in a crowd, which [`crowd`] defines and the draft does
//! not know. A flow alone goes down once a quarter more than the path holds is in flight: its queue would be all that grows.

mod aggregation;
mod bandwidth;
mod crowd;
mod cycle;
mod delay;
mod full;
mod losses;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Acked, Controller, LostSegment, ROUND_TRIP_UNKNOWN, initial_window, scale};
use crate::tcp::moment::Moment;
use crate::tcp::rate::{bytes_in, per_second};
use aggregation::Aggregation;
use bandwidth::Bandwidth;
use cycle::{Cycle, Phase};
use delay::Delay;
use full::FullPipe;
use losses::Losses;

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Bbr {
    mss: u64,
    phase: Phase,
    rounds: Rounds,
    bandwidth: Bandwidth,
    delay: Delay,
    aggregation: Aggregation,
    losses: Losses,
    full: FullPipe,
    cycle: Cycle,
    /// What congestion allows in flight until the next probe, and at what rate.
    inflight_short: u64,
    bandwidth_short: u64,
    /// What was found to be safe in flight; probed upwards.
    inflight_long: u64,
    window: u64,
    /// The window to come back to after recovery or ProbeRtt.
    window_saved: u64,
    rate: u64,
    /// The rate is of the path, not a guess.
    has_rate: bool,
    random: SmallRng,
}

/// Round trips, counted by what is delivered.
#[derive(Debug, Default)]
struct Rounds {
    count: u64,
    ends_at: u64,
    delivered_total: u64,
    has_begun: bool,
}

impl Rounds {
    /// A round is over when a segment sent after its beginning is delivered.
    fn handle_acked(&mut self, acked: &Acked) {
        self.delivered_total = acked.delivered_total;
        self.has_begun = acked.rate.is_some_and(|rate| rate.sent.delivered_bytes >= self.ends_at);
        if self.has_begun {
            self.count += 1;
            self.begin();
        }
    }

    fn begin(&mut self) {
        self.ends_at = self.delivered_total;
    }
}

impl Bbr {
    pub(crate) fn new(mss: u64, seed: u64) -> Self {
        let window = initial_window(mss);
        Self {
            mss,
            phase: Phase::Startup,
            rounds: Rounds::default(),
            bandwidth: Bandwidth::default(),
            delay: Delay::default(),
            aggregation: Aggregation::default(),
            losses: Losses::default(),
            full: FullPipe::default(),
            cycle: Cycle::default(),
            inflight_short: u64::MAX,
            bandwidth_short: u64::MAX,
            inflight_long: u64::MAX,
            window,
            window_saved: 0,
            rate: scale(per_second(window, ROUND_TRIP_UNKNOWN), Phase::Startup.pacing_gain()),
            has_rate: false,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// The rate that the model allows at present.
    fn bandwidth_now(&self) -> u64 {
        self.bandwidth.highest().min(self.bandwidth_short)
    }

    /// Bytes in flight that fill the path `gain` times at the highest rate.
    fn inflight(&self, bandwidth: u64, gain: f64) -> u64 {
        let Some(lowest) = self.delay.lowest() else { return initial_window(self.mss) };
        scale(bytes_in(lowest, bandwidth), gain)
    }

    /// As [`Self::inflight`], with room for what stands in send quanta and in the receiver's delayed acknowledgments.
    fn inflight_budget(&self, gain: f64) -> u64 {
        let bytes = self.inflight(self.bandwidth_now(), gain).max(4 * self.mss);
        let quanta = 3 * self.quantum();
        bytes + quanta + if self.phase == Phase::Up { 2 * self.mss } else { 0 }
    }

    /// What is safe in flight with room left for others.
    fn inflight_with_headroom(&self) -> u64 {
        if self.inflight_long == u64::MAX {
            return u64::MAX;
        }
        let headroom = scale(self.inflight_long, HEADROOM).max(self.mss);
        self.inflight_long.saturating_sub(headroom).max(4 * self.mss)
    }

    fn quantum(&self) -> u64 {
        bytes_in(Duration::from_millis(1), self.rate).clamp(2 * self.mss, 64 * 1024)
    }

    fn update_model(&mut self, acked: &Acked) {
        self.rounds.handle_acked(acked);
        if let Some(rate) = acked.rate {
            let is_usable =
                !rate.is_app_limited || rate.bytes_per_second >= self.bandwidth.highest();
            self.bandwidth.note_latest(&rate);
            if is_usable {
                self.bandwidth.sample(rate.bytes_per_second);
            }
        }
        let bandwidth = self.bandwidth.highest();
        self.aggregation.handle_acked(acked, bandwidth, self.rounds.has_begun, self.window);
        self.judge_losses(acked);
        self.bandwidth.end_round(self.losses.round_has_ended);
        if self.rounds.has_begun {
            self.full.handle_round(acked, self.bandwidth.highest());
        }
    }

    /// Once a round: was there congestion?
    fn judge_losses(&mut self, acked: &Acked) {
        let lowest = self.delay.lowest();
        let is_quiet = matches!(self.phase, Phase::Down | Phase::Cruise | Phase::Startup);
        self.losses.handle_acked(acked, lowest, is_quiet);
        if !self.losses.round_has_ended {
            return;
        }
        if !self.losses.is_congested() {
            self.adapt_short(acked);
            return;
        }
        match self.phase {
            Phase::Startup => self.end_startup_by_loss(),
            Phase::Up if self.losses.is_heavy() => self.note_too_much(acked.in_flight_before),
            Phase::Refill | Phase::Up => {}
            // Still what Startup or Up has sent.
            Phase::Drain => {}
            Phase::Down if self.cycle.is_stopping() => {}
            Phase::Down | Phase::Cruise | Phase::ProbeRtt { .. } => self.lower_short(),
        }
    }

    /// The pipe overflows before the rate stopped to grow.
    fn end_startup_by_loss(&mut self) {
        self.full.note_full();
        let filled = self.inflight(self.bandwidth.highest(), 1.0);
        self.inflight_long = filled.max(self.bandwidth.inflight_latest());
    }

    fn lower_short(&mut self) {
        if self.bandwidth_short == u64::MAX {
            self.bandwidth_short = self.bandwidth.highest();
        }
        if self.inflight_short == u64::MAX {
            self.inflight_short = self.window;
        }
        let (bandwidth, inflight) = (self.bandwidth_short, self.inflight_short);
        self.bandwidth_short = self.bandwidth.latest().max(scale(bandwidth, BETA));
        self.inflight_short = self.bandwidth.inflight_latest().max(scale(inflight, BETA));
    }

    /// After a round without congestion.
    fn adapt_short(&mut self, acked: &Acked) {
        let is_at_ease = matches!(self.phase, Phase::Down | Phase::Cruise);
        if is_at_ease && self.losses.has_queue() && self.is_crowded(acked) {
            self.settle_short();
        } else {
            self.relax_short();
        }
    }

    /// A round without congestion or queue takes an eighth of what the bounds hold back.
    fn relax_short(&mut self) {
        let (highest, window) = (self.bandwidth.highest(), self.inflight_budget(2.0));
        if self.losses.has_queue() || self.bandwidth_short >= highest {
            return;
        }
        self.bandwidth_short += (highest - self.bandwidth_short) / 8 + 1;
        self.inflight_short += window.saturating_sub(self.inflight_short) / 8;
    }

    fn reset_short(&mut self) {
        self.bandwidth_short = u64::MAX;
        self.inflight_short = u64::MAX;
    }

    /// `in_flight` was too much for the path.
    fn note_too_much(&mut self, in_flight: u64) {
        self.cycle.is_sampling = false;
        let target = self.inflight(self.bandwidth_now(), 1.0).min(self.window);
        self.inflight_long = in_flight.max(scale(target, BETA));
        if self.phase == Phase::Up {
            self.begin_down();
        }
    }

    fn set_rate(&mut self, acked: &Acked) {
        if let Some(measured) = acked.round_trip.filter(|_| !self.has_rate) {
            self.has_rate = true;
            self.rate = scale(per_second(self.window, measured), self.phase.pacing_gain());
        }
        let gain = self.phase.pacing_gain();
        let rate = scale(self.bandwidth_now(), gain * (1.0 - PACING_MARGIN));
        if self.full.is_full() || rate > self.rate {
            self.rate = rate.max(RATE_MIN);
        }
    }

    fn set_window(&mut self, acked: &Acked) {
        let target = self.inflight_budget(self.phase.window_gain()) + self.aggregation.extra();
        if self.full.is_full() {
            self.window = (self.window + acked.delivered_bytes).min(target);
        } else if self.window < target || acked.delivered_total < initial_window(self.mss) {
            self.window += acked.delivered_bytes;
        }
        let bound = self.window_bound().min(self.inflight_short).max(4 * self.mss);
        self.window = self.window.clamp(4 * self.mss, bound);
    }

    fn window_bound(&self) -> u64 {
        match self.phase {
            Phase::Startup | Phase::Drain => u64::MAX,
            Phase::Down | Phase::Refill | Phase::Up => self.inflight_long,
            Phase::Cruise => self.inflight_with_headroom(),
            Phase::ProbeRtt { .. } => self
                .inflight(self.bandwidth_now(), PROBE_RTT_GAIN)
                .min(self.inflight_with_headroom()),
        }
    }
}

impl Controller for Bbr {
    fn limit_mss(&mut self, mss: u64) {
        let is_first = self.window <= initial_window(self.mss);
        self.mss = mss;
        if is_first {
            self.window = self.window.min(initial_window(mss));
        }
        if !self.has_rate {
            let guess = per_second(self.window, ROUND_TRIP_UNKNOWN);
            self.rate = scale(guess, Phase::Startup.pacing_gain());
        }
    }

    fn handle_loss(&mut self, lost: &LostSegment) {
        self.losses.handle_loss(lost.bytes);
        let share_allowed = self.losses.threshold();
        let is_too_much = lost.lost_since_sending
            > scale(lost.in_flight_at_sending, share_allowed).max(2 * self.mss);
        if self.cycle.is_sampling && is_too_much && self.losses.has_queue() {
            self.note_too_much(lost.in_flight_at_sending.saturating_sub(lost.lost_since_sending));
        }
    }

    fn handle_recovery(&mut self, _: u64, _: Moment) {}

    fn handle_recovered(&mut self) {
        self.window = self.window.max(self.window_saved);
        self.window_saved = 0;
    }

    fn handle_timeout(&mut self, _: Moment) {
        self.window_saved = self.window_saved.max(self.window);
        self.window = 4 * self.mss;
    }

    fn handle_spurious(&mut self) {
        self.handle_recovered();
        self.reset_short();
    }

    fn handle_acked(&mut self, acked: &Acked) {
        self.update_model(acked);
        self.step(acked);
        self.delay.handle_acked(acked);
        self.step_probe_rtt(acked);
        self.set_rate(acked);
        self.set_window(acked);
    }

    fn handle_restart(&mut self, now: Moment) {
        self.aggregation.restart(now);
        self.delay.note_restart();
        if self.phase.is_probing_bandwidth() {
            self.rate = self.bandwidth_now().max(RATE_MIN);
        }
    }

    fn handle_sent(&mut self, _: u64) {}

    fn window_bytes(&self) -> u64 {
        self.window
    }

    fn bytes_per_second(&self) -> u64 {
        self.rate
    }
}

/// Share of what is safe in flight that is left free for others.
const HEADROOM: f64 = 0.15;
/// What congestion leaves of a bound.
const BETA: f64 = 0.7;
/// Paced this much below the rate, so that a queue drains.
const PACING_MARGIN: f64 = 0.01;
const PROBE_RTT_GAIN: f64 = 0.5;
/// Bytes a second at which even a dead path is tried.
const RATE_MIN: u64 = 4_000;
