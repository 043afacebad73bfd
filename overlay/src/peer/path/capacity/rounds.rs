//! When a path is asked, and what was answered.

use std::time::{Duration, Instant};

use super::{FAILURES_MAX, SHORT_PART};

/// The rounds of one path.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Who is at its end may answer.
    are_allowed: bool,
    /// Rounds in a row of which nothing was answered.
    unanswered: u32,
    round_trip: Option<Duration>,
    in_flight: Option<Round>,
    /// The number of the latest round, and when it began.
    number: u32,
    began: Option<Instant>,
    /// When the next round begins.
    due: Option<Instant>,
    /// No round begins before: the peer does not answer.
    rests_until: Option<Instant>,
    /// No round begins before for what is lost now and then.
    calm_until: Option<Instant>,
}

/// Probes in flight.
#[derive(Debug)]
pub(super) struct Round {
    sent: Instant,
    /// One bit for each part that was sent, and for each that was answered.
    parts: u32,
    answered: u32,
    ends_at: Instant,
}

impl Rounds {
    pub(super) fn are_allowed(&self) -> bool {
        self.are_allowed
    }

    pub(super) fn allow(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.are_allowed, true) {
            self.want(now);
        }
    }

    /// Asks the path anew; until it has answered, what is known holds.
    pub(super) fn want(&mut self, at: Instant) {
        if self.are_allowed && self.in_flight.is_none() && self.due.is_none() {
            self.due = self.rests_until.max(Some(at));
        }
    }

    /// As [`Self::want`], some time after the latest answer.
    pub(super) fn want_calmly(&mut self, now: Instant) {
        self.want(self.calm_until.map_or(now, |until| until.max(now)));
    }

    /// Asks again at once.
    pub(super) fn repeat(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// What is in flight may never be answered.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.in_flight, self.due, self.rests_until) = (None, None, None);
        self.want(now);
    }

    /// Nothing holds that was measured; the next round begins [`REST`] after the latest one at the earliest.
    pub(super) fn move_elsewhere(&mut self, now: Instant) {
        let Self { are_allowed, number, began, .. } = *self;
        *self = Self { are_allowed, number, began, ..Self::default() };
        self.want(began.map_or(now, |began| now.max(began + REST)));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|round| round.ends_at).or(self.due)
    }

    /// Returns true if the next round is due; it is not from here on.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now && self.in_flight.is_none()).is_some()
    }

    /// Gives the number of the round that begins.
    pub(super) fn next_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// Probes leave, one bit for each part.
    pub(super) fn begin(&mut self, parts: u32, now: Instant) {
        self.began = Some(now);
        let ends_at = now + self.patience();
        self.in_flight = Some(Round { sent: now, parts, answered: 0, ends_at });
    }

    /// How long answers are waited for. A round without any may have been too short for a path that has become slower.
    fn patience(&self) -> Duration {
        let measured = self.round_trip.filter(|_| self.unanswered == 0);
        let unmeasured = PATIENCE_INITIAL * self.unanswered.clamp(1, FAILURES_MAX);
        measured.map_or(unmeasured, |time| (time * 3).max(PATIENCE_MIN))
    }

    /// Takes an answer; one of an earlier round says nothing.
    pub(super) fn handle_answer(&mut self, number: u32, part: u8, now: Instant) {
        let is_current = number == self.number && part <= SHORT_PART;
        let Some(round) = self.in_flight.as_mut().filter(|_| is_current) else { return };
        round.answered |= 1 << part & round.parts;
        let took = now.saturating_duration_since(round.sent);
        if part == SHORT_PART {
            // It left last: what has not come by now is late or lost.
            round.ends_at = now + (took / 4).max(REORDERING_MIN);
            self.round_trip = Some(took);
        }
        if round.answered & round.parts == round.parts {
            round.ends_at = now;
        }
    }

    /// The round whose time is over.
    pub(super) fn take_ended(&mut self, now: Instant) -> Option<Round> {
        self.in_flight.take_if(|round| round.ends_at <= now)
    }

    /// Nothing was answered. A few more rounds follow by themselves, if that is wanted.
    pub(super) fn note_silence(&mut self, wants_more: bool, now: Instant) {
        self.unanswered = (self.unanswered + 1).min(SILENCE_DOUBLINGS_MAX);
        self.rests_until = Some(now + REST * (1 << self.unanswered));
        if wants_more && self.unanswered < FAILURES_MAX {
            self.want(now);
        }
    }

    /// Something was answered.
    pub(super) fn note_answered(&mut self, now: Instant) {
        self.unanswered = 0;
        self.rests_until = None;
        self.calm_until = Some(now + REST);
    }
}

impl Round {
    /// A part was sent.
    pub(super) fn has(&self, part: u8) -> bool {
        self.parts & (1 << part) != 0
    }

    /// A part was answered.
    pub(super) fn has_answer(&self, part: u8) -> bool {
        self.answered & (1 << part) != 0
    }

    /// How many of `parts` were answered.
    pub(super) fn answers_of(&self, parts: u32) -> u32 {
        (self.answered & parts).count_ones()
    }

    /// Anything was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answered != 0
    }
}

/// Between rounds that are due to losses, or to moves.
pub(super) const REST: Duration = Duration::from_millis(500);
/// A peer that answers no probe is asked ever less, down to once in about a minute.
const SILENCE_DOUBLINGS_MAX: u32 = 7;
/// How long an answer may take before one was measured.
const PATIENCE_INITIAL: Duration = Duration::from_secs(1);
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// What may overtake within a path.
const REORDERING_MIN: Duration = Duration::from_millis(5);
