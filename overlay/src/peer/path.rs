//! What the path to a peer carries, as far as probes have shown.
//!
//! Probes go in rounds: a burst that the driver sends with one system call, the same datagram alone, and a short one, in this order. What the
//! peer answers tells apart what is lost: when the single one arrives and the burst does not, the path (or a network card on it) loses
//! segments. Loss that is not of this kind hits all three alike, and [`FAILURES_MAX`] rounds in a row must agree.
//!
//! | segmentation | becomes |
//! |---|---|
//! | `Unproven` | `Proven` by a round; `Refused` by [`FAILURES_MAX`] rounds in a row, or by the kernel |
//! | `Proven` | `Unproven` by one failed round or another endpoint; `Refused` by the kernel |
//! | `Refused` | `Unproven` when its time is over, which is longer each time |
//!
//! A round begins when a train wants to leave on a path that is unproven, and when something had to be sent again on one that is proven.
//! A tunnel that carries nothing, and a peer that is not one of our own nodes, is never probed.

use std::time::{Duration, Instant};

use crate::limits::SEGMENTS_PROBED;

/// What is known of one path.
#[derive(Debug)]
pub(crate) struct Path {
    /// One of our own nodes is at its end.
    is_probed: bool,
    segmentation: Segmentation,
    /// Rounds in a row that lost the burst alone.
    failures: u32,
    /// Refusals in a row.
    refusals: u32,
    /// Rounds in a row of which nothing was answered.
    unanswered: u32,
    round_trip: Option<Duration>,
    round: Option<Round>,
    /// The number of the latest round.
    rounds: u32,
    /// When the next round begins.
    due: Option<Instant>,
    /// No round begins before.
    rests_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segmentation {
    Unproven,
    Proven,
    Refused { until: Instant },
}

/// Probes in flight.
#[derive(Debug)]
struct Round {
    sent: Instant,
    /// One bit for each part that was answered.
    answered: u32,
    ends_at: Instant,
}

/// What a round has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Segments arrive.
    Carried,
    /// Segments are lost: they are not used for some time.
    Lost,
    /// Nothing, or not enough.
    Open,
}

impl Path {
    pub(crate) fn new() -> Self {
        Self {
            is_probed: false,
            segmentation: Segmentation::Unproven,
            failures: 0,
            refusals: 0,
            unanswered: 0,
            round_trip: None,
            round: None,
            rounds: 0,
            due: None,
            rests_until: None,
        }
    }

    /// The peer answers probes.
    pub(crate) fn allow_probes(&mut self) {
        self.is_probed = true;
    }

    /// The peer is elsewhere: nothing is known.
    pub(crate) fn restart(&mut self) {
        *self = Self { is_probed: self.is_probed, rounds: self.rounds, ..Self::new() };
    }

    /// A train wants to leave; with repeats, something on this path was lost. Returns true if it may leave as segments of one send.
    pub(crate) fn note_train(&mut self, has_repeats: bool, now: Instant) -> bool {
        match self.segmentation {
            Segmentation::Proven if has_repeats => self.want_round(now),
            Segmentation::Proven => return true,
            Segmentation::Refused { until } if now < until => {}
            Segmentation::Refused { .. } | Segmentation::Unproven => {
                self.segmentation = Segmentation::Unproven;
                self.want_round(now);
            }
        }
        // What was lost once leaves alone, so that no train is lost twice to a path that loses trains.
        false
    }

