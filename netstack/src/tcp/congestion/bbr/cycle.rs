//! Which state comes when.

use std::time::Duration;

use rand::Rng;

use super::Bbr;
use crate::tcp::congestion::{Acked, scale};
use crate::tcp::moment::Moment;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The rate doubles each round trip.
    Startup,
    /// The queue of Startup empties.
    Drain,
    /// Less than the path delivers, so that the queue of Up empties.
    Down,
    /// As much as the path delivers.
    Cruise,
    /// As much as the path delivers, with bounds lifted, for one round.
    Refill,
    /// More than the path is known to deliver.
    Up,
    /// Little in flight, so that the lowest round-trip time shows.
    ProbeRtt {
        /// Set once little is in flight.
        done_at: Option<Moment>,
    },
}

impl Phase {
    pub(super) fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => 2.77,
            Self::Drain => 0.5,
            Self::Down => 0.9,
            Self::Cruise | Self::Refill | Self::ProbeRtt { .. } => 1.0,
            Self::Up => 1.25,
        }
    }

    pub(super) fn window_gain(self) -> f64 {
        match self {
            Self::Startup | Self::Drain | Self::Down | Self::Cruise | Self::Refill => 2.0,
            Self::Up => 2.25,
            Self::ProbeRtt { .. } => super::PROBE_RTT_GAIN,
        }
    }

    pub(super) fn is_probing_bandwidth(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }
}

/// Where in the cycle of probing the connection is.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    began: Moment,
    /// The highest rate at that time.
    began_at: u64,
    wait: Duration,
    rounds_since_probe: u64,
    /// Losses tell of what was probed.
    pub(super) is_sampling: bool,
    /// The first round of Down still delivers what Up sent.
    is_stopping: bool,
    /// Up has begun in a crowd.
    is_crowded: bool,
    /// Rounds of Up, and what is acknowledged since the safe amount last grew.
    up_rounds: u32,
    up_acked: u64,
}

impl Cycle {
    /// What Up has sent is still coming back.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

impl Bbr {
    /// Goes on to the next state when its time has come.
    pub(super) fn step(&mut self, acked: &Acked) {
        match self.phase {
            Phase::Startup if self.full.is_full() => self.phase = Phase::Drain,
            Phase::Drain if acked.in_flight <= self.inflight(self.bandwidth_now(), 1.0) => {
                self.begin_down_at(acked.now);
            }
            Phase::Startup | Phase::Drain | Phase::ProbeRtt { .. } => {}
            Phase::Down | Phase::Cruise | Phase::Refill | Phase::Up => self.step_probe(acked),
        }
    }

    fn step_probe(&mut self, acked: &Acked) {
        if self.rounds.has_begun {
            self.cycle.rounds_since_probe += 1;
            self.end_stopping(acked);
        }
        self.raise_long(acked);
        match self.phase {
            Phase::Down if self.is_time_to_probe(acked) => self.begin_refill(),
            Phase::Down if self.is_time_to_cruise(acked) => self.phase = Phase::Cruise,
            Phase::Cruise if self.is_time_to_probe(acked) => self.begin_refill(),
            Phase::Refill if self.rounds.has_begun => self.begin_up(acked),
            Phase::Up => self.step_up(acked),
            Phase::Startup | Phase::Drain | Phase::ProbeRtt { .. } => {}
            Phase::Down | Phase::Cruise | Phase::Refill => {}
        }
    }

    /// Down, from where the time of the last acknowledgment is known.
    pub(super) fn begin_down(&mut self) {
        self.reset_short();
        // Losses of Up come back a round later. In a crowd, where Up lasts, they say what is safe (§5.3.3.6).
        self.cycle.is_sampling &= self.cycle.is_crowded;
        self.cycle.is_stopping = true;
        self.cycle.wait = PROBE_WAIT_MIN + PROBE_WAIT_MORE.mul_f64(self.random.random());
        self.cycle.rounds_since_probe = self.random.random_range(0..=1);
        self.phase = Phase::Down;
        self.rounds.begin();
    }

    pub(super) fn begin_down_at(&mut self, now: Moment) {
        self.begin_down();
        self.cycle.began = now;
    }

    fn begin_refill(&mut self) {
        self.reset_short();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.phase = Phase::Refill;
        self.rounds.begin();
    }

    fn begin_up(&mut self, acked: &Acked) {
        self.full.reset();
        self.cycle.is_sampling = true;
        self.cycle.is_crowded = self.is_crowded(acked);
        self.cycle.began = acked.now;
        self.cycle.began_at = self.bandwidth.highest();
        self.phase = Phase::Up;
        self.rounds.begin();
    }

