//! Transport data, both ways: the only thing that confirms a session or moves an endpoint.

use std::net::SocketAddr;
use std::time::Instant;

use super::sessions::Place;
use super::{PeerState, Shared};
use crate::api::{Event, Packets, SealedTrain};
use crate::counters::DropReason;
use crate::tunnel::{Opened, TRANSPORT_BYTES_MIN};

impl PeerState {
    /// Seals anything in the current session: a packet, a probe of the path, or nothing, which is a keepalive.
    pub(super) fn seal<'b>(
        &mut self,
        shared: &mut Shared,
        packet: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<(SocketAddr, &'b [u8]), DropReason> {
        self.drop_expired_sessions(shared, now);
        let endpoint = self.path.endpoint().ok_or(DropReason::NoEndpoint)?;
        let Some(session) = self.sessions.current_mut() else {
            self.begin_handshake(shared, now);
            return Err(DropReason::NoSession);
        };
        let sealed = session.seal(packet, buffer).ok_or(DropReason::BufferTooSmall)?;
        let wants_rekey = session.wants_rekey_on_send(now);
        self.note_sent(shared, sealed, !packet.is_empty(), now);
        if wants_rekey {
            self.begin_handshake(shared, now);
        }
        Ok((endpoint, sealed))
    }

    /// Seals an inner packet in the current session.
    pub(crate) fn seal_packet<'b>(
        &mut self,
        shared: &mut Shared,
        packet: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<(SocketAddr, &'b [u8]), DropReason> {
        let sealed = self.seal(shared, packet, buffer, now)?;
        self.note_packets(packet.len(), false, now);
        Ok(sealed)
    }

    /// Seals the packets of a train one behind the other. What no longer can be sealed is left out; an error says that nothing could.
    pub(crate) fn seal_train<'b>(
        &mut self,
        shared: &mut Shared,
        train: Packets<'_>,
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<SealedTrain<'b>, DropReason> {
        let mut sealed: Option<(SocketAddr, usize)> = None;
        for packet in train.bytes.chunks(train.packet_bytes.max(1)) {
            let end = sealed.map_or(0, |(_, end)| end);
            let room = buffer.get_mut(end..).unwrap_or_default();
            match (self.seal(shared, packet, room, now), sealed) {
                (Ok((to, datagram)), _) => sealed = Some((to, end + datagram.len())),
                (Err(reason), None) => return Err(reason),
                (Err(reason), Some(_)) => {
                    shared.out.counters.count_drop(reason);
                    break;
                }
            }
        }
        let (to, end) = sealed.ok_or(DropReason::InnerMalformed)?;
        let datagrams = buffer.get(..end).unwrap_or_default();
        let datagram_bytes = (train.packet_bytes + TRANSPORT_BYTES_MIN).min(end);
        self.note_packets(train.packet_bytes, train.has_repeats, now);
        let is_train = end > datagram_bytes && shared.may_segment;
        // What was lost once leaves alone, so that nothing is lost twice to a path that loses trains.
        let is_segmented =
            is_train && !train.has_repeats && self.path.capacity_mut().may_segment(now);
        Ok(SealedTrain { to, datagrams, datagram_bytes, is_segmented })
    }

    /// Opens a datagram in the session that `slot` names. `None` is a keepalive.
    pub(crate) fn open<'b>(
        &mut self,
        shared: &mut Shared,
        slot: u16,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Option<&'b mut [u8]>, DropReason> {
        let (place, opened) = self.sessions.open(slot, datagram, buffer, now)?;
        self.note_received(shared, place, from, datagram.len(), now);
        match opened {
            Opened::Keepalive => Ok(None),
            Opened::Malformed => Err(DropReason::InnerMalformed),
            Opened::Packet(packet) => {
                self.timers.owe_answer(now);
                Ok(Some(packet))
            }
        }
    }

    /// Drops what is too old to be used. When nothing is left to send in, and was, returns true and tells.
    pub(super) fn drop_expired_sessions(&mut self, shared: &mut Shared, now: Instant) -> bool {
        let is_lost = self.sessions.drop_expired(&mut shared.slots, now);
        if is_lost {
            self.timers.note_session_lost();
            self.go_down(shared);
        }
        is_lost
    }

    /// Keeps account of a sealed datagram; a packet expects an answer, a keepalive does not.
    pub(super) fn note_sent(
        &mut self,
        shared: &mut Shared,
        sealed: &[u8],
        expects_answer: bool,
        now: Instant,
    ) {
        shared.tags.remember(sealed, self.id);
        self.timers.note_sent(expects_answer, now);
        self.sent_bytes += sealed.len() as u64;
    }

    pub(super) fn come_up(&mut self, shared: &mut Shared, endpoint: SocketAddr) {
        if self.timers.come_up() {
            shared.out.emit(Event::TunnelUp { peer: self.id, endpoint });
        }
    }

    pub(super) fn go_down(&mut self, shared: &mut Shared) {
        if self.timers.go_down() {
            shared.out.emit(Event::TunnelDown { peer: self.id });
        }
    }

    /// Something authentic has come from `from`.
    fn note_received(
        &mut self,
        shared: &mut Shared,
        place: Place,
        from: SocketAddr,
        bytes: usize,
        now: Instant,
    ) {
        if self.sessions.confirm(&mut shared.slots, place, now) {
            self.note_session(now);
        }
        self.received_bytes += bytes as u64;
        self.timers.note_received(now);
        if self.path.move_to(from, now) && self.timers.is_up() {
            shared.out.emit(Event::EndpointMoved { peer: self.id, to: from });
        }
        self.come_up(shared, from);
        let current = self.sessions.current();
        if current.is_some_and(|session| session.wants_rekey_on_receive(now)) {
            self.begin_handshake(shared, now);
        }
    }
}
