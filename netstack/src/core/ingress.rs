//! A packet came out of a tunnel: whose is it?

use std::time::Instant;

use super::Core;
use super::run::Run;
use super::slab::FlowId;
use super::table::{FlowKey, Slot};
use super::time_wait::TimeWaitId;
use crate::limits::SILENCE_MIN;
use crate::packet::{Body, Packet, Segment, build};
use crate::tcp::Phase;
use crate::types::{PeerKey, Verdict};

impl Core {
    /// Takes one packet of `peer`, which [`Self::take_next_of_run`] did not.
    pub(crate) fn handle_packet<'p>(
        &mut self,
        peer: PeerKey,
        bytes: &'p [u8],
        now: Instant,
    ) -> Verdict<'p> {
        let now = self.observe(now);
        self.counters.packets_in += 1;
        let Some(known) = self.peers.get_mut(&peer) else {
            self.counters.unknown_peer += 1;
            return Verdict::Unmatched;
        };
        let (verify, silence) = (known.is_foreign, known.hear(now));
        if silence >= SILENCE_MIN {
            self.resume(peer, silence, now);
        }
        let Ok(packet) = Packet::parse(bytes, verify) else {
            self.counters.malformed += 1;
            return Verdict::Malformed;
        };
        match packet.body {
            Body::Tcp(segment) => self.handle_tcp(peer, &packet, &segment, verify, now),
            Body::Udp { source_port, destination_port, payload } => {
                self.handle_udp(peer, &packet, (source_port, destination_port), payload)
            }
            Body::Icmp { kind, code, message } => {
                self.handle_icmp(peer, &packet, (kind, code), message)
            }
            Body::Fragment { header, payload } => {
                self.handle_fragment(peer, &packet, header, payload, now)
            }
            Body::Other => self.unmatched(peer, &packet),
        }
    }

    fn handle_tcp<'p>(
        &mut self,
        peer: PeerKey,
        packet: &Packet<'p>,
        segment: &Segment,
        is_foreign: bool,
        now: Instant,
    ) -> Verdict<'p> {
        let local = packet.destination_at(segment.destination_port);
        let remote = packet.source_at(segment.source_port);
        let key = FlowKey::new(peer, local, remote);
        let running = self.running.as_ref().map(|run| run.id);
        if let Some(id) = running.filter(|id| self.is_live(*id, &key)) {
            self.deliver(id, packet, segment, is_foreign, now);
            return Verdict::Consumed;
        }
        match self.table.get(&key).copied() {
            Some(Slot::Flow(id)) => self.deliver(id, packet, segment, is_foreign, now),
            Some(Slot::HalfOpen(id)) => self.handle_half_open(id, packet, segment),
            Some(Slot::TimeWait(id)) if !segment.opens() => self.handle_late(peer, id, segment),
            Some(Slot::TimeWait(_)) | None => {
                let listener = if segment.opens() {
                    self.listeners.find(packet.destination, segment.destination_port, peer)
                } else {
                    None
                };
                let Some(listener) = listener else { return self.unmatched(peer, packet) };
                self.forget_time_wait(&key);
                self.admit(key, listener, packet, segment, now);
            }
        }
        Verdict::Consumed
    }

    fn deliver(
        &mut self,
        id: FlowId,
        packet: &Packet<'_>,
        segment: &Segment,
        is_foreign: bool,
        now: Instant,
    ) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.end.is_some() {
            return;
        }
        flow.futile_count = 0;
        let was_in_handshake = flow.connection.phase() == Phase::Handshake;
        let expected = flow.connection.expects();
        let mut reply = self.reply_buffers.take();
        flow.connection.handle_segment(packet, segment, now, &mut reply);
        // In the handshake only its completion counts as an answer, so that a stray segment cannot
        // keep an unanswered SYN-ACK alive.
        if !was_in_handshake || flow.connection.phase() != Phase::Handshake {
            flow.unanswered_since = None;
        }
        let peer = flow.key.peer;
        let is_in_order = expected == Some(segment.sequence)
            && flow.connection.expects() == Some(segment.sequence_end());
        if was_in_handshake {
            self.learn_boot_id(peer, id);
        }
        self.counters.engine_polls += 1;
        self.queue_reply(peer, reply);
        if self.running.as_ref().is_none_or(|run| run.id != id) {
            self.settled();
        }
        let head = (!is_foreign && is_in_order).then_some((packet, segment));
        self.running = Some(Run::new(id, peer, head));
    }

    /// Whether the table would find `id` for `key`.
    fn is_live(&self, id: FlowId, key: &FlowKey) -> bool {
        self.flows.get(id).is_some_and(|flow| flow.end.is_none() && flow.key == *key)
    }

    /// What a handshake tells about the other node's start.
    fn learn_boot_id(&mut self, peer: PeerKey, id: FlowId) {
        let Some(flow) = self.flows.get(id) else { return };
        let heard = flow.connection.heard_boot_id();
        if heard.is_some() || flow.connection.doubts_boot_id() {
            self.note_start(peer, heard);
        }
    }

    /// A late segment of a closed 5-tuple: acknowledge what wants an answer (RFC 9293 §3.10.7.4).
    fn handle_late(&mut self, peer: PeerKey, id: TimeWaitId, segment: &Segment) {
        let Some(record) = self.time_waits.get(id).copied() else { return };
        if segment.reset || !segment.elicits_answer() {
            return;
        }
        let (sequence, acknowledgment) = record.sequences;
        let fields = (sequence, acknowledgment, u16::MAX);
        self.queue_control(peer, build::CONTROL_BYTES_MAX, |buffer| {
            build::acknowledgment(record.local, record.remote, fields, buffer)
        });
    }
}
