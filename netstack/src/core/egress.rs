//! Packets are pulled: peers take turns, and in a turn one packet leaves.
//!
//! A peer's immediate answers go before its flows, in the order in which they arose, so that a
//! duplicate ACK is never overtaken by a later one. Nothing here holds a data packet.

use std::time::Instant;

use super::Core;
use super::slab::FlowId;
use crate::types::PeerKey;

impl Core {
    /// Writes the next packet into `buffer`; gives where it goes and how long it is.
    pub(crate) fn poll_transmit(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<(PeerKey, usize)> {
        let now = self.observe(now);
        while let Some(key) = self.turns.pop_front() {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.has_turn = false;
            }
            let sent = self.transmit_for(key, buffer, now);
            self.give_turn(key);
            if let Some(bytes) = sent {
                self.counters.packets_out += 1;
                return Some((key, bytes));
            }
        }
        None
    }

    /// Queues an immediate answer; an empty one goes back to the buffers.
    pub(super) fn queue_reply(&mut self, key: PeerKey, reply: Vec<u8>) {
        if reply.is_empty() {
            self.reply_buffers.give_back(reply);
            return;
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match peer.push_reply(reply) {
            Ok(()) => self.give_turn(key),
            Err(reply) => {
                self.counters.replies_dropped += 1;
                self.reply_buffers.give_back(reply);
            }
        }
    }

    /// Builds and queues a packet that no flow asked for, if the peer's rate allows one more.
    pub(super) fn queue_control(
        &mut self,
        key: PeerKey,
        bytes_max: usize,
        build: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let (Some(now), Some(peer)) = (self.now, self.peers.get_mut(&key)) else { return false };
        if !peer.control_rate.take(now) {
            self.counters.control_rate_limited += 1;
            return false;
        }
        let mut reply = self.reply_buffers.take();
        reply.resize(bytes_max, 0);
        let bytes = build(&mut reply).unwrap_or(0);
        reply.truncate(bytes);
        let is_built = !reply.is_empty();
        self.queue_reply(key, reply);
        is_built
    }

    fn transmit_for(&mut self, key: PeerKey, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let peer = self.peers.get_mut(&key).filter(|peer| !peer.is_paused)?;
        while let Some(reply) = peer.pop_reply() {
            let copied = buffer.get_mut(..reply.len()).map(|slot| slot.copy_from_slice(&reply));
            let bytes = reply.len();
            self.reply_buffers.give_back(reply);
            if copied.is_some() {
                return Some(bytes);
            }
            self.counters.replies_dropped += 1;
        }
        while let Some(id) = self.peers.get_mut(&key)?.ready.pop_front() {
            if let Some(bytes) = self.transmit_flow(id, buffer, now) {
                return Some(bytes);
            }
        }
        None
    }

    fn transmit_flow(&mut self, id: FlowId, buffer: &mut [u8], now: Instant) -> Option<usize> {
        let flow = self.flows.get_mut(id)?;
        flow.is_queued = false;
        self.counters.engine_polls += 1;
        let sent = if flow.may_speak() { flow.connection.poll_transmit(buffer, now) } else { None };
        match sent {
            Some(sent) => {
                if sent.elicits_answer {
                    flow.unanswered_since.get_or_insert(now);
                }
                self.settle(id);
            }
            None => self.settle_futile(id, now),
        }
        sent.map(|sent| sent.bytes)
    }
}
