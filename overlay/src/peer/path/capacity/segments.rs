//! Whether several datagrams may leave in one send, as far as is known.

use std::time::{Duration, Instant};

use super::{FAILURES_MAX, Judgement};

/// What is known of segments, and what is to be found out.
#[derive(Debug)]
pub(super) struct Segments {
    state: State,
    /// The next round has a burst.
    wants_burst: bool,
    /// Rounds in a row that lost the burst alone.
    failures: u32,
    /// Refusals in a row.
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unproven,
    Proven,
    Refused { until: Instant },
}

impl Segments {
    pub(super) fn new() -> Self {
        Self { state: State::Unproven, wants_burst: false, failures: 0, refusals: 0 }
    }

    pub(super) fn are_proven(&self) -> bool {
        self.state == State::Proven
    }

    /// A train wants to leave. Returns true if the path is to be asked, which it is not while segments are refused.
    pub(super) fn want_proof(&mut self, now: Instant) -> bool {
        if matches!(self.state, State::Refused { until } if now < until) {
            return false;
        }
        self.state = State::Unproven;
        self.wants_burst = true;
        true
    }

    /// Something was lost: what was proved is asked again.
    pub(super) fn doubt(&mut self) {
        self.wants_burst |= self.are_proven();
    }

    /// Whether a round that begins has a burst.
    pub(super) fn take_burst(&mut self) -> bool {
        std::mem::take(&mut self.wants_burst)
    }

    /// A round is over that had a burst, of which so many were lost; a single datagram of the same length arrived or did not. News is that
    /// segments are given up.
    pub(super) fn judge(&mut self, lost: u32, single_arrives: bool, now: Instant) -> Judgement {
        if lost <= 1 {
            (self.failures, self.refusals) = (0, 0);
            self.state = State::Proven;
        } else if single_arrives {
            self.state = State::Unproven;
            self.failures += 1;
            if self.failures >= FAILURES_MAX {
                self.refuse(now);
                return Judgement { is_news: true, wants_round: false };
            }
            self.wants_burst = true;
            return Judgement { is_news: false, wants_round: true };
        }
        Judgement::default()
    }

    /// Segments are not used for some time, longer each time.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.failures = 0;
        let doublings = self.refusals.min(REFUSAL_DOUBLINGS_MAX);
        self.refusals += 1;
        self.state = State::Refused { until: now + REFUSAL_MIN * (1 << doublings) };
    }
}

/// How long segments are not used after the first refusal; doubled up to 5 minutes and 20 seconds.
const REFUSAL_MIN: Duration = Duration::from_secs(10);
const REFUSAL_DOUBLINGS_MAX: u32 = 5;
