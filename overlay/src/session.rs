//! A session, and a handshake of our own that may become one.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::counters::DropReason;
use crate::tunnel::{Opened, Tunnel};

/// Keys that both ends share. Its place in its peer's `Sessions` tells if it is confirmed.
pub(crate) struct Session {
    tunnel: Tunnel,
    slot: u16,
    born: Instant,
    is_initiator: bool,
}

impl Session {
    /// The session of a handshake that we answered.
    pub(crate) fn answered(tunnel: Tunnel, slot: u16, now: Instant) -> Self {
        Self { tunnel, slot, born: now, is_initiator: false }
    }

    /// Where receiver indices find it.
    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    pub(crate) fn born(&self) -> Instant {
        self.born
    }

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
        self.age(now) >= if self.is_initiator { REKEY_AFTER } else { REKEY_AFTER_RESPONDER }
    }

    /// Whether receiving should start the next handshake.
    pub(crate) fn wants_rekey_on_receive(&self, now: Instant) -> bool {
        self.is_initiator && self.age(now) >= REKEY_AFTER_RECEIVING
    }

    /// See [`Tunnel::seal`].
    pub(crate) fn seal<'b>(&mut self, packet: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        self.tunnel.seal(packet, buffer)
    }

    /// See [`Tunnel::open`].
    pub(crate) fn open<'b>(
        &mut self,
        datagram: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Opened<'b>, DropReason> {
        self.tunnel.open(datagram, buffer)
    }
}

/// A handshake of our own in flight. The standing session goes on meanwhile.
pub(crate) struct Attempt {
    tunnel: Tunnel,
    slot: u16,
    started: Instant,
    sent: Instant,
    retry_at: Instant,
    tries: usize,
    /// A cookie was answered at once already; another waits for the next retry.
    cookie_answered: bool,
}

impl Attempt {
    /// A handshake whose first initiation is due now.
    pub(crate) fn new(tunnel: Tunnel, slot: u16, now: Instant) -> Self {
        Self {
            tunnel,
            slot,
            started: now,
            sent: now,
            retry_at: now,
            tries: 0,
            cookie_answered: false,
        }
    }

    /// Where receiver indices find it.
    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// When the next initiation is due.
    pub(crate) fn retry_at(&self) -> Instant {
        self.retry_at
    }

    pub(crate) fn gives_up(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= ATTEMPT_TIME
    }

    /// An initiation of it left a moment ago.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.sent) < RESEND_AFTER
    }

    /// A fresh initiation. The one after it follows after a pause, and `fraction` (0 to 1) of the jitter.
    pub(crate) fn initiate(&mut self, fraction: f64, now: Instant) -> Option<Vec<u8>> {
        self.tries += 1;
        self.sent = now;
        self.retry_at = now + self.retry_pause() + RETRY_JITTER_MAX.mul_f64(fraction);
        self.tunnel.initiate()
    }

    /// The pause after the latest try, without jitter.
    fn retry_pause(&self) -> Duration {
        RETRY_PAUSES.get(self.tries.saturating_sub(1)).copied().unwrap_or(RETRY_PAUSE_MAX)
    }

    /// See [`Tunnel::complete`].
    pub(crate) fn complete(&mut self, from: IpAddr, response: &[u8]) -> Option<Vec<u8>> {
        self.tunnel.complete(from, response)
    }

    /// See [`Tunnel::take_cookie`].
    pub(crate) fn take_cookie(&mut self, reply: &[u8]) -> bool {
        self.tunnel.take_cookie(reply)
    }

    /// Returns true once: a cookie is answered at once, but a second waits for the next retry.
    pub(crate) fn may_answer_cookie(&mut self) -> bool {
        !std::mem::replace(&mut self.cookie_answered, true)
    }

    /// The session that stands once the response was taken.
    pub(crate) fn into_session(self, now: Instant) -> Session {
        Session { tunnel: self.tunnel, slot: self.slot, born: now, is_initiator: true }
    }
}

// Paper §6.1, where not said otherwise.
const REKEY_AFTER: Duration = Duration::from_secs(120);
const REJECT_AFTER: Duration = Duration::from_secs(180);
const ATTEMPT_TIME: Duration = Duration::from_secs(90);
const RETRY_JITTER_MAX: Duration = Duration::from_millis(333);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// REJECT_AFTER_TIME − KEEPALIVE_TIMEOUT − REKEY_TIMEOUT.
const REKEY_AFTER_RECEIVING: Duration = Duration::from_secs(165);
/// Ours: handshakes that crossed can leave each end the responder of the session that it sends in.
const REKEY_AFTER_RESPONDER: Duration = Duration::from_secs(150);
/// Ours: the first tries follow faster than every five seconds.
const RETRY_PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Ours: a handshake in flight for less is not repeated on demand.
const RESEND_AFTER: Duration = Duration::from_millis(500);
