//! What was sent and is not acknowledged: one record for the segments of a train.
//!
//! ```text
//!             ┌─────────── sent again ───────────┐
//!             ▼                                  │
//! sent ──▶ Outstanding ──judged lost──▶ Lost ────┘
//!             │                           │
//!             └──▶ Sacked ◀───────────────┘        acknowledged from any state: gone
//! ```
//! In flight is what is `Outstanding`: RFC 6675's pipe. Transmissions are also kept in the order of time, so that loss detection looks at
//! each once, however large the window. Segments that left at one time share a record until the other side tells them apart: a record is
//! split where a block, an acknowledgment or a retransmission begins or ends, but only between segments, so that no peer can make many of it.
//!
//! Source: RFC 6675 §3, RFC 8985 §5.

use std::collections::VecDeque;

use super::moment::Moment;
use super::ranges::Ranges;
use super::rate::Snapshot;

/// Segments that were sent at one time, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Position of the first byte, SYN or FIN.
    pub(crate) start: u64,
    /// Position behind the last.
    pub(crate) end: u64,
    /// Positions that each segment takes; only the last may take fewer.
    pub(crate) segment_bytes: u32,
    /// When they were sent last.
    pub(crate) sent_at: Moment,
    pub(crate) state: SentState,
    /// Sent more than once.
    pub(crate) is_retransmission: bool,
    /// The rate's state when they were sent last, in front of the first.
    pub(crate) snapshot: Snapshot,
}

