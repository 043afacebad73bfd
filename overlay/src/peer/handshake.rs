//! Handshakes, both ways.

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng;
use rand::rngs::SmallRng;

use super::{PeerState, Shared};
use crate::api::Event;
use crate::counters::DropReason;
use crate::session::{Attempt, Session};
use crate::tunnel::Tunnel;

impl PeerState {
    /// Begins a handshake, or repeats the one in flight unless that was sent a moment ago.
    pub(crate) fn start_handshake(&mut self, shared: &mut Shared, now: Instant) {
        match self.sessions.attempt() {
            Some(attempt) if attempt.is_fresh(now) => {}
            Some(_) => self.send_initiation(shared, now),
            None => self.begin_handshake(shared, now),
        }
    }

    /// Begins a handshake if none is in flight and there is somewhere to send it.
    pub(super) fn begin_handshake(&mut self, shared: &mut Shared, now: Instant) {
        let has_attempt = self.sessions.attempt().is_some();
        if has_attempt || self.is_pending() || self.path.endpoint().is_none() {
            return;
        }
        self.timers.note_attempt();
        let Some(slot) = shared.slots.take(self.id, &mut shared.random) else {
            shared.out.counters.count_drop(DropReason::IndicesExhausted);
            self.pause(shared, now);
            return;
        };
        self.sessions.begin_attempt(Attempt::new(self.new_tunnel(shared, slot), slot, now));
        self.send_initiation(shared, now);
    }

    pub(super) fn send_initiation(&mut self, shared: &mut Shared, now: Instant) {
        let attempt = self.sessions.attempt_mut();
        let (Some(attempt), Some(endpoint)) = (attempt, self.path.endpoint()) else { return };
        if let Some(initiation) = attempt.initiate(fraction(&mut shared.random), now) {
            shared.out.counters.initiations_sent += 1;
            shared.out.send(endpoint, initiation);
        }
    }

    /// Ends a handshake that nobody answered.
    pub(super) fn abandon_handshake(&mut self, shared: &mut Shared, now: Instant) {
        self.sessions.drop_attempt(&mut shared.slots);
        self.timers.note_failure();
        shared.out.counters.handshakes_abandoned += 1;
        self.pause(shared, now);
        self.go_down(shared);
    }

    /// Waits before the next handshake, if there is to be one.
    fn pause(&mut self, shared: &mut Shared, now: Instant) {
        if self.is_maintained() {
            self.timers.pause(fraction(&mut shared.random), now);
        }
    }

    /// Answers an initiation in a session of its own, which changes nothing until it is used.
    pub(crate) fn handle_initiation(
        &mut self,
        shared: &mut Shared,
        from: SocketAddr,
        initiation: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let ephemeral = ephemeral_mark(initiation).ok_or(DropReason::Malformed)?;
        if self.sessions.has_answered(ephemeral) {
            return Err(DropReason::RepeatedInitiation);
        }
        let slot =
            shared.slots.take(self.id, &mut shared.random).ok_or(DropReason::IndicesExhausted)?;
        let mut tunnel = self.new_tunnel(shared, slot);
        let Some(response) = tunnel.answer(from.ip(), initiation) else {
            shared.slots.release(slot);
            return Err(DropReason::InvalidInitiation);
        };
        let candidate = Session::answered(tunnel, slot, now);
        if self.sessions.add_candidate(&mut shared.slots, ephemeral, candidate) {
            shared.out.counters.count_drop(DropReason::CandidateReplaced);
        }
        shared.out.counters.initiations_answered += 1;
        shared.out.send(from, response);
        Ok(())
    }

    /// Takes the response to our own initiation: its session is used from here on.
    pub(crate) fn handle_response(
        &mut self,
        shared: &mut Shared,
        from: SocketAddr,
        response: &[u8],
        slot: u16,
        now: Instant,
    ) -> Result<(), DropReason> {
        let slots = &mut shared.slots;
        let keepalive = self.sessions.complete_attempt(slots, slot, from.ip(), response, now)?;
        self.note_session(now);
        shared.out.counters.handshakes_completed += 1;
        self.path.note_answer(from, now);
        if let Some(endpoint) = self.path.endpoint() {
            self.note_sent(shared, &keepalive, false, now);
            shared.out.send(endpoint, keepalive);
            self.come_up(shared, endpoint);
        }
        Ok(())
    }

    /// Takes a cookie and uses it at once, but once only: a second waits for the next retry.
    pub(crate) fn handle_cookie(
        &mut self,
        shared: &mut Shared,
        reply: &[u8],
        slot: u16,
        now: Instant,
    ) -> Result<(), DropReason> {
        let attempt = self.sessions.attempt_in(slot).ok_or(DropReason::InvalidCookie)?;
        if !attempt.take_cookie(reply) {
            return Err(DropReason::InvalidCookie);
        }
        shared.out.counters.cookies_received += 1;
        if attempt.may_answer_cookie() {
            self.send_initiation(shared, now);
        }
        Ok(())
    }

    /// The peer says that it does not know the session of a datagram that we sent.
    pub(crate) fn handle_reset(
        &mut self,
        shared: &mut Shared,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.timers.take_reset(now) {
            return Err(DropReason::ResetTooSoon);
        }
        shared.out.emit(Event::ResetReceived { peer: self.id });
        self.start_handshake(shared, now);
        Ok(())
    }

    /// Another session is used from here on.
    pub(super) fn note_session(&mut self, now: Instant) {
        self.timers.note_session();
        self.path.capacity_mut().note_session(now);
    }

    fn new_tunnel(&self, shared: &Shared, slot: u16) -> Tunnel {
        let preshared_key = self.preshared_key.as_ref().map(|key| **key);
        Tunnel::new(&shared.keys, &self.public_key, preshared_key, shared.slots.index(slot))
    }
}

/// Between 0 and 1.
fn fraction(random: &mut SmallRng) -> f64 {
    random.random()
}

/// The first bytes of an initiation's ephemeral key, which is random.
fn ephemeral_mark(initiation: &[u8]) -> Option<u64> {
    initiation.get(8..)?.first_chunk().copied().map(u64::from_le_bytes)
}
