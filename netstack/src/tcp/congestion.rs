//! How much may be in flight, and how fast it is sent.
//!
//! A [`Controller`] hears of every acknowledgment and loss and answers with a window and a rate. It never touches segments; the sender
//! decides what is sent within what the controller allows.

mod bbr;
mod cubic;
mod hystart;
mod prr;

use std::fmt::Debug;
use std::time::Duration;

use super::moment::Moment;
use super::rate::RateSample;
use crate::types::Congestion;

pub(crate) use bbr::Bbr;
pub(crate) use cubic::Cubic;

/// One acknowledgment that told something new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acked {
    pub(crate) now: Moment,
    /// Bytes newly known to have arrived.
    pub(crate) delivered_bytes: u64,
    /// All bytes known to have arrived, these included.
    pub(crate) delivered_total: u64,
    /// Bytes in flight, before and after.
    pub(crate) in_flight_before: u64,
    pub(crate) in_flight: u64,
    /// A round-trip time, when this acknowledgment gives a certain one.
    pub(crate) round_trip: Option<Duration>,
    /// The smoothed round-trip time.
    pub(crate) round_trip_smoothed: Duration,
    pub(crate) rate: Option<RateSample>,
    /// Everything that the window allows is in flight.
    pub(crate) is_window_limited: bool,
    /// The other side saw congestion marked on our packets (RFC 3168).
    pub(crate) is_marked: bool,
}

/// A segment judged lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostSegment {
    pub(crate) bytes: u64,
    /// Bytes in flight when it was sent, itself included.
    pub(crate) in_flight_at_sending: u64,
    /// Bytes lost between its sending and its loss, itself included.
    pub(crate) lost_since_sending: u64,
}

/// A congestion control algorithm.
pub(crate) trait Controller: Debug {
    /// Segments carry only `mss` bytes: the first window counts in those (RFC 6928 §2). One that has grown is of the path and stays.
    fn limit_mss(&mut self, mss: u64);

    /// A segment is lost.
    fn handle_loss(&mut self, lost: &LostSegment);

    /// An episode of recovery begins with `in_flight` bytes in flight; losses count once until its end.
    fn handle_recovery(&mut self, in_flight: u64, now: Moment);

    /// The episode is over: everything sent before its beginning is acknowledged.
    fn handle_recovered(&mut self);

    /// A retransmission timeout: everything in flight is given up for lost.
    fn handle_timeout(&mut self, now: Moment);

    /// The losses of the last episode or timeout were none.
    fn handle_spurious(&mut self);

    /// An acknowledgment brought something forward.
    fn handle_acked(&mut self, acked: &Acked);

    /// Sending begins again after a time with nothing in flight.
    fn handle_restart(&mut self, now: Moment);

    /// Bytes sent; the window may have been tight.
    fn handle_sent(&mut self, bytes: u64);

    /// Bytes that may be in flight.
    fn window_bytes(&self) -> u64;

    /// Bytes a second at which they are sent.
    fn bytes_per_second(&self) -> u64;
}

/// The controller that `choice` names, for segments of `mss` bytes.
pub(crate) fn controller(choice: Congestion, mss: u64, seed: u64) -> Box<dyn Controller> {
    match choice {
        Congestion::Model => Box::new(Bbr::new(mss, seed)),
        Congestion::Cubic => Box::new(Cubic::new(mss)),
    }
}

/// The first window (RFC 6928 §2).
fn initial_window(mss: u64) -> u64 {
    10 * mss
}

/// `bytes` times `factor`.
fn scale(bytes: u64, factor: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a float saturates when it becomes an integer, and bytes below 2^53 are exact"
    )]
    let scaled = (bytes as f64 * factor) as u64;
    scaled
}

/// `part` of `whole`, as a number from 0 up.
fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

/// Before any measurement, rates are made from this round-trip time.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(1);