impl Sent {
    pub(crate) fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Bytes that were in flight once these were sent.
    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.snapshot.in_flight_before + self.bytes()
    }

    fn segments(&self) -> u64 {
        self.bytes().div_ceil(u64::from(self.segment_bytes).max(1))
    }

    /// Whether `next` has left as one train with these. The SYN stays by itself.
    fn goes_on_with(&self, next: &Self) -> bool {
        let is_plain = self.start > 0 && self.state == SentState::Outstanding;
        let is_whole = self.bytes().is_multiple_of(u64::from(self.segment_bytes).max(1));
        let is_next = self.end == next.start && self.segment_bytes == next.segment_bytes;
        let is_same_time = self.sent_at == next.sent_at && !self.is_retransmission;
        is_plain
            && is_next
            && is_same_time
            && is_whole
            && self.snapshot.behind(self.bytes()) == next.snapshot
    }

    /// Where a segment begins, at `position` or as little before it as may be.
    fn edge_before(&self, position: u64) -> u64 {
        let segment_bytes = u64::from(self.segment_bytes).max(1);
        self.start + position.saturating_sub(self.start) / segment_bytes * segment_bytes
    }

    /// Where a segment begins or the last ends, at `position` or as little behind it as may be.
    fn edge_behind(&self, position: u64) -> u64 {
        let segment_bytes = u64::from(self.segment_bytes).max(1);
        let segments = position.saturating_sub(self.start).div_ceil(segment_bytes);
        (self.start + segments * segment_bytes).min(self.end)
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
    records: VecDeque<Sent>,
    segments: u64,
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
        self.records.is_empty()
    }

    /// How many segments there are, in whatever state.
    pub(crate) fn segments(&self) -> u64 {
        self.segments
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

    /// Notes segments sent for the first time, behind all others.
    pub(crate) fn push(&mut self, sent: Sent) {
        self.in_flight_bytes += sent.bytes();
        self.segments += sent.segments();
        match self.records.back_mut().filter(|last| last.goes_on_with(&sent)) {
            Some(last) => last.end = sent.end,
            None => {
                self.transmissions.push_back((sent.sent_at, sent.start));
                self.records.push_back(sent);
            }
        }
    }

    /// The lost segment that is to be sent again first.
    pub(crate) fn first_lost(&mut self) -> Option<Sent> {
        if self.lost_bytes == 0 {
            return None;
        }
        let from = self.index_of(self.lost_from);
        let found = self.records.range(from..).find(|sent| sent.state == SentState::Lost)?;
        self.lost_from = found.start;
        Some(*found)
    }

    /// The segment sent last by position, unless it is acknowledged or sacked.
    pub(crate) fn last(&self) -> Option<Sent> {
        let sent = self.records.back().copied()?;
        let segment = Sent { start: sent.edge_before(sent.end - 1), ..sent };
        (sent.state != SentState::Sacked).then_some(segment)
    }

    /// Notes that the segment at `start` was sent again, up to `end`: a shorter MSS splits it.
    pub(crate) fn note_retransmission(
        &mut self,
        start: u64,
        end: u64,
        sent_at: Moment,
        snapshot: Snapshot,
    ) {
        self.split(self.index_of(start), start);
        let index = self.index_of(start);
        self.split(index, end);
        let Some(sent) = self.records.get_mut(index) else { return };
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
        while let Some(front) = self.records.front().copied().filter(|front| front.start < una) {
            // What is left of a segment of which a part is acknowledged has an edge of its own.
            self.split(0, front.edge_behind(una));
            let Some(front) = self.records.front_mut() else { break };
            let mut gone = *front;
            self.segments -= gone.segments();
            if gone.end > una {
                gone.end = una;
                front.snapshot = front.snapshot.behind(gone.bytes());
                front.start = una;
                self.segments += front.segments();
            } else {
                self.records.pop_front();
            }
            self.uncount(&gone);
            if gone.state != SentState::Sacked {
                delivered(&gone);
            }
        }
        self.sacked.remove_before(una);
        self.rest();
    }

    /// Marks the segments that lie wholly in `start..end` as held by the other side, and shows those that are new.
    pub(crate) fn sack(&mut self, start: u64, end: u64, mut delivered: impl FnMut(&Sent)) {
        let mut from = start;
        while let Some((gap_start, gap_end)) = self.sacked.first_gap(from, end) {
            if let Some((low, high)) = self.sack_gap(gap_start, gap_end, &mut delivered) {
                self.sacked.insert(low, high);
            }
            from = gap_end;
        }
    }

    /// As [`Self::sack`], where nothing is sacked yet; gives what is then.
    fn sack_gap(
        &mut self,
        start: u64,
        end: u64,
        delivered: &mut impl FnMut(&Sent),
    ) -> Option<(u64, u64)> {
        let first = self.split_at_edge(start, Sent::edge_behind);
        self.split_at_edge(end, Sent::edge_before);
        let mut reached = None;
        for index in first..self.records.len() {
            let Some(sent) = self.records.get(index).copied().filter(|sent| sent.end <= end) else {
                break;
            };
            reached = Some((reached.map_or(sent.start, |(low, _)| low), sent.end));
            if sent.state != SentState::Sacked {
                self.uncount(&sent);
                self.sacked_bytes += sent.bytes();
                if let Some(sent) = self.records.get_mut(index) {
                    sent.state = SentState::Sacked;
                }
                delivered(&sent);
            }
        }
        reached
    }

    /// Splits the record that holds `position` at an edge near it; gives the record that begins there, or the first behind it.
    fn split_at_edge(&mut self, position: u64, edge: fn(&Sent, u64) -> u64) -> usize {
        let index = self.index_of(position);
        let Some(sent) = self.records.get(index) else { return index };
        let edge = edge(sent, position);
        let is_whole = edge == sent.start;
        self.split(index, edge);
        if is_whole { index } else { index + 1 }
    }

    /// Judges transmissions in the order of time: those that `is_lost` says so of, until the first that it does not. Shows what is lost,
    /// and gives the first one's time of sending that is still hoped for.
    pub(crate) fn judge(
        &mut self,
        mut is_lost: impl FnMut(&Sent) -> bool,
        mut lost: impl FnMut(&Sent),
    ) -> Option<Sent> {
        while let Some((sent_at, start)) = self.transmissions.front().copied() {
            let index = self.index_of(start);
            let current = self
                .records
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
        for index in 0..self.records.len() {
            let outstanding = self.records.get(index).copied();
            if let Some(sent) = outstanding.filter(|sent| sent.state == SentState::Outstanding) {
                self.mark_lost(index);
                lost(&sent);
            }
        }
        self.transmissions.clear();
    }

    /// Takes losses back that were no losses: the originals are on their way, or have arrived.
    pub(crate) fn unlose_all(&mut self) {
        for sent in &mut self.records {
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
        for sent in &mut self.records {
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
        let Some(sent) = self.records.get_mut(index) else { return };
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
        self.records.partition_point(|sent| sent.end <= position)
    }

    /// Ends the record at `index` at `position`, if that lies in it, with another behind it for the rest.
    fn split(&mut self, index: usize, position: u64) {
        let Some(sent) = self.records.get_mut(index) else { return };
        if !(sent.start + 1..sent.end).contains(&position) {
            return;
        }
        let snapshot = sent.snapshot.behind(position - sent.start);
        let rest = Sent { start: position, snapshot, ..*sent };
        self.segments -= sent.segments();
        sent.end = position;
        self.segments += sent.segments() + rest.segments();
        self.records.insert(index + 1, rest);
        if rest.state == SentState::Outstanding {
            let transmission = (rest.sent_at, rest.start);
            let place = self.transmissions.partition_point(|other| *other < transmission);
            self.transmissions.insert(place, transmission);
        }
    }

    /// With nothing on its way, little is kept of a busier time.
    fn rest(&mut self) {
        if self.records.is_empty() {
            self.transmissions.clear();
            self.lost_from = 0;
            self.records.shrink_to(RECORDS_KEPT);
            self.transmissions.shrink_to(RECORDS_KEPT);
        }
    }
}

/// Room that an idle connection keeps: it most often says as little again.
const RECORDS_KEPT: usize = 4;

#[cfg(test)]
mod tests;
