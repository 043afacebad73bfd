//! When to ask again about a closed window (RFC 9293 §3.8.6.1).

use std::time::Duration;

use super::super::moment::Moment;

/// The persist timer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Persist {
    due: Option<Moment>,
    is_wanted: bool,
    doublings: u32,
}

impl Persist {
    /// Whether nothing can be sent for want of a window, and nothing is in flight that would bring an answer.
    pub(super) fn set_stuck(&mut self, is_stuck: bool, timeout: Duration, now: Moment) {
        if !is_stuck {
            *self = Self::default();
        } else if self.due.is_none() && !self.is_wanted {
            self.due = Some(now.after(self.interval(timeout)));
        }
    }

    /// A question that waits is due, and the next one soon.
    pub(super) fn ask_now(&mut self, now: Moment) {
        if self.due.is_some() {
            *self = Self { due: Some(now), ..Self::default() };
        }
    }

    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    pub(super) fn handle_timeout(&mut self, now: Moment) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.is_wanted = true;
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Gives whether a probe is to be sent; the next follows after twice the time.
    pub(super) fn take_wanted(&mut self, now: Moment, timeout: Duration) -> bool {
        let is_wanted = std::mem::take(&mut self.is_wanted);
        if is_wanted {
            self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
            self.due = Some(now.after(self.interval(timeout)));
        }
        is_wanted
    }

    fn interval(&self, timeout: Duration) -> Duration {
        (timeout * (1 << self.doublings)).min(INTERVAL_MAX)
    }
}

const DOUBLINGS_MAX: u32 = 6;
const INTERVAL_MAX: Duration = Duration::from_secs(10);