    /// One round after Up its effect has been seen: a cycle is over (§5.3.3.6).
    fn end_stopping(&mut self, acked: &Acked) {
        if !std::mem::take(&mut self.cycle.is_stopping) {
            return;
        }
        self.cycle.is_sampling = false;
        if acked.rate.is_some_and(|rate| !rate.is_app_limited) {
            self.bandwidth.advance();
        }
    }

    /// What went well in flight is safe; in Up the bound rises ever faster.
    fn raise_long(&mut self, acked: &Acked) {
        let Some(rate) = acked.rate else { return };
        if self.inflight_long == u64::MAX || self.losses.is_congested() {
            return;
        }
        self.inflight_long = self.inflight_long.max(rate.in_flight_bytes);
        let is_at_bound = acked.is_window_limited && self.window >= self.inflight_long;
        if self.phase != Phase::Up || !is_at_bound {
            return;
        }
        self.cycle.up_acked += acked.delivered_bytes;
        let step = (self.window >> self.cycle.up_rounds.min(30)).max(self.mss);
        if self.cycle.up_acked >= step {
            let steps = self.cycle.up_acked / step;
            self.cycle.up_acked -= steps * step;
            self.inflight_long += steps * self.mss;
        }
        if self.rounds.has_begun {
            self.cycle.up_rounds += 1;
        }
    }

    fn is_time_to_probe(&self, acked: &Acked) -> bool {
        let fair_rounds =
            (self.inflight(self.bandwidth_now(), 1.0) / self.mss).clamp(1, ROUNDS_MAX);
        let elapsed = acked.now.since(self.cycle.began);
        let is_fair = self.cycle.rounds_since_probe >= fair_rounds && elapsed > PROBE_WAIT_LEAST;
        elapsed > self.cycle.wait || is_fair
    }

    fn is_time_to_cruise(&self, acked: &Acked) -> bool {
        acked.in_flight <= self.inflight_with_headroom()
            && acked.in_flight <= self.inflight(self.bandwidth.highest(), 1.0)
    }

    fn step_up(&mut self, acked: &Acked) {
        if self.cycle.is_crowded { self.step_up_crowded(acked) } else { self.step_up_alone(acked) }
    }

    /// Goes down once the path is full and delivers no more for it; while it delivers more, Up goes on.
    fn step_up_alone(&mut self, acked: &Acked) {
        let lowest = self.delay.lowest().unwrap_or_default();
        let has_filled = acked.now.since(self.cycle.began) > lowest
            && acked.in_flight_before >= self.inflight(self.bandwidth.highest(), 1.25);
        let has_found_more =
            self.bandwidth.highest() > scale(self.cycle.began_at, GROWTH_WORTH_MORE);
        if has_filled && has_found_more {
            self.cycle.began = acked.now;
            self.cycle.began_at = self.bandwidth.highest();
        } else if has_filled || self.full.has_stopped_growing() {
            self.begin_down_at(acked.now);
        }
    }

    /// Goes into and out of ProbeRtt.
    pub(super) fn step_probe_rtt(&mut self, acked: &Acked) {
        match self.phase {
            Phase::ProbeRtt { done_at: None }
                if acked.in_flight <= self.window_bound().max(4 * self.mss) =>
            {
                self.phase = Phase::ProbeRtt { done_at: Some(acked.now.after(PROBE_RTT_TIME)) };
            }
            Phase::ProbeRtt { done_at: Some(done_at) } if acked.now >= done_at => {
                self.delay.note_probed(acked.now);
                self.window = self.window.max(std::mem::take(&mut self.window_saved));
                self.end_probe_rtt(acked.now);
            }
            Phase::ProbeRtt { .. } => {}
            Phase::Startup
            | Phase::Drain
            | Phase::Down
            | Phase::Cruise
            | Phase::Refill
            | Phase::Up => self.begin_probe_rtt_if_due(),
        }
    }

    fn begin_probe_rtt_if_due(&mut self) {
        if self.delay.is_probe_due() && self.full.is_full() {
            self.window_saved = self.window_saved.max(self.window);
            self.phase = Phase::ProbeRtt { done_at: None };
        }
    }

    /// A cycle is over here too (§5.3.4): what was delivered before the last one no longer counts.
    fn end_probe_rtt(&mut self, now: Moment) {
        self.begin_down_at(now);
        self.phase = Phase::Cruise;
    }
}

/// A probe each two to three seconds, or as often as Reno would take that many rounds, at most.
const PROBE_WAIT_MIN: Duration = Duration::from_secs(2);
const PROBE_WAIT_MORE: Duration = Duration::from_secs(1);
const ROUNDS_MAX: u64 = 63;
/// On a short path a round is no time: probing without a pause would be a standing queue.
const PROBE_WAIT_LEAST: Duration = Duration::from_millis(500);
/// A probe that found a tenth more goes on.
const GROWTH_WORTH_MORE: f64 = 1.1;
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
