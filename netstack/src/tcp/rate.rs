//! How fast the path delivers, measured from acknowledgments.
//!
//! Each transmission takes a [`Snapshot`] of what was delivered so far; when it is acknowledged, what was delivered meanwhile over the time
//! that took is a sample of the path's rate, whatever else was in flight.
//!
//! Source: draft-cheng-iccrg-delivery-rate-estimation.

use std::time::Duration;

use super::moment::Moment;
use super::scoreboard::Sent;

/// Totals of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    pub(crate) delivered_bytes: u64,
    pub(crate) lost_bytes: u64,
    delivered_at: Moment,
    first_sent_at: Moment,
    /// Until this much is delivered, samples are of the application's rate, not the path's.
    app_limited_until: u64,
}

/// The totals when a segment was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) delivered_bytes: u64,
    pub(crate) lost_bytes: u64,
    /// Bytes in flight, the segment not included.
    pub(crate) in_flight_before: u64,
    delivered_at: Moment,
    first_sent_at: Moment,
    is_app_limited: bool,
}

/// What an acknowledgment tells of the path's rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateSample {
    /// Zero when the interval was too short to tell.
    pub(crate) bytes_per_second: u64,
    /// Bytes delivered since the segment was sent that the sample is of.
    pub(crate) delivered_bytes: u64,
    pub(crate) is_app_limited: bool,
    /// The totals when that segment was sent.
    pub(crate) sent: Snapshot,
    /// Bytes in flight then, itself included.
    pub(crate) in_flight_bytes: u64,
}

impl Rate {
    /// What a segment that is sent at `now` remembers.
    pub(crate) fn snapshot(&mut self, in_flight_before: u64, now: Moment) -> Snapshot {
        if in_flight_before == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered_bytes: self.delivered_bytes,
            lost_bytes: self.lost_bytes,
            in_flight_before,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            is_app_limited: self.delivered_bytes < self.app_limited_until,
        }
    }

    /// The application has less to send than the path would take.
    pub(crate) fn note_app_limited(&mut self, in_flight_bytes: u64) {
        self.app_limited_until = (self.delivered_bytes + in_flight_bytes).max(1);
    }
}

impl Snapshot {
    /// Of the next segment of a train, `bytes` behind the one that this is of.
    pub(crate) fn behind(self, bytes: u64) -> Self {
        Self { in_flight_before: self.in_flight_before + bytes, ..self }
    }
}

/// The newest segment that one acknowledgment delivers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Newest {
    sent: Option<Sent>,
}

impl Newest {
    /// Counts a delivered segment.
    pub(crate) fn deliver(&mut self, sent: &Sent, rate: &mut Rate, now: Moment) {
        rate.delivered_bytes += sent.bytes();
        rate.delivered_at = now;
        let age = |sent: &Sent| (sent.snapshot.delivered_bytes, sent.sent_at, sent.end);
        if self.sent.is_none_or(|newest| age(&newest) <= age(sent)) {
            self.sent = Some(*sent);
        }
    }

    /// The sample, once all segments are counted. An interval below `rtt_lowest` says nothing.
    pub(crate) fn sample(&self, rate: &mut Rate, rtt_lowest: Duration) -> Option<RateSample> {
        let sent = self.sent?;
        let snapshot = sent.snapshot;
        rate.first_sent_at = rate.first_sent_at.max(sent.sent_at);
        let send_elapsed = sent.sent_at.since(snapshot.first_sent_at);
        let ack_elapsed = rate.delivered_at.since(snapshot.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered_bytes = rate.delivered_bytes - snapshot.delivered_bytes;
        let is_long_enough = interval >= rtt_lowest && !interval.is_zero();
        let bytes_per_second =
            if is_long_enough { per_second(delivered_bytes, interval) } else { 0 };
        let is_app_limited = snapshot.is_app_limited;
        Some(RateSample {
            bytes_per_second,
            delivered_bytes,
            is_app_limited,
            sent: snapshot,
            in_flight_bytes: sent.in_flight_bytes(),
        })
    }
}

/// `bytes` in `time`, as a rate.
pub(crate) fn per_second(bytes: u64, time: Duration) -> u64 {
    multiply_divide(bytes, NANOS_PER_SECOND, nanos(time).max(1))
}

/// How long `bytes` take at `bytes_per_second`.
pub(crate) fn time_for(bytes: u64, bytes_per_second: u64) -> Duration {
    Duration::from_nanos(multiply_divide(bytes, NANOS_PER_SECOND, bytes_per_second.max(1)))
}

/// How many bytes `bytes_per_second` make in `time`.
pub(crate) fn bytes_in(time: Duration, bytes_per_second: u64) -> u64 {
    multiply_divide(bytes_per_second, nanos(time), NANOS_PER_SECOND)
}

/// `number * factor / divisor`. A wide division costs several narrow ones, so it is made only where the product needs it.
fn multiply_divide(number: u64, factor: u64, divisor: u64) -> u64 {
    match number.checked_mul(factor) {
        Some(product) => product / divisor,
        None => {
            let product = u128::from(number) * u128::from(factor);
            u64::try_from(product / u128::from(divisor)).unwrap_or(u64::MAX)
        }
    }
}

/// `time` in nanoseconds, as far as they go.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
