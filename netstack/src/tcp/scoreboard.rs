//! What was sent and is not acknowledged: one record a segment.
//!
//! ```text
//!             ┌─────────── sent again ───────────┐
//!             ▼                                  │
//! sent ──▶ Outstanding ──judged lost──▶ Lost ────┘
//!             │                           │
//!             └──▶ Sacked ◀───────────────┘        acknowledged from any state: gone
//! ```
//! In flight is what is `Outstanding`: RFC 6675's pipe. Transmissions are also kept in the order of time, so that loss detection looks at
//! each once, however large the window.
//!
//! Source: RFC 6675 §3, RFC 8985 §5.

use std::collections::VecDeque;

use super::moment::Moment;
use super::ranges::Ranges;
use super::rate::Snapshot;

/// One segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Position of its first byte, SYN or FIN.
    pub(crate) start: u64,
    /// Position behind it.
    pub(crate) end: u64,
    /// When it was sent last.
    pub(crate) sent_at: Moment,
    pub(crate) state: SentState,
    /// Sent more than once.
    pub(crate) is_retransmission: bool,
    /// The rate's state when it was sent last.
    pub(crate) snapshot: Snapshot,
}

impl Sent {
    pub(crate) fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// Where a segment is, for all we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentState {
    Outstanding,
    Lost,
    Sacked,
}

/// All segments between the first unacknowledged and the last sent.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    segments: VecDeque<Sent>,
    /// Transmissions by time. Those that no longer count are skipped when they come up.
    transmissions: VecDeque<(Moment, u64)>,
    sacked: Ranges,
    in_flight_bytes: u64,
    lost_bytes: u64,
    sacked_bytes: u64,
    /// No segment before this position is `Lost`.
    lost_from: u64,
}

impl Scoreboard {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    pub(crate) fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    pub(crate) fn sacked_bytes(&self) -> u64 {
        self.sacked_bytes
    }

    /// Notes a segment sent for the first time, behind all others.
    pub(crate) fn push(&mut self, segment: Sent) {
        self.in_flight_bytes += segment.bytes();
        self.transmissions.push_back((segment.sent_at, segment.start));
        self.segments.push_back(segment);
    }

    /// The lost segment that is to be sent again first.
    pub(crate) fn first_lost(&mut self) -> Option<Sent> {
        if self.lost_bytes == 0 {
            return None;
        }
        let from = self.index_of(self.lost_from);
        let found = self.segments.range(from..).find(|sent| sent.state == SentState::Lost)?;
        self.lost_from = found.start;
        Some(*found)
    }

    /// The segment sent last by position, unless it is acknowledged or sacked.
    pub(crate) fn last(&self) -> Option<Sent> {
        self.segments.back().copied().filter(|sent| sent.state != SentState::Sacked)
    }

    /// Notes that the segment at `start` was sent again, up to `end`: a shorter MSS splits it.
    pub(crate) fn note_retransmission(
        &mut self,
        start: u64,
        end: u64,
        sent_at: Moment,
        snapshot: Snapshot,
    ) {
        let index = self.index_of(start);
        self.split(index, end);
        let Some(sent) = self.segments.get_mut(index) else { return };
        if sent.state == SentState::Lost {
            self.lost_bytes -= sent.bytes();
            self.in_flight_bytes += sent.bytes();
        }
        sent.state = SentState::Outstanding;
        sent.sent_at = sent_at;
        sent.is_retransmission = true;
        sent.snapshot = snapshot;
        self.transmissions.push_back((sent_at, start));
    }

    /// Takes away everything before `una`, and shows each segment that was not known to have arrived.
    pub(crate) fn acknowledge(&mut self, una: u64, mut delivered: impl FnMut(&Sent)) {
        while let Some(front) = self.segments.front_mut() {
            if front.start >= una {
                break;
            }
            let mut gone = *front;
            if front.end > una {
                gone.end = una;
                front.start = una;
            } else {
                self.segments.pop_front();
            }
            self.uncount(&gone);
            if gone.state != SentState::Sacked {
                delivered(&gone);
            }
        }
        self.sacked.remove_before(una);
        self.rest();
    }