    /// The kernel sends datagrams one by one but not as segments.
    pub(crate) fn refuse_segments(&mut self, now: Instant) {
        self.failures = 0;
        let doublings = self.refusals.min(REFUSAL_DOUBLINGS_MAX);
        self.refusals += 1;
        self.segmentation = Segmentation::Refused { until: now + REFUSAL_MIN * (1 << doublings) };
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.ends_at).or(self.due)
    }

    /// The number of a round that is to be sent now.
    pub(crate) fn begin_round(&mut self, now: Instant) -> Option<u32> {
        self.due.take_if(|due| *due <= now && self.round.is_none())?;
        self.rounds = self.rounds.wrapping_add(1);
        let patience =
            self.round_trip.map_or(PATIENCE_INITIAL, |time| (time * 3).max(PATIENCE_MIN));
        self.round = Some(Round { sent: now, answered: 0, ends_at: now + patience });
        Some(self.rounds)
    }

    /// Takes an answer; one of an earlier round says nothing.
    pub(crate) fn handle_answer(&mut self, number: u32, part: u8, now: Instant) {
        let is_current = number == self.rounds && part <= SHORT_PART;
        let Some(round) = self.round.as_mut().filter(|_| is_current) else { return };
        round.answered |= 1 << part;
        let took = now.saturating_duration_since(round.sent);
        if part == SHORT_PART {
            // It left last: what has not come by now is late or lost.
            round.ends_at = now + (took / 4).max(REORDERING_MIN);
            self.round_trip = Some(took);
        }
        if round.answered == ALL_PARTS {
            round.ends_at = now;
        }
    }

    /// Ends a round whose time is over.
    pub(crate) fn end_round(&mut self, now: Instant) -> Option<Verdict> {
        let round = self.round.take_if(|round| round.ends_at <= now)?;
        let burst_answered = (round.answered & BURST_PARTS).count_ones();
        let single_answered = round.answered & (1 << SINGLE_PART) != 0;
        if round.answered == 0 {
            self.unanswered = (self.unanswered + 1).min(SILENCE_DOUBLINGS_MAX);
            self.rests_until = Some(now + REST * (1 << self.unanswered));
            return Some(Verdict::Open);
        }
        self.unanswered = 0;
        self.rests_until = Some(now + REST);
        Some(if burst_answered + 1 >= u32::from(SEGMENTS_PROBED) {
            self.prove_segments()
        } else if single_answered {
            self.note_failure(now)
        } else {
            Verdict::Open
        })
    }

    fn prove_segments(&mut self) -> Verdict {
        self.failures = 0;
        self.refusals = 0;
        self.segmentation = Segmentation::Proven;
        Verdict::Carried
    }

    fn note_failure(&mut self, now: Instant) -> Verdict {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.refuse_segments(now);
            return Verdict::Lost;
        }
        self.segmentation = Segmentation::Unproven;
        self.rests_until = None;
        self.due = Some(now);
        Verdict::Open
    }

    fn want_round(&mut self, now: Instant) {
        if self.is_probed && self.round.is_none() && self.due.is_none() {
            self.due = Some(self.rests_until.map_or(now, |until| until.max(now)));
        }
    }
}

/// Parts of a round: the burst is 0 and up, then one datagram of the same length alone, then a short one.
pub(crate) const SINGLE_PART: u8 = SEGMENTS_PROBED;
/// See [`SINGLE_PART`].
pub(crate) const SHORT_PART: u8 = SEGMENTS_PROBED + 1;
const BURST_PARTS: u32 = (1 << SEGMENTS_PROBED) - 1;
const ALL_PARTS: u32 = (1 << (SHORT_PART + 1)) - 1;

/// Rounds in a row that must lose the burst alone: random loss does not.
const FAILURES_MAX: u32 = 3;
/// Between rounds that no failure calls for.
const REST: Duration = Duration::from_millis(500);
/// A peer that answers no probe is asked ever less, down to once in about a minute.
const SILENCE_DOUBLINGS_MAX: u32 = 7;
/// How long an answer may take before one was measured.
const PATIENCE_INITIAL: Duration = Duration::from_secs(1);
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// What may overtake within a path.
const REORDERING_MIN: Duration = Duration::from_millis(5);
/// How long segments are not used after the first refusal; doubled up to 5 minutes and 20 seconds.
const REFUSAL_MIN: Duration = Duration::from_secs(10);
const REFUSAL_DOUBLINGS_MAX: u32 = 5;
