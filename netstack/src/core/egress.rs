//! Packets are pulled: peers take turns, and in a turn one packet leaves, or a train of one flow's.
//!
//! A peer's immediate answers go before its flows, in the order in which they arose, so that a
//! duplicate ACK is never overtaken by a later one. Nothing here holds a data packet.

use std::time::Instant;

use bore_rate::Rate;

use super::Core;
use super::slab::FlowId;
use crate::limits::CONTROL_REPLIES_PER_SECOND_MAX;
use crate::tcp::Sent;
use crate::types::{Lengths, PeerKey, Train};

impl Core {
    /// Writes the next packets of one flow into `buffer`, at most `packets_max`; gives where they go and how long they are.
    pub(crate) fn poll_transmit(
        &mut self,
        buffer: &mut [u8],
        packets_max: usize,
        now: Instant,
    ) -> Option<Train> {
        let now = self.observe(now);
        while let Some(key) = self.turns.pop_front() {
            let sent = self.transmit_for(key, buffer, packets_max, now);
            self.give_turn(key);
            if let Some(train) = sent {
                self.counters.packets_out += train.packets() as u64;
                return Some(train);
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
        if !peer.control_replies.take(1, CONTROL_REPLIES, now) {
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

    fn transmit_for(
        &mut self,
        key: PeerKey,
        buffer: &mut [u8],
        packets_max: usize,
        now: Instant,
    ) -> Option<Train> {
        let peer = self.peers.get_mut(&key)?;
        peer.has_turn = false;
        if peer.paused_until.is_some() {
            return None;
        }
        while let Some(reply) = peer.pop_reply() {
            let copied = buffer.get_mut(..reply.len()).map(|slot| slot.copy_from_slice(&reply));
            let bytes = reply.len();
            self.reply_buffers.give_back(reply);
            if copied.is_some() {
                return Lengths::new(bytes, bytes).map(|lengths| Train { peer: key, lengths });
            }
            self.counters.replies_dropped += 1;
        }
        let mut next = peer.ready.pop_front();
        while let Some(id) = next {
            if let Some(lengths) = self.transmit_flow(id, buffer, packets_max, now) {
                return Some(Train { peer: key, lengths });
            }
            next = self.peers.get_mut(&key)?.ready.pop_front();
        }
        None
    }

    /// Lets a flow speak: packets of one length, of which the last may be shorter. The flow is looked after once for all of them.
    fn transmit_flow(
        &mut self,
        id: FlowId,
        buffer: &mut [u8],
        packets_max: usize,
        now: Instant,
    ) -> Option<Lengths> {
        self.flows.get_mut(id)?.is_queued = false;
        self.counters.engine_polls += 1;
        let Some(first) = self.transmit_packets(id, buffer, packets_max, now) else {
            self.settle_futile(id, now);
            return None;
        };
        let whole = self.flows.get(id).map_or(0, |flow| flow.connection.packet_bytes_max());
        let (packet_bytes, mut end) = (first.lengths.packet_bytes(), first.lengths.bytes());
        let mut has_repeats = first.lengths.has_repeats();
        let train = |end, has_repeats| {
            Lengths::new(packet_bytes, end).map(|lengths| lengths.with_repeats(has_repeats))
        };
        for count in end / packet_bytes.. {
            let room = buffer.get_mut(end..).filter(|room| room.len() >= whole);
            let Some(room) = room.filter(|_| count < packets_max) else {
                self.settle_later(id, now);
                return train(end, has_repeats);
            };
            let Some(sent) = self.transmit_packets(id, room, 1, now) else { break };
            let bytes = sent.lengths.bytes();
            if bytes > packet_bytes {
                self.keep_longer(id, room.get(..bytes).unwrap_or_default());
                break;
            }
            end += bytes;
            has_repeats |= sent.lengths.has_repeats();
            if bytes < packet_bytes {
                break;
            }
        }
        self.settle(id);
        train(end, has_repeats)
    }

    fn transmit_packets(
        &mut self,
        id: FlowId,
        buffer: &mut [u8],
        packets_max: usize,
        now: Instant,
    ) -> Option<Sent> {
        let flow = self.flows.get_mut(id).filter(|flow| flow.may_speak())?;
        let sent = flow.connection.poll_transmit(buffer, packets_max, now)?;
        if sent.elicits_answer {
            flow.unanswered_since.get_or_insert(now);
        }
        Some(sent)
    }

    /// A packet that is longer than those before it leaves by itself, next.
    fn keep_longer(&mut self, id: FlowId, packet: &[u8]) {
        let Some(key) = self.flows.get(id).map(|flow| flow.key.peer) else { return };
        let mut reply = self.reply_buffers.take();
        reply.extend_from_slice(packet);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.push_packet(reply);
            self.give_turn(key);
        }
    }
}

const CONTROL_REPLIES: Rate = Rate::per_second(CONTROL_REPLIES_PER_SECOND_MAX);
