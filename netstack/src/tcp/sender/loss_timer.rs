//! One timer for three questions: is it reordering, is the tail lost, is everything lost?
//!
//! Source: RFC 8985 §6.3, §7.2; RFC 6298 §5.

use std::time::Duration;

use super::super::moment::Moment;
use super::super::rtt::RoundTrip;
use super::Plan;

/// The timer. At most one of the three is armed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LossTimer {
    alarm: Option<(Moment, Alarm)>,
    reordering_due: Option<Moment>,
    /// Since when an answer is waited for.
    waiting_since: Moment,
    sent_at: Moment,
}

/// What the timer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// A segment has been waited for long enough after later ones arrived.
    Reordering,
    /// Nothing was heard for two round trips.
    Probe,
    /// Nothing was heard for the retransmission timeout.
    Timeout,
}

impl LossTimer {
    pub(super) fn due(&self) -> Option<Moment> {
        self.alarm.map(|(due, _)| due)
    }

    /// The alarm that has come, which is off then.
    pub(super) fn take_due(&mut self, now: Moment) -> Option<Alarm> {
        self.alarm.take_if(|(due, _)| *due <= now).map(|(_, alarm)| alarm)
    }

    pub(super) fn set_reordering(&mut self, due: Option<Moment>) {
        self.reordering_due = due;
    }

    /// Something was heard or given up: waiting begins anew.
    pub(super) fn restart(&mut self, now: Moment) {
        self.waiting_since = now;
    }

    pub(super) fn note_sent(&mut self, was_idle: bool, now: Moment) {
        self.sent_at = now;
        if was_idle {
            self.waiting_since = now;
        }
    }

    /// Whether nothing was sent for longer than `timeout`.
    pub(super) fn is_idle_for_long(&self, timeout: Duration, now: Moment) -> bool {
        now.since(self.sent_at) > timeout
    }

    /// Sets the alarm for what is in flight, if anything is.
    pub(super) fn arm(
        &mut self,
        is_waiting: bool,
        probe_after: Option<Duration>,
        timeout: Duration,
        now: Moment,
    ) {
        if !is_waiting {
            self.alarm = None;
            return;
        }
        let timeout_at = self.waiting_since.after(timeout);
        let probe_at = probe_after.map(|after| self.waiting_since.max(self.sent_at).after(after));
        self.alarm = Some(match (self.reordering_due, probe_at) {
            (Some(due), _) => (due.max(now), Alarm::Reordering),
            (None, Some(probe_at)) if probe_at < timeout_at => (probe_at, Alarm::Probe),
            (None, _) => (timeout_at, Alarm::Timeout),
        });
    }
}

/// How long to wait for any answer before the tail is probed (RFC 8985 §7.2).
pub(super) fn probe_timeout(round_trip: &RoundTrip, has_one_segment: bool) -> Duration {
    let Some(smoothed) = round_trip.smoothed() else { return PROBE_INITIAL };
    let base = smoothed * 2 + PROBE_MARGIN;
    if has_one_segment { base + DELAYED_ACKNOWLEDGMENT_MAX } else { base }
}

/// The probe that is wanted or under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TailProbe {
    is_wanted: bool,
    sent: Option<Probe>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    end: u64,
    is_retransmission: bool,
    /// Its timestamp.
    ticks: u32,
}

impl TailProbe {
    pub(super) fn wanted(&mut self) {
        self.is_wanted = true;
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether another probe may follow: one at a time.
    pub(super) fn is_possible(&self) -> bool {
        !self.is_wanted && self.sent.is_none()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives whether `plan` was the probe.
    pub(super) fn note_sent(&mut self, plan: &Plan, ticks: u32) -> bool {
        let was_wanted = std::mem::take(&mut self.is_wanted);
        if was_wanted {
            let is_retransmission = plan.is_retransmission;
            self.sent = Some(Probe { end: plan.end(), is_retransmission, ticks });
        }
        was_wanted
    }

    /// Everything before `una` is acknowledged, with an echo of the timestamp `echo`. Gives whether the probe has repaired a loss: it was a
    /// retransmission, it was answered, and nothing was received twice.
    pub(super) fn handle_progress(
        &mut self,
        una: u64,
        echo: Option<u32>,
        has_duplicate: bool,
    ) -> bool {
        self.is_wanted = false;
        let Some(probe) = self.sent.take_if(|probe| una >= probe.end) else { return false };
        let is_answer_to_original =
            echo.is_some_and(|echo| echo.wrapping_sub(probe.ticks).cast_signed() < 0);
        probe.is_retransmission && !has_duplicate && !is_answer_to_original
    }
}

/// Before anything was measured (RFC 8985 §7.2).
const PROBE_INITIAL: Duration = Duration::from_secs(1);
const PROBE_MARGIN: Duration = Duration::from_millis(2);
/// What the other side may hold an acknowledgment back for.
const DELAYED_ACKNOWLEDGMENT_MAX: Duration = Duration::from_millis(40);
