//! What a receiver notes: how many bytes by when, the longest wait between two, whether all were right.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::content;
use crate::plan::Amount;

/// The notes on one flow, shared between who receives and who decides when to stop.
#[derive(Debug, Clone)]
pub(crate) struct Sink(Arc<Mutex<Notes>>);

#[derive(Debug)]
pub(crate) struct Notes {
    amount: Amount,
    bytes: u64,
    is_intact: bool,
    is_ended: bool,
    /// The first byte: handshakes differ in when an end hears of them, data does not.
    began: Option<Instant>,
    last: Option<Instant>,
    longest_stall: Duration,
    marks: Vec<(Instant, u64)>,
}

impl Sink {
    pub(crate) fn new(amount: Amount) -> Self {
        Self(Arc::new(Mutex::new(Notes {
            amount,
            bytes: 0,
            is_intact: true,
            is_ended: false,
            began: None,
            last: None,
            longest_stall: Duration::ZERO,
            marks: Vec::new(),
        })))
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Bytes have come.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) {
        self.is_intact &= content::matches(self.bytes, bytes);
        self.bytes += bytes.len() as u64;
        self.began.get_or_insert(now);
        self.note_wait(now);
        self.last = Some(now);
        if self.marks.last().is_none_or(|(at, _)| now - *at >= MARK_INTERVAL) {
            self.marks.push((now, self.bytes));
        }
    }

    /// The end of the stream has come.
    pub(crate) fn end(&mut self, now: Instant) {
        self.is_ended = true;
        self.note_wait(now);
        self.marks.push((now, self.bytes));
    }

    /// Whether everything that was planned has happened.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        match self.amount {
            Amount::Bytes(_) => self.is_ended,
            Amount::Time(_) => self.window_ends().is_some_and(|end| end <= now),
        }
    }

    /// The time of the first byte.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// The time of the end of the stream, or of the planned time.
    pub(crate) fn window_ends(&self) -> Option<Instant> {
        match self.amount {
            Amount::Bytes(_) => self.last,
            Amount::Time(time) => self.began.map(|began| began + time),
        }
    }

    /// Bytes received by then.
    pub(crate) fn bytes_by(&self, when: Instant) -> u64 {
        let after = self.marks.partition_point(|(at, _)| *at <= when);
        after.checked_sub(1).and_then(|last| self.marks.get(last)).map_or(0, |(_, bytes)| *bytes)
    }

    /// The longest time without a byte, from the first one to the end.
    pub(crate) fn longest_stall(&mut self, now: Instant) -> Duration {
        self.note_wait(now);
        self.longest_stall
    }

    /// Whether every byte was right, and none is missing before the end.
    pub(crate) fn is_intact(&self) -> bool {
        match self.amount {
            Amount::Bytes(bytes) => self.is_intact && self.is_ended && self.bytes == bytes,
            Amount::Time(_) => self.is_intact,
        }
    }

    /// Only waits within the window count: afterwards nobody tries to fill the link.
    fn note_wait(&mut self, now: Instant) {
        let (Some(last), Some(end)) = (self.last, self.window_ends()) else { return };
        let waited = now.min(end.max(last)).saturating_duration_since(last);
        self.longest_stall = self.longest_stall.max(waited);
    }
}

const MARK_INTERVAL: Duration = Duration::from_millis(2);