    /// Marks what lies wholly in `start..end` as held by the other side, and shows each segment that is new.
    pub(crate) fn sack(&mut self, start: u64, end: u64, mut delivered: impl FnMut(&Sent)) {
        let mut from = start;
        while let Some((gap_start, gap_end)) = self.sacked.first_gap(from, end) {
            let first = self.segments.partition_point(|sent| sent.start < gap_start);
            let mut reached = None;
            for index in first..self.segments.len() {
                let Some(sent) = self.segments.get(index).filter(|sent| sent.end <= gap_end) else {
                    break;
                };
                let sent = *sent;
                reached = Some((reached.map_or(sent.start, |(low, _)| low), sent.end));
                if sent.state != SentState::Sacked {
                    self.uncount(&sent);
                    self.sacked_bytes += sent.bytes();
                    if let Some(sent) = self.segments.get_mut(index) {
                        sent.state = SentState::Sacked;
                    }
                    delivered(&sent);
                }
            }
            if let Some((low, high)) = reached {
                self.sacked.insert(low, high);
            }
            from = gap_end;
        }
    }

    /// Judges transmissions in the order of time: those that `is_lost` says so of, until the first that it does not. Shows each lost
    /// segment, and gives the first one's time of sending that is still hoped for.
    pub(crate) fn judge(
        &mut self,
        mut is_lost: impl FnMut(&Sent) -> bool,
        mut lost: impl FnMut(&Sent),
    ) -> Option<Sent> {
        while let Some((sent_at, start)) = self.transmissions.front().copied() {
            let index = self.index_of(start);
            let current = self
                .segments
                .get(index)
                .copied()
                .filter(|sent| sent.state == SentState::Outstanding && sent.sent_at == sent_at);
            match current {
                Some(sent) if !is_lost(&sent) => return Some(sent),
                Some(sent) => {
                    self.mark_lost(index);
                    lost(&sent);
                }
                None => {}
            }
            self.transmissions.pop_front();
        }
        None
    }

    /// Gives everything up for lost that is not held by the other side: a timeout. Shows each that is new.
    pub(crate) fn lose_all(&mut self, mut lost: impl FnMut(&Sent)) {
        for index in 0..self.segments.len() {
            let outstanding = self.segments.get(index).copied();
            if let Some(sent) = outstanding.filter(|sent| sent.state == SentState::Outstanding) {
                self.mark_lost(index);
                lost(&sent);
            }
        }
        self.transmissions.clear();
    }

    /// Takes losses back that were no losses: the originals are on their way, or have arrived.
    pub(crate) fn unlose_all(&mut self) {
        for sent in &mut self.segments {
            if sent.state == SentState::Lost {
                sent.state = SentState::Outstanding;
                self.lost_bytes -= sent.bytes();
                self.in_flight_bytes += sent.bytes();
                self.transmissions.push_back((sent.sent_at, sent.start));
            }
        }
        self.transmissions.make_contiguous().sort_unstable();
    }

    /// The other side has thrown away what it held out of order (RFC 2018 §8).
    pub(crate) fn forget_sacked(&mut self) {
        for sent in &mut self.segments {
            if sent.state == SentState::Sacked {
                sent.state = SentState::Lost;
                self.sacked_bytes -= sent.bytes();
                self.lost_bytes += sent.bytes();
            }
        }
        self.sacked.clear();
        self.lost_from = 0;
    }

    fn mark_lost(&mut self, index: usize) {
        let Some(sent) = self.segments.get_mut(index) else { return };
        sent.state = SentState::Lost;
        self.in_flight_bytes -= sent.bytes();
        self.lost_bytes += sent.bytes();
        self.lost_from = self.lost_from.min(sent.start);
    }

    fn uncount(&mut self, sent: &Sent) {
        let total = match sent.state {
            SentState::Outstanding => &mut self.in_flight_bytes,
            SentState::Lost => &mut self.lost_bytes,
            SentState::Sacked => &mut self.sacked_bytes,
        };
        *total = total.saturating_sub(sent.bytes());
    }

    /// The segment that holds `position`, or the first behind it.
    fn index_of(&self, position: u64) -> usize {
        self.segments.partition_point(|sent| sent.end <= position)
    }

    /// Ends the segment at `index` at `end`, with another behind it for the rest.
    fn split(&mut self, index: usize, end: u64) {
        let Some(sent) = self.segments.get_mut(index).filter(|sent| end < sent.end) else { return };
        let rest = Sent { start: end, ..*sent };
        sent.end = end;
        self.segments.insert(index + 1, rest);
        self.transmissions.push_back((rest.sent_at, rest.start));
    }

    /// With nothing on its way, little is kept of a busier time.
    fn rest(&mut self) {
        if self.segments.is_empty() {
            self.transmissions.clear();
            self.lost_from = 0;
            self.segments.shrink_to(RECORDS_KEPT);
            self.transmissions.shrink_to(RECORDS_KEPT);
        }
    }
}

/// Room that an idle connection keeps: it most often says as little again.
const RECORDS_KEPT: usize = 4;

#[cfg(test)]
mod tests;
