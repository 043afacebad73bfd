//! The sessions of one peer: which stand, which is used, and which may come of handshakes under way.
//!
//! | place | holds | becomes |
//! |---|---|---|
//! | `attempt` | our handshake in flight | `current`, when the response proves to be for it |
//! | `candidates` | handshakes that we answered | `current`, when authentic transport data arrives on one |
//! | `current` | the session that we send in | `previous`, when another becomes current |
//! | `previous` | the session before, for receiving only | nothing; it ends at 180 s |
//!
//! Invariant: `current` changes by nothing that can be replayed. An initiation only adds a candidate; a response is bound to our fresh
//! ephemeral key; transport data has a counter. Invariant: what leaves its place here gives its slot back.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::counters::DropReason;
use crate::limits::{CANDIDATES_MAX, INITIATIONS_SEEN_MAX};
use crate::session::{Attempt, Session};
use crate::slots::Slots;
use crate::tunnel::Opened;

/// All sessions of one peer.
#[derive(Default)]
pub(crate) struct Sessions {
    current: Option<Session>,
    previous: Option<Session>,
    /// Oldest first.
    candidates: Vec<Session>,
    attempt: Option<Attempt>,
    /// First bytes of the ephemeral keys of initiations that were answered, newest last.
    seen: [u64; INITIATIONS_SEEN_MAX],
}

/// Where a session stands that a receiver index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Current,
    Previous,
    Candidate(usize),
}

impl Sessions {
    /// The session that is sent in.
    pub(super) fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    /// As [`Self::current`], to be sealed in.
    pub(super) fn current_mut(&mut self) -> Option<&mut Session> {
        self.current.as_mut()
    }

