//! One flow: its connection, and what the stack keeps beside it.
//!
//! ```text
//! Connecting ──established──▶ Open ──handle dropped──▶ Lingering ──▶ freed
//!      └────────────handle dropped, or no answer────────▲
//! ```
//! `end` is set once, by whatever happens first; afterwards only unread bytes are of interest. The
//! memory is given back when there is an end and no handle.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::Instant;

use super::table::FlowKey;
use crate::limits::{LINGER_MAX, USER_TIMEOUT};
use crate::tcp::{Connection, Phase};
use crate::types::Unreachable;

/// A TCP flow.
pub(super) struct Flow {
    pub(super) key: FlowKey,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) connection: Connection,
    pub(super) stage: Stage,
    pub(super) end: Option<End>,
    /// Whether it stands in its peer's ready list.
    pub(super) is_queued: bool,
    /// Its entry among the timers.
    pub(super) armed: Option<Instant>,
    /// When something left that the other side has not answered since.
    pub(super) unanswered_since: Option<Instant>,
    /// How often in a row its turn brought nothing forward.
    pub(super) futile_count: u32,
    pub(super) wakers: Wakers,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

/// Who holds the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A `Connect`; the handshake has until then.
    Connecting { deadline: Instant },
    /// A `TcpFlow`, or a `Connect` that may become one.
    Open,
    /// Nobody; it has until then to close.
    Lingering { deadline: Instant },
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both directions were closed, or nobody is left to care.
    Finished,
    /// RST received.
    Reset,
    /// The other side did not answer in time.
    TimedOut,
    /// Given up here.
    Aborted,
    /// ICMP answered the SYN.
    Unreachable(Unreachable),
    /// The tunnel was removed.
    PeerGone,
}

impl End {
    pub(super) fn error(self) -> io::Error {
        let kind = match self {
            Self::Finished => io::ErrorKind::BrokenPipe,
            Self::Reset | Self::PeerGone => io::ErrorKind::ConnectionReset,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Aborted => io::ErrorKind::ConnectionAborted,
            Self::Unreachable(_) => io::ErrorKind::HostUnreachable,
        };
        kind.into()
    }
}

impl Flow {
    pub(super) fn new(
        key: FlowKey,
        (local, remote): (SocketAddr, SocketAddr),
        connection: Connection,
        stage: Stage,
    ) -> Self {
        Self {
            key,
            local,
            remote,
            connection,
            stage,
            end: None,
            is_queued: false,
            armed: None,
            unanswered_since: None,
            futile_count: 0,
            wakers: Wakers::default(),
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    pub(super) fn has_handle(&self) -> bool {
        !matches!(self.stage, Stage::Lingering { .. })
    }

    /// Whether the connection still has something to say to the other side.
    pub(super) fn may_speak(&self) -> bool {
        matches!(self.end, None | Some(End::Aborted | End::TimedOut))
    }

    /// Draws the conclusions from the connection's phase. Gives whether the flow ended by it.
    pub(super) fn refresh(&mut self) -> Option<End> {
        if self.end.is_some() {
            return None;
        }
        let phase = self.connection.phase();
        // A callee may accept, speak and reset in packets that come together: what it said is still to be read.
        if matches!(self.stage, Stage::Connecting { .. }) && self.connection.was_established() {
            self.stage = Stage::Open;
        }
        match phase {
            Phase::Reset => self.end = Some(End::Reset),
            Phase::Closed => self.end = Some(End::Finished),
            // Nobody will read what came after the handle was dropped (RFC 2525 §2.17).
            Phase::Open if !self.has_handle() && self.connection.unread_bytes() > 0 => {
                self.give_up(End::Aborted);
            }
            Phase::Handshake | Phase::Open | Phase::TimeWait => {}
        }
        self.end
    }

    /// Ends the flow from this side; a RST follows.
    pub(super) fn give_up(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.connection.abort();
        }
    }

    /// The last handle is gone.
    pub(super) fn release(&mut self, now: Instant) {
        let may_close = self.connection.is_shut_down() && self.connection.unread_bytes() == 0;
        if !may_close && self.connection.phase() != Phase::TimeWait {
            self.give_up(End::Aborted);
        }
        self.stage = Stage::Lingering { deadline: now + LINGER_MAX };
    }

    /// When the flow itself, not its connection, wants to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Lingering { deadline } if self.end.is_some() => Some(deadline),
            _ if self.end.is_some() => None,
            Stage::Connecting { deadline } => Some(deadline),
            Stage::Lingering { deadline } => {
                Some(self.user_deadline().map_or(deadline, |user| user.min(deadline)))
            }
            Stage::Open => self.user_deadline(),
        }
    }

    /// Applies the deadlines that have come.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_silent = self.user_deadline().is_some_and(|deadline| deadline <= now);
        match self.stage {
            Stage::Connecting { deadline } if deadline <= now => self.give_up(End::TimedOut),
            Stage::Lingering { deadline } if deadline <= now && self.end.is_some() => {
                // Not even the RST could leave: the peer is paused.
                self.end = Some(End::Finished);
            }
            Stage::Lingering { deadline } if deadline <= now => {
                self.give_up(End::Aborted);
                self.stage = Stage::Lingering { deadline: now + USER_TIMEOUT };
            }
            Stage::Open | Stage::Lingering { .. } if is_silent => self.give_up(End::TimedOut),
            Stage::Connecting { .. } | Stage::Open | Stage::Lingering { .. } => {}
        }
    }

    fn user_deadline(&self) -> Option<Instant> {
        self.unanswered_since.map(|since| since + USER_TIMEOUT)
    }

    /// Moves everybody who has something to learn to `woken`.
    pub(super) fn wake(&mut self, woken: &mut Vec<Waker>) {
        let is_over = self.end.is_some();
        let Self { wakers, connection, .. } = self;
        let mut wake = |waker: &mut Option<Waker>, is_due: &dyn Fn() -> bool| {
            // Seldom does anybody wait, and what for is the longer question.
            if waker.is_some() && (is_over || is_due()) {
                woken.extend(waker.take());
            }
        };
        wake(&mut wakers.read, &|| connection.is_readable());
        wake(&mut wakers.write, &|| connection.is_writable());
        wake(&mut wakers.flush, &|| connection.is_flushed());
        wake(&mut wakers.reset, &|| false);
    }
}

/// Who waits for what. One of each: a later one takes the place of an earlier one.
#[derive(Default)]
pub(super) struct Wakers {
    pub(super) read: Option<Waker>,
    /// Also the end of the handshake.
    pub(super) write: Option<Waker>,
    pub(super) flush: Option<Waker>,
    pub(super) reset: Option<Waker>,
}

/// Remembers the waker of `context` in `slot`.
pub(super) fn register(slot: &mut Option<Waker>, context: &Context<'_>) {
    if !slot.as_ref().is_some_and(|current| current.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
}
