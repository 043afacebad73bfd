//! What a peer does when nothing arrives.

use std::time::Instant;

use super::{PeerState, Shared};
use crate::session::{Attempt, Session};
use crate::tunnel::{INITIATION_BYTES, TRANSPORT_BYTES_MIN};

impl PeerState {
    /// The next moment at which [`Self::handle_timeout`] has something to do, and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let has_attempt = self.sessions.attempt().is_some();
        [
            self.garden_until.map(|until| (until, "garden")),
            self.sessions.deadline(),
            self.timers.deadline(self.session_born(), has_attempt),
            self.path.capacity().deadline().map(|at| (at, "path probes")),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does everything that is due.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        self.sessions.drop_expired_candidates(&mut shared.slots, now);
        let lost_session = self.drop_expired_sessions(shared, now) && self.is_maintained();
        if self.sessions.attempt().is_some_and(|attempt| attempt.retry_at() <= now) {
            self.retry_handshake(shared, now);
        }
        if self.timers.wants_handshake(now) || lost_session {
            self.begin_handshake(shared, now);
        }
        if self.timers.take_silence(self.sessions.attempt().is_some(), now) {
            self.begin_handshake(shared, now);
        }
        if self.timers.owes_keepalive(self.session_born(), now) {
            self.send_keepalive(shared, now);
        }
        self.probe_path(shared, now);
    }

    /// Whether this tunnel is to come back by itself.
    pub(super) fn is_maintained(&self) -> bool {
        self.path.endpoint().is_some() && self.timers.has_keepalive() && !self.is_pending()
    }

    /// Makes a tunnel that is to come back by itself begin now, if it has nothing.
    pub(crate) fn maintain(&mut self, now: Instant) {
        let has_nothing = self.sessions.current().is_none() && self.sessions.attempt().is_none();
        if self.is_maintained() && has_nothing {
            self.timers.end_pause(now);
        }
    }

    fn session_born(&self) -> Option<Instant> {
        self.sessions.current().map(Session::born)
    }

    fn retry_handshake(&mut self, shared: &mut Shared, now: Instant) {
        let gives_up = |attempt: &Attempt| attempt.gives_up(now);
        if self.sessions.attempt().is_some_and(gives_up) {
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
                self.timers.give_up_answer();
                shared.out.counters.count_drop(reason);
            }
        }
    }
}
