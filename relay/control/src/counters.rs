//! What the control room counts; `docs/metrics.md` has a row for each.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) joins_refused: Counter,
    pub(crate) joins_limited: Counter,
    pub(crate) new_nodes_limited: Counter,
    pub(crate) authentications_failed: Counter,
    pub(crate) authentications_limited: Counter,
    pub(crate) requests_limited: Counter,
    pub(crate) events: Counter,
}

/// Counts up.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Each counter with its name, its meaning and its value.
    pub(crate) fn named(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            ("joins_refused", "Joins refused after a look at the key", &self.joins_refused),
            (
                "joins_limited",
                "Joins refused unread because of too many before",
                &self.joins_limited,
            ),
            (
                "new_nodes_limited",
                "Nodes not made because of too many new ones before",
                &self.new_nodes_limited,
            ),
            (
                "authentications_failed",
                "Requests with a wrong API key",
                &self.authentications_failed,
            ),
            (
                "authentications_limited",
                "API keys not looked at because of too many wrong ones before",
                &self.authentications_limited,
            ),
            ("requests_limited", "Requests over the rate of a key or node", &self.requests_limited),
            (
                "events",
                "Rows of the audit trail written since the relay began to serve",
                &self.events,
            ),
        ]
        .map(|(name, help, Counter(value))| (name, help, value.load(Ordering::Relaxed)))
    }
}
