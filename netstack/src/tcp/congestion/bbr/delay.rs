//! The lowest round-trip time, and when a lower one is looked for.

use std::time::Duration;

use crate::tcp::congestion::Acked;
use crate::tcp::moment::Moment;

/// Two minima: the estimate, and a shorter-lived one that says when to probe.
#[derive(Debug, Default)]
pub(super) struct Delay {
    lowest: Option<Duration>,
    lowest_at: Moment,
    recent: Option<Duration>,
    recent_at: Moment,
    is_probe_due: bool,
    has_restarted: bool,
}

impl Delay {
    /// The lowest round-trip time of the last ten seconds.
    pub(super) fn lowest(&self) -> Option<Duration> {
        self.lowest
    }

    /// Whether the estimate is so old that the queue should be drained to renew it.
    pub(super) fn is_probe_due(&self) -> bool {
        self.is_probe_due
    }

    /// Nothing was in flight: whatever comes back first is a fresh measurement.
    pub(super) fn note_restart(&mut self) {
        self.has_restarted = true;
    }

    pub(super) fn note_probed(&mut self, now: Moment) {
        self.recent_at = now;
        self.is_probe_due = false;
    }

    pub(super) fn handle_acked(&mut self, acked: &Acked) {
        let now = acked.now;
        let is_recent_old = now.since(self.recent_at) > PROBE_INTERVAL;
        if let Some(measured) = acked.round_trip {
            // As good as the lowest: the path was seen without a queue just now.
            let is_renewal = self.recent.is_none_or(|recent| measured <= recent + recent / 32);
            if is_renewal || is_recent_old {
                self.recent = Some(
                    self.recent
                        .filter(|_| !is_recent_old)
                        .map_or(measured, |recent| recent.min(measured)),
                );
                self.recent_at = now;
            }
            let is_lowest_old = now.since(self.lowest_at) > LOWEST_LIFETIME;
            if self.lowest.is_none_or(|lowest| self.recent.is_some_and(|recent| recent < lowest))
                || is_lowest_old
            {
                self.lowest = self.recent;
                self.lowest_at = self.recent_at;
            } else if self.lowest == self.recent {
                self.lowest_at = self.recent_at;
            }
        }
        self.is_probe_due = is_recent_old && !self.has_restarted;
        self.has_restarted = false;
    }
}

const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const LOWEST_LIFETIME: Duration = Duration::from_secs(10);
