//! A peer falls silent, comes back, or has started anew: what that means for its flows.
//!
//! A peer that is paused has no session, because nothing was heard of it for minutes. Its flows live on for [`PAUSE_MAX`], in case it comes
//! back, and then end. A peer that is heard after a silence has a path that works again: what was lost meanwhile is repeated at once, and after a
//! long silence idle flows ask whether the other side still has them, for its RST may be among what was lost. Of a peer that has started anew the
//! flows of the start before end a few seconds later.

use std::time::{Duration, Instant};

use rand::Rng;

use super::Core;
use super::flow::{End, Flow};
use super::slab::FlowId;
use crate::limits::{PAUSE_MAX, QUESTIONS_SPREAD, SILENCE_LONG, SILENCE_MIN, START_GRACE};
use crate::types::PeerKey;

impl Core {
    /// Holds back, or lets go, everything for a peer.
    pub(crate) fn pause_peer(&mut self, key: PeerKey, is_paused: bool) {
        let (Some(peer), Some(now)) = (self.peers.get_mut(&key), self.now) else { return };
        if !is_paused {
            peer.paused_since = None;
            self.give_turn(key);
        } else if peer.paused_since.is_none() {
            peer.paused_since = Some(now);
            self.pauses.push_back((now, key));
        }
    }

    /// When the longest pause has lasted too long.
    pub(super) fn first_pause_end(&self) -> Option<Instant> {
        self.pauses.front().map(|(since, _)| *since + PAUSE_MAX)
    }

    /// Ends the flows of peers that did not come back.
    pub(super) fn end_long_pauses(&mut self, now: Instant) {
        while self.first_pause_end().is_some_and(|end| end <= now) {
            let Some((since, key)) = self.pauses.pop_front() else { return };
            let Some(peer) = self.peers.get(&key) else { continue };
            // It may have come back, and been paused again, since.
            if peer.paused_since == Some(since) {
                for id in peer.flows.iter().copied().collect::<Vec<_>>() {
                    self.give_up_silent(id);
                }
            }
        }
    }

    fn give_up_silent(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.end.is_none()) else { return };
        // Its RST waits for a session, as long as the handle's owner and a minute more.
        flow.give_up(End::TimedOut);
        self.counters.flows_timed_out += 1;
        self.settle(id);
    }

    /// Something authentic has come from a peer.
    pub(crate) fn heard_from(&mut self, key: PeerKey, now: Instant) {
        let now = self.observe(now);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let silence = peer.hear(now);
        if silence >= SILENCE_MIN {
            self.resume(key, silence, now);
        }
    }

    /// The path to a peer works again after `silence`.
    pub(super) fn resume(&mut self, key: PeerKey, silence: Duration, now: Instant) {
        let Some(peer) = self.peers.get(&key) else { return };
        let asks = silence >= SILENCE_LONG;
        let flows = peer.flows.iter().copied();
        let waiting: Vec<FlowId> = flows.filter(|id| asks || self.is_waiting_long(*id)).collect();
        for id in waiting {
            let wait = QUESTIONS_SPREAD.mul_f64(self.random.random::<f64>());
            let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.end.is_none()) else {
                continue;
            };
            flow.connection.resume(asks.then_some(wait), now);
            self.settle(id);
        }
    }

    fn is_waiting_long(&self, id: FlowId) -> bool {
        self.flows.get(id).is_some_and(|flow| flow.unanswered_since.is_some())
    }

    /// Remembers which start of the other node was heard, if any: one that refused a call may be another. The flows of an earlier one end soon.
    pub(super) fn note_start(&mut self, key: PeerKey, heard: Option<u32>) {
        let (Some(peer), Some(now)) = (self.peers.get_mut(&key), self.now) else { return };
        peer.boot_id = heard;
        let Some(start) = heard else { return };
        let is_another = peer.start.replace(start).is_some_and(|before| before != start);
        if is_another && !std::mem::replace(&mut peer.has_new_start, true) {
            self.starts.push_back((now, key));
        }
    }

    /// When the oldest news of a start are to be acted on.
    pub(super) fn first_start_due(&self) -> Option<Instant> {
        self.starts.front().map(|(since, _)| *since + START_GRACE)
    }

    /// Ends the flows of starts that were not the last to be heard.
    pub(super) fn end_flows_of_earlier_starts(&mut self, now: Instant) {
        while self.first_start_due().is_some_and(|due| due <= now) {
            let Some((_, key)) = self.starts.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.has_new_start = false;
            let Some(start) = peer.start else { continue };
            for id in peer.flows.iter().copied().collect::<Vec<_>>() {
                if self.flows.get(id).is_some_and(|flow| is_of_another(flow, start)) {
                    self.counters.flows_reset += 1;
                    self.end_flow(id, End::Reset);
                }
            }
        }
    }
}

fn is_of_another(flow: &Flow, start: u32) -> bool {
    flow.end.is_none() && flow.connection.heard_boot_id().is_some_and(|heard| heard != start)
}
