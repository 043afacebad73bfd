//! Closed 5-tuples that late segments may still name (RFC 9293 §3.6.1).
//!
//! A record of some dozen bytes, not a socket: enough to acknowledge a repeated FIN. All records live
//! equally long, so their order of age is their order of expiry.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::table::FlowKey;
use crate::limits::{TIME_WAIT_LIFETIME, TIME_WAIT_MAX};

/// Names a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimeWaitId(u64);

/// What is left of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeWait {
    pub(super) key: FlowKey,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Next to send and next to receive: the last ACK.
    pub(super) sequences: (u32, u32),
}

/// All records.
#[derive(Default)]
pub(super) struct TimeWaits {
    records: BTreeMap<TimeWaitId, (Instant, TimeWait)>,
    next: u64,
}

impl TimeWaits {
    /// Adds a record; gives the key of the oldest when there is one too many.
    pub(super) fn insert(
        &mut self,
        record: TimeWait,
        now: Instant,
    ) -> (TimeWaitId, Option<FlowKey>) {
        let id = TimeWaitId(self.next);
        self.next += 1;
        let is_full = self.records.len() >= TIME_WAIT_MAX;
        let evicted = if is_full { self.records.pop_first() } else { None };
        self.records.insert(id, (now + TIME_WAIT_LIFETIME, record));
        (id, evicted.map(|(_, (_, oldest))| oldest.key))
    }

    pub(super) fn get(&self, id: TimeWaitId) -> Option<&TimeWait> {
        self.records.get(&id).map(|(_, record)| record)
    }

    pub(super) fn remove(&mut self, id: TimeWaitId) {
        self.records.remove(&id);
    }

    pub(super) fn first_expiry(&self) -> Option<Instant> {
        self.records.first_key_value().map(|(_, (expires, _))| *expires)
    }

    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<FlowKey> {
        if self.first_expiry()? > now {
            return None;
        }
        self.records.pop_first().map(|(_, (_, record))| record.key)
    }
}
