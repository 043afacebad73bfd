//! How long a datagram may be, as far as is known.

use std::time::{Duration, Instant};

use super::{FAILURES_MAX, Judgement};
use crate::limits::{INNER_MTU, INNER_MTU_BASE};

/// The length in use, and what speaks for it.
#[derive(Debug)]
pub(super) struct Length {
    packet_bytes: usize,
    /// When the greatest length was shown to arrive, or not to.
    shown: Option<Instant>,
    /// Rounds in a row that lost the length.
    failures: u32,
    /// Since when the greatest length is in use.
    grown: Option<Instant>,
    /// How often in a row it was in use for a short time only, and when it is tried again.
    flaps: u32,
    grows_from: Option<Instant>,
}

impl Length {
    pub(super) fn new() -> Self {
        Self {
            packet_bytes: INNER_MTU_BASE,
            shown: None,
            failures: 0,
            grown: None,
            flaps: 0,
            grows_from: None,
        }
    }

    /// Length of the longest packet, IP header included.
    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Rounds, or the kernel, have said so.
    pub(super) fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// Whether a packet of `bytes` calls for a round: it needs the length in use, or would be longer if it might.
    pub(super) fn is_doubted(&self, bytes: usize, now: Instant) -> bool {
        let is_old = |shown: Instant| now.saturating_duration_since(shown) >= HOLDS;
        bytes >= LONG_BYTES && self.shown.is_none_or(is_old)
    }

    /// Whether the next round tries the greatest length.
    pub(super) fn may_grow(&self, now: Instant) -> bool {
        self.packet_bytes < INNER_MTU && self.grows_from.is_none_or(|from| from <= now)
    }

    /// The length stays in use, and nothing speaks for it.
    pub(super) fn move_elsewhere(&mut self) {
        *self = Self { packet_bytes: self.packet_bytes, ..Self::new() };
    }

    /// A round is over that asked whether the length in use, or the greatest one, arrives.
    pub(super) fn judge(&mut self, arrives: bool, is_longest: bool, now: Instant) -> Judgement {
        if arrives {
            self.failures = 0;
            self.shown = Some(now);
            return Judgement { is_news: is_longest && self.grow(now), wants_round: false };
        }
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return Judgement { is_news: self.shrink(now), wants_round: false };
        }
        Judgement { is_news: false, wants_round: true }
    }

    /// Datagrams of the greatest length do not leave, or do not arrive. Returns true if that is news. On a path that carries them now and then
    /// every change has flows send again what is in flight, so they are tried ever more seldom.
    pub(super) fn shrink(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.shown = Some(now);
        if let Some(grown) = self.grown.take() {
            let has_lasted = now.saturating_duration_since(grown) >= LASTS;
            let flaps = if has_lasted { 0 } else { self.flaps };
            self.grows_from = Some(now + HOLDS * (1 << flaps));
            self.flaps = (flaps + 1).min(FLAP_DOUBLINGS_MAX);
        }
        self.set(INNER_MTU_BASE)
    }

    fn grow(&mut self, now: Instant) -> bool {
        self.grown.get_or_insert(now);
        self.set(INNER_MTU)
    }

    /// Returns true if that is another length.
    fn set(&mut self, packet_bytes: usize) -> bool {
        std::mem::replace(&mut self.packet_bytes, packet_bytes) != packet_bytes
    }
}

/// How long the length that was shown holds while data flows, in either direction: RFC 8899 §5.1.1 has longer timers for probes that cost more.
pub(super) const HOLDS: Duration = Duration::from_secs(10);
/// What is as long as this needs more than the base, or would be longer if it might: fragments are cut to units of 8 bytes.
const LONG_BYTES: usize = INNER_MTU_BASE - 8;
/// A length that lasted for so long may come again as soon.
pub(super) const LASTS: Duration = Duration::from_secs(60);
/// A length that never lasts is tried again after 10 seconds to 10 minutes and 40 seconds (RFC 8899 §5.1.1 has 10 minutes for any).
const FLAP_DOUBLINGS_MAX: u32 = 6;
