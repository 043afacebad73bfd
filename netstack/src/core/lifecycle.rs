//! What follows from the state of a flow: who is woken, when it is polled, when it goes.
//!
//! [`Core::settle`] is called after every touch of a connection and is the only place that schedules,
//! arms, unlinks and frees.

use std::time::{Duration, Instant};

use super::Core;
use super::flow::{End, Flow};
use super::slab::FlowId;
use super::table::{FlowKey, Slot};
use super::time_wait::TimeWait;
use crate::limits::USER_TIMEOUT;
use crate::tcp::Phase;
use crate::types::PeerKey;

/// When a connection that wants to send but brings nothing forward is asked again: at first, and most.
const FUTILE_RETRY: Duration = Duration::from_millis(10);
const FUTILE_DOUBLINGS_MAX: u32 = 12;

impl Core {
    /// Adds a flow to all tables.
    pub(super) fn insert_flow(&mut self, flow: Flow) -> FlowId {
        let key = flow.key;
        let id = self.flows.insert(flow);
        self.table.insert(key, Slot::Flow(id));
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.flows.insert(id);
        }
        self.counters.flows_opened += 1;
        self.settle(id);
        id
    }

    /// The core with nothing left to follow from the last packets.
    pub(crate) fn settled(&mut self) -> &mut Self {
        if let Some(run) = self.running.take() {
            self.settle(run.id);
        }
        self
    }

    /// Brings everything up to date with a flow whose connection was touched.
    pub(super) fn settle(&mut self, id: FlowId) {
        let Some(now) = self.now else { return };
        let due = self.conclude(id, now);
        if due.is_some_and(|at| at <= now) {
            self.make_ready(id);
            self.arm(id, None);
        } else {
            self.arm(id, due);
            self.bury(id);
        }
    }

    /// As [`Self::settle`], for a flow that had its turn and sent nothing. Should its connection want to send again at once all the same, it
    /// is asked ever more seldom, so that a mistake in it could not keep the stack busy.
    pub(super) fn settle_futile(&mut self, id: FlowId, now: Instant) {
        let due = self.conclude(id, now);
        let Some(flow) = self.flows.get_mut(id) else { return };
        let retry = now + FUTILE_RETRY * (1 << flow.futile_count.min(FUTILE_DOUBLINGS_MAX));
        flow.futile_count = flow.futile_count.saturating_add(1);
        self.arm(id, due.map(|at| if at <= now { retry } else { at }));
        self.bury(id);
    }

    /// As [`Self::settle`], for a flow that may have more to send: that shows in its next turn. Should none come, for the peer is paused, the
    /// timer for its silence is running all the same.
    pub(super) fn settle_later(&mut self, id: FlowId, now: Instant) {
        let Some(flow) = self.flows.get(id) else { return };
        if flow.armed.is_some_and(|at| at <= now + USER_TIMEOUT) {
            self.make_ready(id);
        } else {
            self.settle(id);
        }
    }

    /// Ends a flow without a word to the other side.
    pub(super) fn end_flow(&mut self, id: FlowId, end: End) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.end.get_or_insert(end);
            self.settle(id);
        }
    }

    /// A deadline of the flow has come.
    pub(super) fn flow_timer_fired(&mut self, id: FlowId, now: Instant) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.armed = None;
        let was_open = flow.end.is_none();
        flow.expire(now);
        if was_open && flow.end == Some(End::TimedOut) {
            self.counters.flows_timed_out += 1;
        }
        self.counters.engine_polls += 1;
        self.settle(id);
    }

    /// Queues a peer for a turn of sending, if it has something to send.
    pub(super) fn give_turn(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.take_turn() {
            self.turns.push_back(key);
            self.attention.is_wanted = true;
        }
    }

    /// Forgets what `key` was remembered for in TIME-WAIT.
    pub(super) fn forget_time_wait(&mut self, key: &FlowKey) {
        if let Some(Slot::TimeWait(id)) = self.table.get(key).copied() {
            self.table.remove(key);
            self.time_waits.remove(id);
        }
    }

    /// Sets the end, wakes who waits, and gives when the connection wants to send.
    fn conclude(&mut self, id: FlowId, now: Instant) -> Option<Instant> {
        let flow = self.flows.get_mut(id)?;
        if flow.refresh() == Some(End::Reset) {
            self.counters.flows_reset += 1;
        }
        let due = if flow.may_speak() { flow.connection.poll_timeout(now) } else { None };
        let is_over = flow.end.is_none() && flow.connection.phase() == Phase::TimeWait;
        if is_over && let Some(sequences) = flow.connection.sequences() {
            self.remember(id, sequences, now);
            self.wake(id);
            return None;
        }
        self.wake(id);
        due
    }

    fn wake(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.wake(&mut self.attention.wakers);
        }
    }

    /// Puts a record in the place of a flow that has nothing more to send or receive.
    ///
    /// The connection is not polled any more: the end of its own TIME-WAIT would throw away what the
    /// handle has not read yet.
    fn remember(&mut self, id: FlowId, sequences: (u32, u32), now: Instant) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.end = Some(End::Finished);
        let record = TimeWait { key: flow.key, local: flow.local, remote: flow.remote, sequences };
        let (time_wait, evicted) = self.time_waits.insert(record, now);
        if let Some(evicted) = evicted {
            self.counters.time_wait_evicted += 1;
            self.table.remove(&evicted);
        }
        self.table.insert(record.key, Slot::TimeWait(time_wait));
    }

    /// Queues a flow for its turn of sending.
    pub(super) fn make_ready(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if std::mem::replace(&mut flow.is_queued, true) {
            return;
        }
        let key = flow.key.peer;
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.ready.push_back(id);
        if peer.take_turn() {
            self.turns.push_back(key);
            self.attention.is_wanted = true;
        }
    }

    fn arm(&mut self, id: FlowId, due: Option<Instant>) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        let deadline = match (due, flow.deadline()) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        };
        if let Some(deadline) = deadline
            && self.timers.arm(id, deadline, &mut flow.armed)
        {
            self.attention.is_wanted = true;
        }
    }

    /// Takes an ended flow out of the table, and gives back its memory once no handle is left.
    fn bury(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.end.is_none() {
            return;
        }
        if self.table.get(&flow.key) == Some(&Slot::Flow(id)) {
            self.table.remove(&flow.key);
        }
        if flow.has_handle() {
            return;
        }
        self.timers.cancel(id, &mut flow.armed);
        let key = flow.key.peer;
        self.flows.remove(id);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.flows.remove(&id);
        }
        self.counters.flows_closed += 1;
    }
}
