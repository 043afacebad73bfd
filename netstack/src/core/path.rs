//! A peer falls silent, comes back, or has started anew: what that means for its flows.
//!
//! A peer that is paused has no session. Its flows, idle or not, end once nothing was heard of it for [`USER_TIMEOUT`]: as long as unanswered
//! bytes of a flow may wait by themselves. A peer that is heard after a silence has a path that works again: what was lost meanwhile is repeated at once, and after a
//! long silence idle flows ask whether the other side still has them, for its RST may be among what was lost. Of a peer that has started anew the
//! flows of the start before end a few seconds later.

use std::time::{Duration, Instant};

use rand::Rng;

use super::Core;
use super::flow::{End, Flow};
use super::slab::FlowId;
use crate::limits::{QUESTIONS_SPREAD, SILENCE_LONG, SILENCE_MIN, START_GRACE, USER_TIMEOUT};
use crate::types::PeerKey;

impl Core {
    /// Holds back, or lets go, everything for a peer.
    pub(crate) fn pause_peer(&mut self, key: PeerKey, is_paused: bool) {
        let (Some(peer), Some(now)) = (self.peers.get_mut(&key), self.now) else { return };
        if is_paused && peer.paused_until.is_none() {
            let end = peer.heard_at.unwrap_or(now) + USER_TIMEOUT;
            peer.paused_until = Some(end);
            self.pauses.insert((end, key));
        } else if !is_paused && let Some(end) = peer.paused_until.take() {
            self.pauses.remove(&(end, key));
            self.give_turn(key);
        }
    }

    /// When the first of the paused peers has been silent for too long.
    pub(super) fn first_pause_end(&self) -> Option<Instant> {
        self.pauses.first().map(|(end, _)| *end)
    }

    /// Ends the flows of peers that did not come back.
    pub(super) fn end_long_pauses(&mut self, now: Instant) {
        while self.first_pause_end().is_some_and(|end| end <= now) {
            let Some((_, key)) = self.pauses.pop_first() else { return };
            let Some(peer) = self.peers.get(&key) else { continue };
            for id in peer.flows.iter().copied().collect::<Vec<_>>() {
                self.give_up_silent(id);
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
        let another = peer.start.replace(start).filter(|before| *before != start);
        if let Some(earlier) = another
            && peer.doubted_start.is_none()
        {
            peer.doubted_start = Some((now, earlier));
            self.starts.push_back((now, key));
        }
    }

    /// The start before the one that was heard last goes on; that one is refused.
    pub(crate) fn keep_earlier_start(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if let Some((_, earlier)) = peer.doubted_start.take() {
            (peer.start, peer.boot_id) = (Some(earlier), Some(earlier));
        }
    }

    /// When the oldest news of a start are to be acted on.
    pub(super) fn first_start_due(&self) -> Option<Instant> {
        self.starts.front().map(|(since, _)| *since + START_GRACE)
    }

    /// Ends the flows of starts that were not the last to be heard.
    pub(super) fn end_flows_of_earlier_starts(&mut self, now: Instant) {
        while self.first_start_due().is_some_and(|due| due <= now) {
            let Some((since, key)) = self.starts.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let doubted = peer.doubted_start.take_if(|(heard, _)| *heard == since);
            let Some(start) = doubted.and(peer.start) else { continue };
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
