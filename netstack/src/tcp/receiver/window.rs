//! How much the other side may send: grows with what is read.
//!
//! A window costs no memory, only bytes do. It begins at [`WINDOW_INITIAL_BYTES`] and follows eight times what was read in a round trip, so
//! that a sender which doubles each round trip is never held back, not even while it repairs a loss; it stops to grow while memory is scarce. An edge once offered is
//! never taken back (RFC 9293 §3.8.6).

use std::time::Duration;

use super::super::moment::Moment;
use crate::limits::{WINDOW_INITIAL_BYTES, WINDOW_MAX_BYTES};

/// The receive window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveWindow {
    limit: u64,
    /// Position behind the last byte that was ever offered.
    edge: u64,
    /// What the last segment offered.
    told: u64,
    round_trip: Duration,
    round_began: Moment,
    /// What was read when the round began.
    read_before: u64,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self {
            limit: WINDOW_INITIAL_BYTES,
            edge: 0,
            told: 0,
            round_trip: ROUND_TRIP_UNKNOWN,
            round_began: Moment::default(),
            read_before: 1,
        }
    }
}

impl ReceiveWindow {
    /// Where the window ends that the other side knows of.
    pub(crate) fn edge(&self, next: u64) -> u64 {
        self.edge.max(next)
    }

    /// Takes positions before `edge`, whatever was offered.
    pub(crate) fn open_early(&mut self, edge: u64) {
        self.edge = self.edge.max(edge);
    }

    pub(crate) fn note_round_trip(&mut self, measured: Duration) {
        self.round_trip = (self.round_trip * 7 + measured) / 8;
    }

    /// Everything before `read` was read; `next` has come.
    pub(crate) fn note_read(&mut self, read: u64, next: u64, is_scarce: bool, now: Moment) {
        if is_scarce {
            self.limit = self.limit.min((next - read).max(WINDOW_INITIAL_BYTES));
            return;
        }
        let elapsed = now.since(self.round_began);
        if elapsed < self.round_trip {
            return;
        }
        // Over a longer time, the share of one round trip.
        let rounds = elapsed.as_nanos() / self.round_trip.as_nanos().max(1);
        let per_round = u128::from(read - self.read_before) / rounds.max(1);
        let wanted = u64::try_from(per_round * 8).unwrap_or(u64::MAX);
        self.limit = self.limit.max(wanted).min(WINDOW_MAX_BYTES);
        self.round_began = now;
        self.read_before = read;
    }

    /// The window field, scaled by `shift`, with `free_bytes` of memory left.
    pub(crate) fn offer(&mut self, next: u64, read: u64, free_bytes: u64, shift: u8) -> u16 {
        let room = self.room(next, read, free_bytes);
        let opens_by = (next + room).saturating_sub(self.edge);
        // RFC 9293 §3.8.6.2.2: not in silly little steps.
        if opens_by >= LEAST_WORTH_TELLING.min(self.limit / 2) {
            self.edge = next + room;
        }
        let field = u16::try_from((self.edge(next) - next) >> shift).unwrap_or(u16::MAX);
        self.told = next + (u64::from(field) << shift);
        self.edge = self.edge.max(self.told);
        field
    }

    /// Whether reading has opened the window so far that the other side should hear of it: by half of what it may use, or from nothing.
    pub(crate) fn is_worth_telling(&self, next: u64, read: u64, free_bytes: u64) -> bool {
        let known = self.told.saturating_sub(next);
        let possible = self.room(next, read, free_bytes);
        possible >= known + (self.limit / 2).min(known.max(LEAST_WORTH_TELLING))
    }

    /// A flow that holds nothing may always send a little, however scarce memory is.
    fn room(&self, next: u64, read: u64, free_bytes: u64) -> u64 {
        let unread = next - read;
        let room = self.limit.saturating_sub(unread).min(free_bytes);
        if unread == 0 { room.max(LEAST_WORTH_TELLING) } else { room }
    }
}

const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(10);
/// Half a small window.
const LEAST_WORTH_TELLING: u64 = 2 * 1024;
