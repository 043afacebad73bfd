//! Transport data, both ways: the only thing that confirms a session or moves an endpoint.

use std::net::SocketAddr;
use std::time::Instant;

use super::handshake::release;
use super::{PeerState, Shared};
use crate::api::{Event, Packets, SealedTrain};
use crate::counters::DropReason;
use crate::session::Session;
use crate::tunnel::{Opened, TRANSPORT_BYTES_MIN};

/// Which of a peer's sessions a receiver index names.
enum Place {
    Current,
    Previous,
    Candidate(usize),
}

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
        let endpoint = self.endpoint.ok_or(DropReason::NoEndpoint)?;
        let Some(session) = &mut self.current else {
            self.begin_handshake(shared, now);
            return Err(DropReason::NoSession);
        };
        let sealed = session.tunnel.seal(packet, buffer).ok_or(DropReason::BufferTooSmall)?;
        let wants_rekey = session.wants_rekey_on_send(now);
        if !packet.is_empty() {
            self.answer_awaited.get_or_insert(now);
        }
        self.note_sent(shared, sealed, now);
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
        let is_segmented = is_train && !train.has_repeats && self.capacity.may_segment(now);
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
        let place = self.place(slot).ok_or(DropReason::UnknownIndex)?;
        let session = self.session_at(&place).ok_or(DropReason::UnknownIndex)?;
        if session.is_expired(now) {
            return Err(DropReason::SessionExpired);
        }
        let opened = session.tunnel.open(datagram, buffer)?;
        self.note_received(shared, &place, from, datagram.len(), now);
        match opened {
            Opened::Keepalive => Ok(None),
            Opened::Malformed => Err(DropReason::InnerMalformed),
            Opened::Packet(packet) => {
                self.answer_owed.get_or_insert(now);
                Ok(Some(packet))
            }
        }
    }

    /// Drops what is too old to be used, and says so if nothing is left.
    pub(super) fn drop_expired_sessions(&mut self, shared: &mut Shared, now: Instant) {
        let expired = |session: &mut Session| session.is_expired(now);
        let previous = self.previous.take_if(expired);
        release(shared, previous);
        let current = self.current.take_if(expired);
        if current.is_some() {
            release(shared, current);
            self.answer_owed = None;
            self.answer_awaited = None;
            self.go_down(shared);
        }
    }

    /// Keeps account of a sealed datagram.
    pub(super) fn note_sent(&mut self, shared: &mut Shared, sealed: &[u8], now: Instant) {
        shared.tags.remember(sealed, self.id);
        self.last_sent = Some(now);
        self.answer_owed = None;
        self.sent_bytes += sealed.len() as u64;
    }

    pub(super) fn come_up(&mut self, shared: &mut Shared, endpoint: SocketAddr) {
        if !std::mem::replace(&mut self.up, true) {
            shared.out.emit(Event::TunnelUp { peer: self.id, endpoint });
        }
    }

    pub(super) fn go_down(&mut self, shared: &mut Shared) {
        if std::mem::replace(&mut self.up, false) {
            shared.out.emit(Event::TunnelDown { peer: self.id });
        }
    }

    /// Something authentic has come from `from`.
    fn note_received(
        &mut self,
        shared: &mut Shared,
        place: &Place,
        from: SocketAddr,
        bytes: usize,
        now: Instant,
    ) {
        if let Place::Candidate(position) = place {
            self.confirm(shared, *position, now);
        }
        self.received_bytes += bytes as u64;
        self.last_received = Some(now);
        self.answer_awaited = None;
        self.move_endpoint(shared, from, now);
        self.come_up(shared, from);
        if self.current.as_ref().is_some_and(|session| session.wants_rekey_on_receive(now)) {
            self.begin_handshake(shared, now);
        }
    }

    /// The peer uses a handshake that we answered: so do we, and our own in flight is not needed.
    fn confirm(&mut self, shared: &mut Shared, position: usize, now: Instant) {
        let older: Vec<Session> = self.candidates.drain(..position).collect();
        for session in older {
            release(shared, Some(session));
        }
        if !self.candidates.is_empty() {
            let confirmed = self.candidates.remove(0);
            self.drop_attempt(shared);
            self.replace_current(shared, confirmed, now);
        }
    }

    fn move_endpoint(&mut self, shared: &mut Shared, from: SocketAddr, now: Instant) {
        let before = self.endpoint.replace(from);
        if before == Some(from) {
            return;
        }
        self.previous_endpoint = before.or(self.previous_endpoint);
        self.capacity.move_elsewhere(now);
        if self.up {
            shared.out.emit(Event::EndpointMoved { peer: self.id, to: from });
        }
    }

    fn place(&self, slot: u16) -> Option<Place> {
        let is_here = |session: &Session| session.slot == slot;
        if self.current.as_ref().is_some_and(is_here) {
            return Some(Place::Current);
        }
        if self.previous.as_ref().is_some_and(is_here) {
            return Some(Place::Previous);
        }
        self.candidates.iter().position(is_here).map(Place::Candidate)
    }

    fn session_at(&mut self, place: &Place) -> Option<&mut Session> {
        match place {
            Place::Current => self.current.as_mut(),
            Place::Previous => self.previous.as_mut(),
            Place::Candidate(position) => self.candidates.get_mut(*position),
        }
    }
}