    /// Our handshake in flight.
    pub(super) fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    /// As [`Self::attempt`], to be sent.
    pub(super) fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        self.attempt.as_mut()
    }

    /// Our handshake in flight, if its slot is the one that was named.
    pub(super) fn attempt_in(&mut self, slot: u16) -> Option<&mut Attempt> {
        self.attempt.as_mut().filter(|attempt| attempt.slot() == slot)
    }

    pub(super) fn begin_attempt(&mut self, attempt: Attempt) {
        self.attempt = Some(attempt);
    }

    pub(super) fn drop_attempt(&mut self, slots: &mut Slots) {
        if let Some(attempt) = self.attempt.take() {
            slots.release(attempt.slot());
        }
    }

    /// Takes the response to our handshake: its session is current from here on. Gives the keepalive that confirms it.
    pub(super) fn complete_attempt(
        &mut self,
        slots: &mut Slots,
        slot: u16,
        from: IpAddr,
        response: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, DropReason> {
        let attempt = self.attempt_in(slot).ok_or(DropReason::UnexpectedResponse)?;
        let keepalive = attempt.complete(from, response).ok_or(DropReason::InvalidResponse)?;
        if let Some(attempt) = self.attempt.take() {
            self.replace_current(slots, attempt.into_session(now), now);
        }
        Ok(keepalive)
    }

    /// Returns true if the initiation with this ephemeral key was answered before.
    pub(super) fn has_answered(&self, ephemeral: u64) -> bool {
        self.seen.contains(&ephemeral)
    }

    /// Keeps a handshake that was answered until it is used. Returns true if the oldest had to go for it.
    pub(super) fn add_candidate(
        &mut self,
        slots: &mut Slots,
        ephemeral: u64,
        candidate: Session,
    ) -> bool {
        self.seen.rotate_left(1);
        if let Some(newest) = self.seen.last_mut() {
            *newest = ephemeral;
        }
        let is_full = self.candidates.len() >= CANDIDATES_MAX;
        if is_full {
            slots.release(self.candidates.remove(0).slot());
        }
        self.candidates.push(candidate);
        is_full
    }

    /// Opens a datagram in the session that `slot` names, and tells which that is.
    pub(super) fn open<'b>(
        &mut self,
        slot: u16,
        datagram: &[u8],
        buffer: &'b mut [u8],
        now: Instant,
    ) -> Result<(Place, Opened<'b>), DropReason> {
        let place = self.place(slot).ok_or(DropReason::UnknownIndex)?;
        let session = self.session_at(place).ok_or(DropReason::UnknownIndex)?;
        if session.is_expired(now) {
            return Err(DropReason::SessionExpired);
        }
        Ok((place, session.open(datagram, buffer)?))
    }

    /// Something authentic came in the session at `place`. When that is a candidate, the peer uses a handshake that we answered: so do we, and
    /// our own in flight is not needed. Returns true if another session is current.
    pub(super) fn confirm(&mut self, slots: &mut Slots, place: Place, now: Instant) -> bool {
        let Place::Candidate(position) = place else { return false };
        self.candidates.drain(..position).for_each(|older| slots.release(older.slot()));
        if self.candidates.is_empty() {
            return false;
        }
        let confirmed = self.candidates.remove(0);
        self.drop_attempt(slots);
        self.replace_current(slots, confirmed, now);
        true
    }

    /// Drops what is too old to be used. Returns true if no session is left to send in, and was.
    pub(super) fn drop_expired(&mut self, slots: &mut Slots, now: Instant) -> bool {
        let expired = |session: &mut Session| session.is_expired(now);
        let previous = self.previous.take_if(expired);
        let current = self.current.take_if(expired);
        let is_lost = current.is_some();
        previous.into_iter().chain(current).for_each(|session| slots.release(session.slot()));
        is_lost
    }

    /// Drops handshakes that were answered and not used in time.
    pub(super) fn drop_expired_candidates(&mut self, slots: &mut Slots, now: Instant) {
        while let Some(oldest) = self.candidates.first()
            && oldest.age(now) >= CANDIDATE_LIFETIME
        {
            slots.release(self.candidates.remove(0).slot());
        }
    }

    /// The next moment at which something here is due, and what.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let expiry = |session: &Session| session.expires_at();
        let candidate = self.candidates.first().map(|oldest| oldest.born() + CANDIDATE_LIFETIME);
        [
            (self.attempt.as_ref().map(Attempt::retry_at), "handshake retry"),
            (self.current.as_ref().map(expiry), "session expiry"),
            (self.previous.as_ref().map(expiry), "session expiry"),
            (candidate, "candidate expiry"),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some((at?, reason)))
        .min()
    }

    /// Gives back every slot.
    pub(super) fn release(&mut self, slots: &mut Slots) {
        let sessions = self.current.take().into_iter().chain(self.previous.take());
        sessions.chain(self.candidates.drain(..)).for_each(|session| slots.release(session.slot()));
        self.drop_attempt(slots);
    }

    /// Sends in `session` from here on, and receives in the one before as well.
    fn replace_current(&mut self, slots: &mut Slots, session: Session, now: Instant) {
        let replaced = match self.current.replace(session) {
            Some(before) if !before.is_expired(now) => self.previous.replace(before),
            expired => expired,
        };
        if let Some(replaced) = replaced {
            slots.release(replaced.slot());
        }
    }

    fn place(&self, slot: u16) -> Option<Place> {
        let is_here = |session: &Session| session.slot() == slot;
        if self.current.as_ref().is_some_and(is_here) {
            return Some(Place::Current);
        }
        if self.previous.as_ref().is_some_and(is_here) {
            return Some(Place::Previous);
        }
        self.candidates.iter().position(is_here).map(Place::Candidate)
    }

    fn session_at(&mut self, place: Place) -> Option<&mut Session> {
        match place {
            Place::Current => self.current.as_mut(),
            Place::Previous => self.previous.as_mut(),
            Place::Candidate(position) => self.candidates.get_mut(position),
        }
    }
}

/// An initiator confirms within a round trip.
const CANDIDATE_LIFETIME: Duration = Duration::from_secs(10);
