//! Spreads what is sent over time.
//!
//! A segment is sent when its time has come; the next one's time follows from the rate. What a late wake-up missed is sent at once, up to a
//! bound, so that a coarse clock costs no throughput; time in which there was nothing to send earns only a quantum.

use std::time::Duration;

use super::moment::Moment;
use super::rate::{bytes_in, nanos, time_for};

/// When the next segment may leave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pacer {
    next: Moment,
    /// Nothing but the pacer has held segments back since [`Pacer::rest`].
    is_behind: bool,
    /// A rate, and the time that its quantum takes: it seldom changes between two segments.
    quantum: (u64, Duration),
}

impl Pacer {
    /// Whether a segment that is ready may leave at `now`.
    pub(crate) fn allows(&mut self, now: Moment) -> bool {
        let is_allowed = self.next <= now;
        self.is_behind |= !is_allowed;
        is_allowed
    }

    /// How many segments of `bytes` may leave at `now`, one after the other, if one may.
    pub(crate) fn segments(&mut self, bytes: u64, bytes_per_second: u64, now: Moment) -> u64 {
        let ahead = now.since(self.begin(bytes_per_second, now));
        1 + nanos(ahead) / nanos(time_for(bytes, bytes_per_second)).max(1)
    }

    /// Counts `bytes` sent at `now` at `bytes_per_second`.
    pub(crate) fn note_sent(&mut self, bytes: u64, bytes_per_second: u64, now: Moment) {
        let begin = self.begin(bytes_per_second, now);
        self.next = begin.after(time_for(bytes, bytes_per_second));
    }

    /// There is nothing to send, or something else than the pacer forbids it.
    pub(crate) fn rest(&mut self) {
        self.is_behind = false;
    }

    /// When to look again: once a quantum may leave, so that segments leave in trains.
    pub(crate) fn wake_at(&mut self, bytes_per_second: u64, now: Moment) -> Moment {
        if self.next <= now { now } else { self.next.after(self.quantum(bytes_per_second) / 2) }
    }

    /// Where the time of what is sent at `now` begins: what was missed before is lost.
    fn begin(&mut self, bytes_per_second: u64, now: Moment) -> Moment {
        let quantum = self.quantum(bytes_per_second);
        let credit = if self.is_behind { quantum + LATENESS_MAX } else { quantum };
        self.next.max(now.before(credit))
    }

    fn quantum(&mut self, bytes_per_second: u64) -> Duration {
        if self.quantum.0 != bytes_per_second {
            self.quantum = (bytes_per_second, quantum_time(bytes_per_second));
        }
        self.quantum.1
    }
}

/// Time that one quantum takes: a millisecond, or less at rates where that is more than a train.
fn quantum_time(bytes_per_second: u64) -> Duration {
    let quantum = bytes_in(QUANTUM_TIME, bytes_per_second).min(QUANTUM_BYTES_MAX);
    time_for(quantum, bytes_per_second)
}

const QUANTUM_TIME: Duration = Duration::from_millis(1);
const QUANTUM_BYTES_MAX: u64 = 64 * 1024;
/// What a wake-up that is later than this has missed is lost.
const LATENESS_MAX: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 12_500_000;

    /// Bytes sent in a second by a sender that looks every `step`, in segments of 1,250.
    fn sent_bytes(step: Duration) -> u64 {
        let (mut pacer, mut now, mut bytes) = (Pacer::default(), Moment::default(), 0);
        let end = now.after(Duration::from_secs(1));
        while now < end {
            while pacer.allows(now) {
                pacer.note_sent(1_250, RATE, now);
                bytes += 1_250;
            }
            now = now.after(step);
        }
        bytes
    }

    #[test]
    fn the_rate_holds_however_seldom_the_sender_looks() {
        for micros in [20, 100, 1_000, 1_900, 4_000] {
            let bytes = sent_bytes(Duration::from_micros(micros));
            assert!(bytes.abs_diff(RATE) < RATE / 50, "{bytes} at every {micros} µs");
        }
    }

    #[test]
    fn a_rest_earns_one_quantum() {
        let (mut pacer, now) = (Pacer::default(), Moment::default().after(Duration::from_secs(9)));
        let mut bytes = 0;
        while pacer.allows(now) {
            pacer.note_sent(1_250, RATE, now);
            bytes += 1_250;
        }
        assert!(bytes <= 12_500 + 2_500, "{bytes}");
    }
}
