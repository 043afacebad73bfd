//! What a peer does when nothing arrives. Source: the WireGuard paper, §6.

use std::time::{Duration, Instant};

use super::handshake::release;
use super::{PeerState, Shared};
use crate::tunnel::{INITIATION_BYTES, TRANSPORT_BYTES_MIN};

impl PeerState {
    /// The next moment at which [`Self::handle_timeout`] has something to do, and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        [
            (self.garden_until, "garden"),
            (self.attempt.as_ref().map(|attempt| attempt.retry_at), "handshake retry"),
            (self.retry_at, "handshake after a pause"),
            (self.current.as_ref().map(|session| session.expires_at()), "session expiry"),
            (self.previous.as_ref().map(|session| session.expires_at()), "session expiry"),
            (self.candidate_expiry(), "candidate expiry"),
            (self.silence_ends_at(), "peer silent"),
            (self.answer_due_at(), "keepalive"),
            (self.keepalive_due_at(), "persistent keepalive"),
            (self.capacity.deadline(), "path probes"),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some((at?, reason)))
        .min()
    }

    /// Does everything that is due.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.drop_expired_candidates(shared, now);
        let had_session = self.current.is_some();
        self.drop_expired_sessions(shared, now);
        let lost_session = had_session && self.current.is_none() && self.is_maintained();
        if is_due(self.attempt.as_ref().map(|attempt| attempt.retry_at)) {
            self.retry_handshake(shared, now);
        }
        if is_due(self.retry_at) || lost_session {
            self.begin_handshake(shared, now);
        }
        if is_due(self.silence_ends_at()) {
            self.answer_awaited = None;
            self.begin_handshake(shared, now);
        }
        if is_due(self.answer_due_at()) || is_due(self.keepalive_due_at()) {
            self.send_keepalive(shared, now);
        }
        self.probe_path(shared, now);
    }

    /// Whether this tunnel is to come back by itself.
    pub(super) fn is_maintained(&self) -> bool {
        self.endpoint.is_some() && self.keepalive.is_some() && !self.is_pending()
    }

    /// Makes a tunnel that is to come back by itself begin now, if it has nothing.
    pub(crate) fn maintain(&mut self, now: Instant) {
        if self.is_maintained() && self.current.is_none() && self.attempt.is_none() {
            self.retry_at = Some(now);
        }
    }

    fn retry_handshake(&mut self, shared: &mut Shared, now: Instant) {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.gives_up(now)) {
            self.abandon_handshake(shared, now);
        } else {
            self.send_initiation(shared, now);
        }
    }

    fn send_keepalive(&mut self, shared: &mut Shared, now: Instant) {
        let mut buffer = [0; INITIATION_BYTES + TRANSPORT_BYTES_MIN];
        match self.seal(shared, &[], &mut buffer, now) {
            Ok((to, sealed)) => {
                shared.out.counters.keepalives_sent += 1;
                shared.out.send(to, sealed.to_vec());
            }
            Err(reason) => {
                self.answer_owed = None;
                shared.out.counters.count_drop(reason);
            }
        }
    }

    fn drop_expired_candidates(&mut self, shared: &mut Shared, now: Instant) {
        while let Some(oldest) = self.candidates.first()
            && oldest.age(now) >= CANDIDATE_LIFETIME
        {
            let oldest = self.candidates.remove(0);
            release(shared, Some(oldest));
        }
    }

    fn candidate_expiry(&self) -> Option<Instant> {
        self.candidates.first().map(|oldest| oldest.born + CANDIDATE_LIFETIME)
    }

    /// While a handshake is in flight, silence is that handshake's to end.
    fn silence_ends_at(&self) -> Option<Instant> {
        let since = self.answer_awaited.filter(|_| self.attempt.is_none())?;
        Some(since + SILENCE_MAX)
    }

    fn answer_due_at(&self) -> Option<Instant> {
        self.answer_owed.map(|since| since + KEEPALIVE_TIMEOUT)
    }

    fn keepalive_due_at(&self) -> Option<Instant> {
        let session = self.current.as_ref()?;
        Some(self.last_sent.unwrap_or(session.born) + self.keepalive?)
    }
}

const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// KEEPALIVE_TIMEOUT + REKEY_TIMEOUT.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// An initiator confirms within a round trip.
const CANDIDATE_LIFETIME: Duration = Duration::from_secs(10);
