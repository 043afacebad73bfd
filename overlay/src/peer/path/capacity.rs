//! What the path to a peer carries, as far as probes have shown: how long a datagram may be, and whether several may leave in one send.
//!
//! Probes go in rounds: a burst that the driver sends with one system call, the same datagram alone, one of the greatest length while less is
//! in use, and a short one, in this order. What the peer answers tells apart what is lost. When short ones arrive and long ones do not, the path
//! carries less than was thought, with or without an ICMP message that says so; when a single one arrives and the burst does not, the path (or a
//! network card on it) loses segments. Other loss hits all alike, and [`FAILURES_MAX`] rounds in a row must agree.
//!
//! | length | becomes |
//! |---|---|
//! | `INNER_MTU_BASE` | `INNER_MTU` by a round, [`length::HOLDS`] or more after it was left |
//! | `INNER_MTU` | `INNER_MTU_BASE` by [`FAILURES_MAX`] rounds in a row, or by the kernel |
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
//! [`length`], [`segments`] and [`rounds`] know one thing each; here is said what an answer, or none, means to each of them.
//!
//! Source: RFC 8899 (DPLPMTUD), §5.1 to §5.3, with two lengths instead of a search: the base is what every path of IPv6 carries.

use std::time::Instant;

use crate::limits::SEGMENTS_PROBED;

mod length;
mod rounds;
mod segments;

use length::Length;
use rounds::{Round, Rounds};
use segments::Segments;

/// What is known of one path.
#[derive(Debug)]
pub(crate) struct Capacity {
    length: Length,
    segments: Segments,
    rounds: Rounds,
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

/// What a round says of one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Judgement {
    /// What was thought has changed.
    is_news: bool,
    /// Another round must agree.
    wants_round: bool,
}

impl Capacity {
    pub(crate) fn new() -> Self {
        Self { length: Length::new(), segments: Segments::new(), rounds: Rounds::default() }
    }

    /// The peer may answer probes: the greatest length is used once it is shown to arrive.
    pub(crate) fn allow_probes(&mut self, now: Instant) {
        self.rounds.allow(now);
    }

    /// The peer is elsewhere. The length stays until a round shows another one: what is in flight would be sent again for each new port of a NAT.
    /// A peer may name a stranger's address as its own, so what it can have sent there by a few bytes is bounded: a round each [`rounds::REST`].
    pub(crate) fn move_elsewhere(&mut self, now: Instant) {
        self.length.move_elsewhere();
        self.segments = Segments::new();
        self.rounds.move_elsewhere(now);
    }

    /// Another session is used: what was asked in the one before may never be answered.
    pub(crate) fn note_session(&mut self, now: Instant) {
        self.rounds.restart(now);
    }

    /// Length of the longest packet, IP header included, that the path carries.
    pub(crate) fn packet_bytes(&self) -> usize {
        self.length.packet_bytes()
    }

    /// The same, once probes have answered.
    pub(crate) fn packet_bytes_shown(&self) -> Option<usize> {
        let is_shown = self.length.is_shown() && self.rounds.are_allowed();
        is_shown.then(|| self.length.packet_bytes())
    }

    /// A packet leaves. One that needs the length in use, or would be longer if it might, calls for a round now and then.
    pub(crate) fn note_packet(&mut self, bytes: usize, now: Instant) {
        if self.length.is_doubted(bytes, now) {
            self.rounds.want(now);
        }
    }

    /// Something was lost on this path.
    pub(crate) fn note_repeat(&mut self, now: Instant) {
        self.segments.doubt();
        self.rounds.want_calmly(now);
    }

    /// A train wants to leave. Returns true if it may leave as segments of one send.
    pub(crate) fn may_segment(&mut self, now: Instant) -> bool {
        if self.segments.are_proven() {
            return true;
        }
        if self.segments.want_proof(now) {
            self.rounds.want(now);
        }
        false
    }

    /// The kernel sends datagrams one by one but not as segments.
    pub(crate) fn refuse_segments(&mut self, now: Instant) {
        self.segments.refuse(now);
    }

    /// Datagrams of the greatest length do not leave. Returns true if that is news.
    pub(crate) fn shrink(&mut self, now: Instant) -> bool {
        self.length.shrink(now)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rounds.deadline()
    }

    /// The probes that are to be sent now. Without a session there is no path to be asked; the next one begins with a round.
    pub(crate) fn begin_round(&mut self, has_session: bool, now: Instant) -> Option<Order> {
        if !self.rounds.take_due(now) || !has_session {
            return None;
        }
        let order = Order {
            round: self.rounds.next_number(),
            packet_bytes: self.length.packet_bytes(),
            has_burst: self.segments.take_burst(),
            has_longest: self.length.may_grow(now),
        };
        self.rounds.begin(order.parts(), now);
        Some(order)
    }

    /// Takes an answer; one of an earlier round says nothing.
    pub(crate) fn handle_answer(&mut self, number: u32, part: u8, now: Instant) {
        self.rounds.handle_answer(number, part, now);
    }

    /// Ends a round whose time is over.
    pub(crate) fn end_round(&mut self, now: Instant) -> Change {
        let Some(round) = self.rounds.take_ended(now) else { return Change::default() };
        if !round.is_answered() {
            // A peer that answered none of them may be unable to: a packet that is long enough asks again.
            let is_asked_again = !self.length.is_shown();
            self.rounds.note_silence(is_asked_again, now);
            return Change::default();
        }
        self.rounds.note_answered(now);
        let (length, burst) = (self.judge_length(&round, now), self.judge_burst(&round, now));
        if length.wants_round || burst.wants_round {
            self.rounds.repeat(now);
        }
        Change { is_of_length: length.is_news, has_lost_segments: burst.is_news }
    }

    /// A burst proves nothing of length: a bridge on one machine may pass it as one packet, whatever its segments measure.
    fn judge_length(&mut self, round: &Round, now: Instant) -> Judgement {
        let is_longest = round.has(LONGEST_PART);
        let part = if is_longest { LONGEST_PART } else { SINGLE_PART };
        self.length.judge(round.has_answer(part), is_longest, now)
    }

    fn judge_burst(&mut self, round: &Round, now: Instant) -> Judgement {
        if !round.has(0) {
            return Judgement::default();
        }
        let lost = u32::from(SEGMENTS_PROBED) - round.answers_of(BURST_PARTS);
        self.segments.judge(lost, round.has_answer(SINGLE_PART), now)
    }
}

impl Order {
    fn parts(self) -> u32 {
        let burst = if self.has_burst { BURST_PARTS } else { 0 };
        let longest = if self.has_longest { 1 << LONGEST_PART } else { 0 };
        burst | longest | 1 << SINGLE_PART | 1 << SHORT_PART
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

#[cfg(test)]
mod tests;
