//! Handshakes, both ways.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use super::{PeerState, Shared};
use crate::api::Event;
use crate::counters::DropReason;
use crate::limits::CANDIDATES_MAX;
use crate::session::{Attempt, Session};
use crate::tunnel::Tunnel;

impl PeerState {
    /// Begins a handshake, or repeats the one in flight unless that was sent a moment ago.
    pub(crate) fn start_handshake(&mut self, shared: &mut Shared, now: Instant) {
        let fresh = |attempt: &Attempt| now.saturating_duration_since(attempt.sent) < RESEND_AFTER;
        match &self.attempt {
            Some(attempt) if fresh(attempt) => {}
            Some(_) => self.send_initiation(shared, now),
            None => self.begin_handshake(shared, now),
        }
    }

    /// Begins a handshake if none is in flight and there is somewhere to send it.
    pub(super) fn begin_handshake(&mut self, shared: &mut Shared, now: Instant) {
        if self.attempt.is_some() || self.is_pending() || self.endpoint.is_none() {
            return;
        }
        self.retry_at = None;
        let Some(slot) = shared.slots.take(self.id, &mut shared.random) else {
            shared.out.counters.count_drop(DropReason::IndicesExhausted);
            self.pause(shared, now);
            return;
        };
        self.attempt = Some(Attempt {
            tunnel: self.new_tunnel(shared, slot),
            slot,
            started: now,
            sent: now,
            retry_at: now,
            tries: 0,
            cookie_answered: false,
        });
        self.send_initiation(shared, now);
    }

    pub(super) fn send_initiation(&mut self, shared: &mut Shared, now: Instant) {
        let (Some(attempt), Some(endpoint)) = (&mut self.attempt, self.endpoint) else { return };
        attempt.tries += 1;
        attempt.sent = now;
        attempt.retry_at = now + attempt.retry_pause() + jitter(RETRY_JITTER_MAX, shared);
        if let Some(initiation) = attempt.tunnel.initiate() {
            shared.out.counters.initiations_sent += 1;
            shared.out.send(endpoint, initiation);
        }
    }

    /// Ends a handshake that nobody answered.
    pub(super) fn abandon_handshake(&mut self, shared: &mut Shared, now: Instant) {
        self.drop_attempt(shared);
        self.answer_awaited = None;
        self.failures = self.failures.saturating_add(1);
        shared.out.counters.handshakes_abandoned += 1;
        self.pause(shared, now);
        self.go_down(shared);
    }

    /// Waits before the next handshake, longer each time, at random up to the whole of it, so that peers of a lost relay do not
    /// come back in step.
    fn pause(&mut self, shared: &mut Shared, now: Instant) {
        if self.is_maintained() {
            let doublings = self.failures.saturating_sub(1).min(PAUSE_DOUBLINGS_MAX);
            let longest = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
            self.retry_at = Some(now + PAUSE_FLOOR + jitter(longest, shared));
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
        if self.seen.contains(&ephemeral) {
            return Err(DropReason::RepeatedInitiation);
        }
        let slot =
            shared.slots.take(self.id, &mut shared.random).ok_or(DropReason::IndicesExhausted)?;
        let mut tunnel = self.new_tunnel(shared, slot);
        let Some(response) = tunnel.answer(from.ip(), initiation) else {
            shared.slots.release(slot);
            return Err(DropReason::InvalidInitiation);
        };
        self.remember_initiation(ephemeral);
        self.add_candidate(shared, Session { tunnel, slot, born: now, initiator: false });
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
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.slot == slot);
        let attempt = attempt.ok_or(DropReason::UnexpectedResponse)?;
        let keepalive =
            attempt.tunnel.complete(from.ip(), response).ok_or(DropReason::InvalidResponse)?;
        if let Some(Attempt { tunnel, slot, .. }) = self.attempt.take() {
            self.replace_current(shared, Session { tunnel, slot, born: now, initiator: true }, now);
        }
        shared.out.counters.handshakes_completed += 1;
        self.last_answer = Some((now, from));
        if let Some(endpoint) = self.endpoint {
            self.note_sent(shared, &keepalive, now);
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
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.slot == slot);
        let attempt = attempt.ok_or(DropReason::InvalidCookie)?;
        if !attempt.tunnel.take_cookie(reply) {
            return Err(DropReason::InvalidCookie);
        }
        shared.out.counters.cookies_received += 1;
        if !std::mem::replace(&mut attempt.cookie_answered, true) {
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
        let recent = |at: Instant| now.saturating_duration_since(at) < RESET_PAUSE;
        if self.last_reset.is_some_and(recent) {
            return Err(DropReason::ResetTooSoon);
        }
        self.last_reset = Some(now);
        shared.out.emit(Event::ResetReceived { peer: self.id });
        self.start_handshake(shared, now);
        Ok(())
    }

    /// Sends in `session` from here on, and receives in the one before as well.
    pub(super) fn replace_current(&mut self, shared: &mut Shared, session: Session, now: Instant) {
        self.failures = 0;
        self.retry_at = None;
        self.answer_awaited = None;
        self.capacity.note_session(now);
        let replaced = match self.current.replace(session) {
            Some(before) if !before.is_expired(now) => self.previous.replace(before),
            expired => expired,
        };
        release(shared, replaced);
    }

    pub(super) fn drop_attempt(&mut self, shared: &mut Shared) {
        if let Some(attempt) = self.attempt.take() {
            shared.slots.release(attempt.slot);
        }
    }

    fn new_tunnel(&self, shared: &Shared, slot: u16) -> Tunnel {
        let preshared_key = self.preshared_key.as_ref().map(|key| **key);
        Tunnel::new(&shared.keys, &self.public_key, preshared_key, shared.slots.index(slot))
    }

    fn add_candidate(&mut self, shared: &mut Shared, candidate: Session) {
        if self.candidates.len() >= CANDIDATES_MAX {
            shared.out.counters.count_drop(DropReason::CandidateReplaced);
            let oldest = self.candidates.remove(0);
            release(shared, Some(oldest));
        }
        self.candidates.push(candidate);
    }

    fn remember_initiation(&mut self, ephemeral: u64) {
        self.seen.rotate_left(1);
        if let Some(newest) = self.seen.last_mut() {
            *newest = ephemeral;
        }
    }
}

pub(super) fn release(shared: &mut Shared, session: Option<Session>) {
    if let Some(session) = session {
        shared.slots.release(session.slot);
    }
}

fn jitter(longest: Duration, shared: &mut Shared) -> Duration {
    longest.mul_f64(shared.random.random::<f64>())
}

/// The first bytes of an initiation's ephemeral key, which is random.
fn ephemeral_mark(initiation: &[u8]) -> Option<u64> {
    initiation.get(8..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Paper §6.1.
const RETRY_JITTER_MAX: Duration = Duration::from_millis(333);
/// A handshake in flight for less is not repeated on demand.
const RESEND_AFTER: Duration = Duration::from_millis(500);
const RESET_PAUSE: Duration = Duration::from_secs(5);
const PAUSE_FLOOR: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_DOUBLINGS_MAX: u32 = 6;
