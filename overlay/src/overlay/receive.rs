//! What a datagram from the network does.

use std::net::SocketAddr;
use std::time::Instant;

use super::Overlay;
use crate::admission::{Admission, Admitted};
use crate::api::{Event, PeerId, Received, UnknownKeys};
use crate::counters::DropReason;
use crate::demux::{Kind, classify};
use crate::inner;
use crate::key::PublicKey;
use crate::limits::PENDING_LIFETIME;
use crate::peer::{PeerState, canonical};
use crate::reset;
use crate::tunnel::{
    COOKIE_REPLY, COOKIE_REPLY_BYTES, INITIATION, INITIATION_BYTES, RESPONSE, RESPONSE_BYTES,
    TRANSPORT, TRANSPORT_BYTES_MIN,
};

impl Overlay {
    /// Takes a datagram from the network. `buffer` has room for the datagram, and for 148 bytes at least.
    pub fn handle_datagram<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Received<'b> {
        self.now = now;
        match self.receive(canonical(from), datagram, buffer, now) {
            Ok(received) => received,
            Err(reason) => {
                self.count_drop(reason);
                Received::Dropped(reason)
            }
        }
    }

    fn receive<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Received<'b>, DropReason> {
        match classify(datagram) {
            Kind::WireGuard => self.handle_wireguard(from, datagram, buffer, now),
            Kind::RelayControl => {
                self.handle_control(from, datagram, now).map(|()| Received::Nothing)
            }
            Kind::Stun => Err(DropReason::Stun),
            Kind::Disco => Err(DropReason::Disco),
            Kind::RelayData => Err(DropReason::RelayData),
            Kind::Quic => Err(DropReason::Quic),
            Kind::Unknown => Err(DropReason::UnknownKind),
        }
    }

    fn handle_wireguard<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Received<'b>, DropReason> {
        match (datagram.first().copied(), datagram.len()) {
            (Some(TRANSPORT), TRANSPORT_BYTES_MIN..) => {
                return self.handle_transport(from, datagram, buffer, now);
            }
            (Some(INITIATION), INITIATION_BYTES) => self.handle_initiation(from, datagram, now),
            (Some(RESPONSE), RESPONSE_BYTES) => {
                return self
                    .handle_response(from, datagram, now)
                    .map(|peer| Received::Alive { peer });
            }
            (Some(COOKIE_REPLY), COOKIE_REPLY_BYTES) => self.handle_cookie(datagram, now),
            _ => Err(DropReason::Malformed),
        }
        .map(|()| Received::Nothing)
    }

    fn handle_transport<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Received<'b>, DropReason> {
        let opened = self.open(from, datagram, buffer, now);
        if matches!(opened, Err(DropReason::UnknownIndex | DropReason::SessionExpired)) {
            self.send_reset(from, datagram, now);
        }
        opened
    }

    fn open<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<Received<'b>, DropReason> {
        let (slot, id) = self.named_by(datagram, 4).ok_or(DropReason::UnknownIndex)?;
        let peer = self.peers.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let opened = peer.open(&mut self.shared, slot, from, datagram, buffer, now);
        self.schedule.plan(peer);
        let Some(packet) = opened? else { return Ok(Received::Alive { peer: id }) };
        if let Some(probe) = peer.read_probe(packet) {
            peer.handle_probe(&mut self.shared, probe, now);
            self.schedule.plan(peer);
            return Ok(Received::Alive { peer: id });
        }
        inner::check(packet, &peer.sources)?;
        Ok(Received::Packet { peer: id, packet })
    }

    fn handle_initiation(
        &mut self,
        from: SocketAddr,
        initiation: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let keys = &self.shared.keys;
        let admitted = match self.admission.judge(keys, from.ip(), initiation, now) {
            Admission::Admitted(admitted) => admitted,
            Admission::Cookie(cookie) => return self.owe_cookie(from, &cookie),
            Admission::Dropped(reason) => return Err(reason),
        };
        let key = keys.initiator(initiation).ok_or(DropReason::InvalidInitiation)?;
        let known = self.peers.by_key(&key);
        let is_member =
            known.and_then(|id| self.peers.get(id)).is_some_and(|peer| !peer.is_pending());
        match admitted {
            Admitted::Unproven(_) if !is_member && self.unknown_keys == UnknownKeys::Refuse => {
                Err(DropReason::UnknownKey)
            }
            Admitted::Unproven(cookie) if !is_member => self.owe_cookie(from, &cookie),
            Admitted::Unproven(_) | Admitted::Proven => match known {
                Some(id) => self.answer(id, from, initiation, now),
                None => self.handle_stranger(key, from, initiation, now),
            },
        }
    }

    fn answer(
        &mut self,
        id: PeerId,
        from: SocketAddr,
        initiation: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let peer = self.peers.get_mut(id).ok_or(DropReason::UnknownKey)?;
        let answered = peer.handle_initiation(&mut self.shared, from, initiation, now);
        self.schedule.plan(peer);
        answered
    }

    /// Takes a sender that has proved its address into the walled garden.
    fn handle_stranger(
        &mut self,
        public_key: PublicKey,
        from: SocketAddr,
        initiation: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        if self.unknown_keys == UnknownKeys::Refuse || public_key == self.public_key {
            return Err(DropReason::UnknownKey);
        }
        self.pending.check_room(from.ip())?;
        if public_key.is_weak() {
            return Err(DropReason::UnknownKey);
        }
        if !self.shared.out.has_room_for_minor() {
            return Err(DropReason::EventsFull);
        }
        let until = now + PENDING_LIFETIME;
        let make = |id| PeerState::pending(id, public_key, until);
        let peer = self.peers.insert(make).ok_or(DropReason::PendingFull)?.id;
        if let Err(reason) = self.answer(peer, from, initiation, now) {
            self.remove_peer(peer);
            return Err(reason);
        }
        self.pending.insert(peer, from.ip());
        self.shared.out.emit(Event::Pending { peer, public_key, from });
        Ok(())
    }

    fn owe_cookie(&mut self, from: SocketAddr, cookie: &[u8]) -> Result<(), DropReason> {
        self.shared.out.counters.cookies_sent += 1;
        self.shared.out.send_unproven(from, cookie.to_vec());
        Err(DropReason::CookieOwed)
    }

    fn handle_response(
        &mut self,
        from: SocketAddr,
        response: &[u8],
        now: Instant,
    ) -> Result<PeerId, DropReason> {
        let (slot, id) = self.named_by(response, 8).ok_or(DropReason::UnexpectedResponse)?;
        let peer = self.peers.get_mut(id).ok_or(DropReason::UnexpectedResponse)?;
        let taken = peer.handle_response(&mut self.shared, from, response, slot, now);
        self.schedule.plan(peer);
        taken.map(|()| id)
    }

    fn handle_cookie(&mut self, reply: &[u8], now: Instant) -> Result<(), DropReason> {
        let (slot, id) = self.named_by(reply, 4).ok_or(DropReason::InvalidCookie)?;
        let peer = self.peers.get_mut(id).ok_or(DropReason::InvalidCookie)?;
        peer.handle_cookie(&mut self.shared, reply, slot, now)
    }

    fn handle_control(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        match datagram {
            [_, 1, 0, 0, ..] => self.handle_reset(datagram, now),
            [_, 2, 0, 0, ..] => {
                let answer = self.answerer.handle_who(from, datagram, now)?;
                self.shared.out.counters.identities_sent += 1;
                self.shared.out.send_unproven(from, answer);
                Ok(())
            }
            [_, 3, 0, 0, ..] => {
                let key = self.requests.handle_iam(datagram)?;
                self.shared.out.emit(Event::RelayIdentity { from, key });
                Ok(())
            }
            _ => Err(DropReason::UnknownControl),
        }
    }

    fn handle_reset(&mut self, datagram: &[u8], now: Instant) -> Result<(), DropReason> {
        let tag = reset::parse(datagram).ok_or(DropReason::Malformed)?;
        let id = self.shared.tags.take(tag).ok_or(DropReason::UnknownReset)?;
        let peer = self.peers.get_mut(id).ok_or(DropReason::UnknownReset)?;
        let taken = peer.handle_reset(&mut self.shared, now);
        self.schedule.plan(peer);
        taken
    }

    fn send_reset(&mut self, to: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(reset) = reset::encode(datagram) else { return };
        if self.resets.take(to, now) {
            self.shared.out.counters.resets_sent += 1;
            self.shared.out.send_unproven(to, reset);
        } else {
            self.count_drop(DropReason::ResetRateLimited);
        }
    }

    /// The slot and the peer that the receiver index at `offset` names.
    fn named_by(&self, datagram: &[u8], offset: usize) -> Option<(u16, PeerId)> {
        let index = datagram.get(offset..)?.first_chunk().copied().map(u32::from_le_bytes)?;
        self.shared.slots.find(index)
    }
}
