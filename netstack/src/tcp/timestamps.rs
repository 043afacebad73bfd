//! The timestamps option: round-trip times without ambiguity, and protection against wrapped sequence numbers.
//!
//! Between our own nodes a tick is a microsecond, towards others a millisecond, as RFC 7323 §5.4 advises: a clock that wraps within the
//! hour would make them throw away what follows a long rest.

use std::time::Duration;

use super::moment::Moment;

/// Of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamps {
    is_agreed: bool,
    tick: Duration,
    /// Added to our clock, so that it tells nothing (RFC 7323 §5.4).
    offset: u32,
    /// Their latest, and when it came.
    recent: u32,
    recent_at: Moment,
}

impl Timestamps {
    pub(crate) fn new(is_foreign: bool, offset: u32) -> Self {
        let tick = if is_foreign { Duration::from_millis(1) } else { Duration::from_micros(1) };
        Self { is_agreed: false, tick, offset, recent: 0, recent_at: Moment::default() }
    }

    pub(crate) fn agree(&mut self, theirs: Option<(u32, u32)>, now: Moment) {
        self.is_agreed = theirs.is_some();
        self.note_recent(theirs, now);
    }

    pub(crate) fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    /// Our clock.
    pub(crate) fn ticks(&self, now: Moment) -> u32 {
        now.ticks(self.tick).wrapping_add(self.offset)
    }

    /// What a segment that leaves now carries.
    pub(crate) fn option(&self, now: Moment) -> Option<(u32, u32)> {
        self.is_agreed.then(|| (self.ticks(now), self.recent))
    }

    /// Whether a segment is older than what was already seen: PAWS (RFC 7323 §5.3).
    pub(crate) fn is_old(&self, theirs: Option<(u32, u32)>, now: Moment) -> bool {
        let Some((value, _)) = theirs.filter(|_| self.is_agreed) else { return false };
        let is_earlier = value.wrapping_sub(self.recent).cast_signed() < 0;
        is_earlier && now.since(self.recent_at) < self.tick.saturating_mul(WRAP_TICKS)
    }

    /// Their clock, from a segment that begins at what was last acknowledged, or before (RFC 7323 §4.3).
    pub(crate) fn note_recent(&mut self, theirs: Option<(u32, u32)>, now: Moment) {
        let Some((value, _)) = theirs.filter(|_| self.is_agreed) else { return };
        self.recent = value;
        self.recent_at = now;
    }

    /// How long ago we sent what `echo` echoes; `None` where the tick is too coarse to tell, or the echo makes no sense.
    pub(crate) fn age(&self, echo: Option<u32>, now: Moment) -> Option<Duration> {
        let ticks = self.ticks(now).wrapping_sub(echo?);
        let is_sane = ticks.cast_signed() >= 0;
        (is_sane && self.tick < Duration::from_millis(1)).then(|| self.tick.saturating_mul(ticks))
    }
}

/// Half of the clock's range: beyond it, earlier and later cannot be told apart.
const WRAP_TICKS: u32 = 1 << 31;
