//! What the path to a peer carries, as far as probes have shown: how long a datagram may be, and whether several may leave in one send.
//!
//! Probes go in rounds: a burst that the driver sends with one system call, the same datagram alone, one of the greatest length while less is
//! in use, and a short one, in this order. What the peer answers tells apart what is lost. When short ones arrive and long ones do not, the path
//! carries less than was thought, with or without an ICMP message that says so; when a single one arrives and the burst does not, the path (or a
//! network card on it) loses segments. Other loss hits all alike, and [`FAILURES_MAX`] rounds in a row must agree.
//!
//! | length | becomes |
//! |---|---|
//! | [`INNER_MTU_BASE`] | [`INNER_MTU`] by a round, [`LENGTH_HOLDS`] or more after it was left |
//! | [`INNER_MTU`] | [`INNER_MTU_BASE`] by [`FAILURES_MAX`] rounds in a row, or by the kernel |
//!
//! | segmentation | becomes |
//! |---|---|
//! | `Unproven` | `Proven` by a round; `Refused` by [`FAILURES_MAX`] rounds in a row, or by the kernel |
//! | `Proven` | `Unproven` by one failed round or another endpoint; `Refused` by the kernel |
//! | `Refused` | `Unproven` when its time is over, which is longer each time |
//!
//! A round begins with a session; when a train wants to leave on a path that is unproven; when something had to be sent again; and while data
//! flows, to confirm the length or to try the greater one. An idle tunnel is not probed. Where no probe is answered packets have the base's length, for
//! nothing would tell that longer ones are lost.
//!
//! Source: RFC 8899 (DPLPMTUD), §5.1 to §5.3, with two lengths instead of a search: the base is what every path of IPv6 carries.

use std::time::{Duration, Instant};

use crate::limits::{INNER_MTU, INNER_MTU_BASE, SEGMENTS_PROBED};

/// What is known of one path.
#[derive(Debug)]
pub(crate) struct Capacity {
    /// Who is at its end may answer.
    is_probed: bool,
    packet_bytes: usize,
    /// When the greatest length was shown to arrive, or not to.
    length_shown: Option<Instant>,
    /// Rounds in a row that lost the greatest length.
    length_failures: u32,
    /// Since when the greatest length is in use.
    grown: Option<Instant>,
    /// How often in a row it was in use for a short time only, and when it is tried again.
    flaps: u32,
    grows_from: Option<Instant>,
    segmentation: Segmentation,
    /// The next round has a burst.
    wants_burst: bool,
    /// Rounds in a row that lost the burst alone.
    burst_failures: u32,
    /// Refusals in a row.
    refusals: u32,
    /// Rounds in a row of which nothing was answered.
    unanswered: u32,
    round_trip: Option<Duration>,
    round: Option<Round>,
    /// The number of the latest round, and when it began.
    rounds: u32,
    round_began: Option<Instant>,
    /// When the next round begins.
    due: Option<Instant>,
    /// No round begins before: the peer does not answer.
    rests_until: Option<Instant>,
    /// No round begins before for what is lost now and then.
    calm_until: Option<Instant>,
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
    /// One bit for each part that was sent, and for each that was answered.
    parts: u32,
    answered: u32,
    ends_at: Instant,
}

/// The probes of a round that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) round: u32,
    /// Length of the burst's packets and of the single one.
    pub(crate) packet_bytes: usize,
    pub(crate) has_burst: bool,
    /// The greatest length is tried as well.
    pub(crate) has_longest: bool,
}

/// What became of the path by a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Another length holds.
    pub(crate) is_of_length: bool,
    /// Segments are lost, and not used for some time.
    pub(crate) has_lost_segments: bool,
}

impl Capacity {
    pub(crate) fn new() -> Self {
        Self {
            is_probed: false,
            packet_bytes: INNER_MTU_BASE,
            length_shown: None,
            length_failures: 0,
            grown: None,
            flaps: 0,
            grows_from: None,
            segmentation: Segmentation::Unproven,
            wants_burst: false,
            burst_failures: 0,
            refusals: 0,
            unanswered: 0,
            round_trip: None,
            round: None,
            rounds: 0,
            round_began: None,
            due: None,
            rests_until: None,
            calm_until: None,
        }
    }

