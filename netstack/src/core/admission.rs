//! From a SYN to a decision: half-open records, accept, reject.
//!
//! No SYN-ACK leaves before [`Core::accept`]: the other side learns that it is connected when the
//! user of the stack is.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use rand::Rng;

use super::Core;
use super::flow::{Flow, Stage};
use super::half_open::{HalfOpen, HalfOpenId, ListenerId};
use super::slab::FlowId;
use super::table::{FlowKey, Slot};
use crate::error::{AcceptError, ListenError};
use crate::limits::{
    EARLY_BYTES_MAX, EARLY_PER_PEER_BYTES_MAX, FLOWS_MAX, FLOWS_PER_PEER_MAX,
    HALF_OPEN_PACKET_BYTES_MAX, HALF_OPEN_PER_PEER_MAX, MTU_BYTES_MAX,
};
use crate::packet::{Body, Packet, Segment};
use crate::tcp::{Connection, Options, Setup};
use crate::types::{PeerKey, Unreachable};

/// How a SYN is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    Reset,
    Unreachable(Unreachable),
}

/// What a listener gives out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) id: HalfOpenId,
    pub(crate) peer: PeerKey,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Core {
    pub(crate) fn listen(
        &mut self,
        address: IpAddr,
        ports: RangeInclusive<u16>,
        peer: Option<PeerKey>,
    ) -> Result<ListenerId, ListenError> {
        self.listeners.insert((address, peer), ports)
    }

    /// Stops listening; SYNs that nobody has taken are reset.
    pub(crate) fn unlisten(&mut self, id: ListenerId) {
        for half_open in self.listeners.remove(id) {
            self.reject(half_open, Rejection::Reset);
        }
    }

    pub(crate) fn poll_accept(&mut self, id: ListenerId, context: &Context<'_>) -> Poll<Arrival> {
        while let Some(half_open) = self.listeners.pop(id) {
            if let Some(record) = self.half_opens.get(half_open) {
                let (source, destination) = (record.source, record.destination);
                let peer = record.key.peer;
                return Poll::Ready(Arrival { id: half_open, peer, source, destination });
            }
        }
        self.listeners.set_waker(id, context.waker());
        Poll::Pending
    }

    /// Answers the SYN and makes a flow of it.
    pub(crate) fn accept(&mut self, id: HalfOpenId) -> Result<FlowId, AcceptError> {
        let (Some(now), Some(record)) = (self.now, self.half_opens.get(id)) else {
            return Err(AcceptError::Gone);
        };
        if self.has_too_many_flows(record.key.peer) {
            self.counters.flows_refused += 1;
            self.reject(id, Rejection::Reset);
            return Err(AcceptError::Full);
        }
        let record = self.drop_half_open(id).ok_or(AcceptError::Gone)?;
        let (local, remote) = (record.destination, record.source);
        let setup = self.setup(record.key.peer, local, remote).ok_or(AcceptError::Gone)?;
        let (packet, segment) = parse_segment(&record.syn).ok_or(AcceptError::Gone)?;
        let mut connection = Connection::accept(&setup, &packet, &segment, now);
        for bytes in &record.early {
            if let Some((packet, segment)) = parse_segment(bytes) {
                connection.handle_segment(&packet, &segment, now, &mut Vec::new());
            }
        }
        Ok(self.insert_flow(Flow::new(record.key, (local, remote), connection, Stage::Open)))
    }

    /// Turns the SYN away.
    pub(crate) fn reject(&mut self, id: HalfOpenId, rejection: Rejection) {
        let Some(record) = self.drop_half_open(id) else { return };
        let Some((packet, segment)) = parse_segment(&record.syn) else { return };
        match rejection {
            Rejection::Reset => self.reset_segment(record.key.peer, &packet, &segment),
            Rejection::Unreachable(kind) => {
                self.send_unreachable(record.key.peer, &packet, kind);
            }
        }
    }

    /// Keeps a SYN for the listener, if every bound allows it. Otherwise it is lost on the way, and
    /// the other side tries again.
    pub(super) fn admit(
        &mut self,
        key: FlowKey,
        listener: ListenerId,
        packet: &Packet<'_>,
        segment: &Segment,
        now: Instant,
    ) {
        let Some(is_foreign) = self.peers.get(&key.peer).map(|peer| peer.is_foreign) else {
            return;
        };
        let boot = Options::parse(segment.options(packet)).boot.filter(|_| !is_foreign);
        if let Some(boot) = boot {
            self.note_start(key.peer, Some(boot.own));
            if boot.expected != 0 && boot.expected != self.boot_id {
                // What came with it may have been delivered by whoever it was meant for.
                self.counters.stale_syns += 1;
                self.reset_segment(key.peer, packet, segment);
                return;
            }
        }
        let Some(peer) = self.peers.get_mut(&key.peer) else { return };
        let packet_bytes_max = if is_foreign { HALF_OPEN_PACKET_BYTES_MAX } else { MTU_BYTES_MAX };
        if peer.half_open_count >= HALF_OPEN_PER_PEER_MAX
            || packet.bytes.len() > packet_bytes_max
            || peer.early_bytes + beyond_syn(packet) > EARLY_PER_PEER_BYTES_MAX
            || self.half_opens.is_full()
            || !self.listeners.has_room(listener)
        {
            self.counters.syns_dropped += 1;
            return;
        }
        peer.half_open_count += 1;
        let record = HalfOpen {
            key,
            listener,
            source: packet.source_at(segment.source_port),
            destination: packet.destination_at(segment.destination_port),
            sequence: segment.sequence,
            syn: packet.bytes.into(),
            early: Vec::new(),
        };
        peer.early_bytes += record.early_bytes();
        let id = self.half_opens.insert(record, now);
        self.table.insert(key, Slot::HalfOpen(id));
        self.attention.wakers.extend(self.listeners.push(listener, id));
    }

    /// A segment for a SYN that waits: the SYN again is absorbed, a RST of it takes it back, more of the stream waits with it.
    pub(super) fn handle_half_open(
        &mut self,
        id: HalfOpenId,
        packet: &Packet<'_>,
        segment: &Segment,
    ) {
        let Some(record) = self.half_opens.get(id) else { return };
        let (key, listener, sequence) = (record.key, record.listener, record.sequence);
        if segment.reset && segment.sequence == sequence.wrapping_add(1) {
            self.drop_half_open(id);
        } else if segment.opens() && segment.sequence != sequence {
            // The other side has given up that attempt and begun another from the same port.
            self.drop_half_open(id);
            if let Some(now) = self.now {
                self.admit(key, listener, packet, segment, now);
            }
        } else if !segment.syn && segment.payload_bytes > 0 {
            self.keep_early(id, packet);
        }
    }

    /// Keeps more of the stream for the decision, as far as the bounds allow; the rest is sent again once the SYN is answered.
    fn keep_early(&mut self, id: HalfOpenId, packet: &Packet<'_>) {
        let Some(record) = self.half_opens.get_mut(id) else { return };
        let Some(peer) = self.peers.get_mut(&record.key.peer) else { return };
        let bytes = packet.bytes.len();
        let fits_record =
            record.early_bytes() + bytes <= EARLY_BYTES_MAX + HALF_OPEN_PACKET_BYTES_MAX * 4;
        // Half of the bound is for what comes with the SYNs themselves.
        let fits_peer = peer.early_bytes + bytes <= EARLY_PER_PEER_BYTES_MAX / 2;
        if !peer.is_foreign && fits_record && fits_peer {
            peer.early_bytes += bytes;
            record.early.push(packet.bytes.into());
        }
    }

    /// Forgets a SYN without an answer.
    pub(super) fn drop_half_open(&mut self, id: HalfOpenId) -> Option<HalfOpen> {
        let record = self.half_opens.remove(id)?;
        if self.table.get(&record.key) == Some(&Slot::HalfOpen(id)) {
            self.table.remove(&record.key);
        }
        self.listeners.forget(record.listener, id);
        if let Some(peer) = self.peers.get_mut(&record.key.peer) {
            peer.half_open_count = peer.half_open_count.saturating_sub(1);
            peer.early_bytes = peer.early_bytes.saturating_sub(record.early_bytes());
        }
        Some(record)
    }

    pub(super) fn has_too_many_flows(&self, peer: PeerKey) -> bool {
        let of_peer = self.peers.get(&peer).map_or(0, |peer| peer.flows.len());
        of_peer >= FLOWS_PER_PEER_MAX || self.flows.len() >= FLOWS_MAX
    }

    /// What a connection between these ends is made from; `None` without the peer.
    pub(super) fn setup(
        &mut self,
        peer: PeerKey,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<Setup> {
        let epoch = self.epoch?;
        let peer = self.peers.get(&peer)?;
        let random = &mut self.random;
        let keep_alive = peer.keep_alive.map(|idle| idle.mul_f64(random.random_range(0.75..1.25)));
        Some(Setup {
            local,
            remote,
            mtu: peer.mtu_max,
            path_mtu: peer.mtu,
            seed: self.random.random(),
            epoch,
            memory: Rc::clone(&peer.memory),
            congestion: peer.congestion,
            keep_alive,
            is_foreign: peer.is_foreign,
            boot_id: self.boot_id,
            remote_boot_id: peer.boot_id.filter(|_| !peer.is_foreign),
        })
    }
}

fn parse_segment(bytes: &[u8]) -> Option<(Packet<'_>, Segment)> {
    let packet = Packet::parse(bytes, false).ok()?;
    let Body::Tcp(segment) = packet.body else { return None };
    Some((packet, segment))
}

/// Bytes of a SYN that count as early: all but what any SYN takes.
fn beyond_syn(packet: &Packet<'_>) -> usize {
    packet.bytes.len().saturating_sub(HALF_OPEN_PACKET_BYTES_MAX)
}
