//! A session, and a handshake of our own that may become one.

use std::time::{Duration, Instant};

use crate::tunnel::Tunnel;

/// Keys that both ends share. Where it stands in its peer says whether it is confirmed.
pub(crate) struct Session {
    pub(crate) tunnel: Tunnel,
    pub(crate) slot: u16,
    pub(crate) born: Instant,
    pub(crate) initiator: bool,
}

impl Session {
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.age(now) >= REJECT_AFTER
    }

    pub(crate) fn expires_at(&self) -> Instant {
        self.born + REJECT_AFTER
    }

    /// Whether sending should start the next handshake. The responder waits longer, and acts only if the initiator did not.
    pub(crate) fn wants_rekey_on_send(&self, now: Instant) -> bool {
        self.age(now) >= if self.initiator { REKEY_AFTER } else { REKEY_AFTER_RESPONDER }
    }

    /// Whether receiving should start the next handshake.
    pub(crate) fn wants_rekey_on_receive(&self, now: Instant) -> bool {
        self.initiator && self.age(now) >= REKEY_AFTER_RECEIVING
    }
}

/// A handshake of our own in flight. The standing session goes on meanwhile.
pub(crate) struct Attempt {
    pub(crate) tunnel: Tunnel,
    pub(crate) slot: u16,
    pub(crate) started: Instant,
    pub(crate) sent: Instant,
    pub(crate) retry_at: Instant,
    pub(crate) tries: usize,
    /// A cookie was answered at once already; another waits for the next retry.
    pub(crate) cookie_answered: bool,
}

impl Attempt {
    /// The pause after the latest try, without jitter.
    pub(crate) fn retry_pause(&self) -> Duration {
        RETRY_PAUSES.get(self.tries.saturating_sub(1)).copied().unwrap_or(RETRY_PAUSE_MAX)
    }

    pub(crate) fn gives_up(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= ATTEMPT_TIME
    }
}

// Paper §6.1, where not said otherwise.
const REKEY_AFTER: Duration = Duration::from_secs(120);
const REJECT_AFTER: Duration = Duration::from_secs(180);
const ATTEMPT_TIME: Duration = Duration::from_secs(90);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// REJECT_AFTER_TIME − KEEPALIVE_TIMEOUT − REKEY_TIMEOUT.
const REKEY_AFTER_RECEIVING: Duration = Duration::from_secs(165);
/// Ours: handshakes that crossed can leave each end the responder of the session that it sends in.
const REKEY_AFTER_RESPONDER: Duration = Duration::from_secs(150);
/// Ours: the first tries follow faster than every five seconds.
const RETRY_PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