    /// The peer may answer probes: the greatest length is used once it is shown to arrive.
    pub(crate) fn allow_probes(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_probed, true) {
            self.want_round(now);
        }
    }

    /// The peer is elsewhere. The length stays until a round shows another one: what is in flight would be sent again for each new port of a NAT.
    /// A peer may name a stranger's address as its own, so what it can have sent there by a few bytes is bounded: a round each [`REST`].
    pub(crate) fn move_elsewhere(&mut self, now: Instant) {
        let Self { is_probed, packet_bytes, rounds, round_began, .. } = *self;
        *self = Self { is_probed, packet_bytes, rounds, round_began, ..Self::new() };
        self.want_round(round_began.map_or(now, |began| now.max(began + REST)));
    }

    /// Another session is used: what was asked in the one before may never be answered.
    pub(crate) fn note_session(&mut self, now: Instant) {
        (self.round, self.due, self.rests_until) = (None, None, None);
        self.want_round(now);
    }

    /// Asks the path anew; until it has answered, what is known holds.
    fn want_round(&mut self, now: Instant) {
        if self.is_probed && self.round.is_none() && self.due.is_none() {
            self.due = self.rests_until.max(Some(now));
        }
    }

    /// Length of the longest packet, IP header included, that the path carries.
    pub(crate) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// The same, once probes have answered.
    pub(crate) fn packet_bytes_shown(&self) -> Option<usize> {
        self.length_shown.filter(|_| self.is_probed).map(|_| self.packet_bytes)
    }

    /// A packet leaves. One that needs the length in use, or would be longer if it might, calls for a round now and then.
    pub(crate) fn note_packet(&mut self, bytes: usize, now: Instant) {
        let is_old = |shown: Instant| now.saturating_duration_since(shown) >= LENGTH_HOLDS;
        if bytes >= LONG_BYTES && self.length_shown.is_none_or(is_old) {
            self.want_round(now);
        }
    }

    /// Something was lost on this path.
    pub(crate) fn note_repeat(&mut self, now: Instant) {
        self.wants_burst |= self.segmentation == Segmentation::Proven;
        self.want_round(self.calm_until.map_or(now, |until| until.max(now)));
    }

    /// A train wants to leave. Returns true if it may leave as segments of one send.
    pub(crate) fn may_segment(&mut self, now: Instant) -> bool {
        match self.segmentation {
            Segmentation::Proven => return true,
            Segmentation::Refused { until } if now < until => {}
            Segmentation::Refused { .. } | Segmentation::Unproven => {
                self.segmentation = Segmentation::Unproven;
                self.wants_burst = true;
                self.want_round(now);
            }
        }
        false
    }

    /// The kernel sends datagrams one by one but not as segments.
    pub(crate) fn refuse_segments(&mut self, now: Instant) {
        self.burst_failures = 0;
        let doublings = self.refusals.min(REFUSAL_DOUBLINGS_MAX);
        self.refusals += 1;
        self.segmentation = Segmentation::Refused { until: now + REFUSAL_MIN * (1 << doublings) };
    }

    /// Datagrams of the greatest length do not leave, or do not arrive. Returns true if that is news. On a path that carries them now and then
    /// every change has flows send again what is in flight, so they are tried ever more seldom.
    pub(crate) fn shrink(&mut self, now: Instant) -> bool {
        self.length_failures = 0;
        self.length_shown = Some(now);
        if let Some(grown) = self.grown.take() {
            let has_lasted = now.saturating_duration_since(grown) >= LENGTH_LASTS;
            let flaps = if has_lasted { 0 } else { self.flaps };
            self.grows_from = Some(now + LENGTH_HOLDS * (1 << flaps));
            self.flaps = (flaps + 1).min(FLAP_DOUBLINGS_MAX);
        }
        self.set_length(INNER_MTU_BASE)
    }

    fn grow(&mut self, now: Instant) -> bool {
        self.grown.get_or_insert(now);
        self.set_length(INNER_MTU)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.ends_at).or(self.due)
    }

    /// The probes that are to be sent now. Without a session there is no path to be asked; the next one begins with a round.
    pub(crate) fn begin_round(&mut self, has_session: bool, now: Instant) -> Option<Order> {
        self.due.take_if(|due| *due <= now && self.round.is_none()).filter(|_| has_session)?;
        self.rounds = self.rounds.wrapping_add(1);
        let order = Order {
            round: self.rounds,
            packet_bytes: self.packet_bytes,
            has_burst: std::mem::take(&mut self.wants_burst),
            has_longest: self.packet_bytes < INNER_MTU
                && self.grows_from.is_none_or(|from| from <= now),
        };
        self.round_began = Some(now);
        let (answered, ends_at) = (0, now + self.patience());
        self.round = Some(Round { sent: now, parts: order.parts(), answered, ends_at });
        Some(order)
    }

    /// How long answers are waited for. A round without any may have been too short for a path that has become slower.
    fn patience(&self) -> Duration {
        let measured = self.round_trip.filter(|_| self.unanswered == 0);
        let unmeasured = PATIENCE_INITIAL * self.unanswered.clamp(1, FAILURES_MAX);
        measured.map_or(unmeasured, |time| (time * 3).max(PATIENCE_MIN))
    }

    /// Takes an answer; one of an earlier round says nothing.
    pub(crate) fn handle_answer(&mut self, number: u32, part: u8, now: Instant) {
        let is_current = number == self.rounds && part <= SHORT_PART;
        let Some(round) = self.round.as_mut().filter(|_| is_current) else { return };
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

    /// Ends a round whose time is over.
    pub(crate) fn end_round(&mut self, now: Instant) -> Change {
        let Some(round) = self.round.take_if(|round| round.ends_at <= now) else {
            return Change::default();
        };
        if round.answered == 0 {
            self.unanswered = (self.unanswered + 1).min(SILENCE_DOUBLINGS_MAX);
            self.rests_until = Some(now + REST * (1 << self.unanswered));
            // A peer that answered none of them may be unable to: a packet that is long enough asks again.
            if self.length_shown.is_none() && self.unanswered < FAILURES_MAX {
                self.want_round(now);
            }
            return Change::default();
        }
        self.unanswered = 0;
        self.rests_until = None;
        self.calm_until = Some(now + REST);
        let is_of_length = self.judge_length(&round, now);
        Change { is_of_length, has_lost_segments: self.judge_burst(&round, now) }
    }

    fn judge_length(&mut self, round: &Round, now: Instant) -> bool {
        // A burst proves nothing of length: a bridge on one machine may pass it as one packet, whatever its segments measure.
        let longest = if round.has(LONGEST_PART) { LONGEST_PART } else { SINGLE_PART };
        if round.answered & (1 << longest) != 0 {
            self.length_failures = 0;
            self.length_shown = Some(now);
            return round.has(LONGEST_PART) && self.grow(now);
        }
        self.length_failures += 1;
        if self.length_failures >= FAILURES_MAX {
            return self.shrink(now);
        }
        self.repeat_round(now);
        false
    }

    /// Returns true if segments are given up.
    fn judge_burst(&mut self, round: &Round, now: Instant) -> bool {
        if !round.has(0) {
            return false;
        }
        let answered = (round.answered & BURST_PARTS).count_ones();
        if answered + 1 >= u32::from(SEGMENTS_PROBED) {
            (self.burst_failures, self.refusals) = (0, 0);
            self.segmentation = Segmentation::Proven;
        } else if round.answered & (1 << SINGLE_PART) != 0 {
            self.segmentation = Segmentation::Unproven;
            self.burst_failures += 1;
            if self.burst_failures >= FAILURES_MAX {
                self.refuse_segments(now);
                return true;
            }
            self.wants_burst = true;
            self.repeat_round(now);
        }
        false
    }

    fn repeat_round(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// Returns true if that is another length.
    fn set_length(&mut self, packet_bytes: usize) -> bool {
        std::mem::replace(&mut self.packet_bytes, packet_bytes) != packet_bytes
    }
}

impl Order {
    fn parts(self) -> u32 {
        let burst = if self.has_burst { BURST_PARTS } else { 0 };
        let longest = if self.has_longest { 1 << LONGEST_PART } else { 0 };
        burst | longest | 1 << SINGLE_PART | 1 << SHORT_PART
    }
}

impl Round {
    fn has(&self, part: u8) -> bool {
        self.parts & (1 << part) != 0
    }
}

/// Parts of a round: the burst is 0 and up, then one datagram of the same length alone, one of the greatest length, then a short one.
pub(crate) const SINGLE_PART: u8 = SEGMENTS_PROBED;
/// See [`SINGLE_PART`].
pub(crate) const LONGEST_PART: u8 = SEGMENTS_PROBED + 1;
/// See [`SINGLE_PART`].
pub(crate) const SHORT_PART: u8 = SEGMENTS_PROBED + 2;
const BURST_PARTS: u32 = (1 << SEGMENTS_PROBED) - 1;

/// Rounds in a row that must agree: random loss does not (RFC 8899 §5.1.3, MAX_PROBES).
const FAILURES_MAX: u32 = 3;
/// How long the length that was shown holds while data flows, in either direction: RFC 8899 §5.1.1 has longer timers for probes that cost more.
const LENGTH_HOLDS: Duration = Duration::from_secs(10);
/// What is as long as this needs more than the base, or would be longer if it might: fragments are cut to units of 8 bytes.
const LONG_BYTES: usize = INNER_MTU_BASE - 8;
/// A length that lasted for so long may come again as soon.
const LENGTH_LASTS: Duration = Duration::from_secs(60);
/// A length that never lasts is tried again after 10 seconds to 10 minutes and 40 seconds (RFC 8899 §5.1.1 has 10 minutes for any).
const FLAP_DOUBLINGS_MAX: u32 = 6;
/// Between rounds that are due to losses, or to moves.
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

#[cfg(test)]
mod tests;
