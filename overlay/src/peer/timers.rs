//! What one peer owes and awaits, by time: keepalives, answers, the pause before the next handshake. Source: the WireGuard paper, §6.
//!
//! Nothing here sends. [`super::timeouts`] asks what is due, acts, and tells what it did.

use std::time::{Duration, Instant};

/// The timers of one peer.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Between keepalives; with an endpoint it makes the tunnel come back by itself as well.
    keepalive: Option<Duration>,
    /// Others think that this tunnel works.
    is_up: bool,
    /// Handshakes given up in a row.
    failures: u32,
    /// When the next handshake begins by itself.
    handshake_at: Option<Instant>,
    last_reset: Option<Instant>,
    last_received: Option<Instant>,
    last_sent: Option<Instant>,
    /// Since when we owe an answer, if only a keepalive.
    answer_owed: Option<Instant>,
    /// Since when we have heard nothing on what we sent.
    answer_awaited: Option<Instant>,
}

impl Timers {
    pub(super) fn new(keepalive: Option<Duration>) -> Self {
        Self { keepalive, ..Self::default() }
    }

    pub(super) fn set_keepalive(&mut self, keepalive: Option<Duration>) {
        self.keepalive = keepalive;
    }

    pub(super) fn has_keepalive(&self) -> bool {
        self.keepalive.is_some()
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// The tunnel works. Returns true if that is news.
    pub(super) fn come_up(&mut self) -> bool {
        !std::mem::replace(&mut self.is_up, true)
    }

    /// The tunnel does not work. Returns true if that is news.
    pub(super) fn go_down(&mut self) -> bool {
        std::mem::replace(&mut self.is_up, false)
    }

    pub(super) fn last_received(&self) -> Option<Instant> {
        self.last_received
    }

    /// A datagram was sealed; `expects_answer` tells a packet from a keepalive.
    pub(super) fn note_sent(&mut self, expects_answer: bool, now: Instant) {
        if expects_answer {
            self.answer_awaited.get_or_insert(now);
        }
        self.last_sent = Some(now);
        self.answer_owed = None;
    }

    /// Something authentic came.
    pub(super) fn note_received(&mut self, now: Instant) {
        self.last_received = Some(now);
        self.answer_awaited = None;
    }

    /// It was a packet, which wants an answer.
    pub(super) fn owe_answer(&mut self, now: Instant) {
        self.answer_owed.get_or_insert(now);
    }

    /// The answer that is owed cannot be given.
    pub(super) fn give_up_answer(&mut self) {
        self.answer_owed = None;
    }

    /// A handshake has come to an end: another session is used.
    pub(super) fn note_session(&mut self) {
        self.failures = 0;
        self.handshake_at = None;
        self.answer_awaited = None;
    }

    /// No session is left: nothing can be answered.
    pub(super) fn note_session_lost(&mut self) {
        self.answer_owed = None;
        self.answer_awaited = None;
    }

    /// A handshake of ours was not answered.
    pub(super) fn note_failure(&mut self) {
        self.answer_awaited = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// The peer says that it does not know our session. Returns true if that may be acted on.
    pub(super) fn take_reset(&mut self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < RESET_PAUSE;
        if self.last_reset.is_some_and(recent) {
            return false;
        }
        self.last_reset = Some(now);
        true
    }

    /// The next handshake begins by itself, longer from now each time, at random (`fraction` is 0 to 1) up to the whole of it, so that peers of
    /// a lost relay do not come back in step.
    pub(super) fn pause(&mut self, fraction: f64, now: Instant) {
        let doublings = self.failures.saturating_sub(1).min(PAUSE_DOUBLINGS_MAX);
        let longest = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
        self.handshake_at = Some(now + PAUSE_FLOOR + longest.mul_f64(fraction));
    }

    /// The next handshake begins by itself, now.
    pub(super) fn end_pause(&mut self, now: Instant) {
        self.handshake_at = Some(now);
    }

    /// A handshake begins.
    pub(super) fn note_attempt(&mut self) {
        self.handshake_at = None;
    }

    pub(super) fn wants_handshake(&self, now: Instant) -> bool {
        is_due(self.handshake_at, now)
    }

    /// Returns true, once, if nothing was heard for too long on what we sent. While a handshake is in flight, silence is that handshake's to end.
    pub(super) fn take_silence(&mut self, has_attempt: bool, now: Instant) -> bool {
        let is_over = is_due(self.silence_ends_at(has_attempt), now);
        if is_over {
            self.answer_awaited = None;
        }
        is_over
    }

    /// Whether something has to be said now, if only a keepalive, in a session that stands since `session_born`.
    pub(super) fn owes_keepalive(&self, session_born: Option<Instant>, now: Instant) -> bool {
        is_due(self.answer_due_at(), now) || is_due(self.keepalive_due_at(session_born), now)
    }

    /// The next moment at which something here is due, and what.
    pub(super) fn deadline(
        &self,
        session_born: Option<Instant>,
        has_attempt: bool,
    ) -> Option<(Instant, &'static str)> {
        [
            (self.handshake_at, "handshake after a pause"),
            (self.silence_ends_at(has_attempt), "peer silent"),
            (self.answer_due_at(), "keepalive"),
            (self.keepalive_due_at(session_born), "persistent keepalive"),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some((at?, reason)))
        .min()
    }

    fn silence_ends_at(&self, has_attempt: bool) -> Option<Instant> {
        let since = self.answer_awaited.filter(|_| !has_attempt)?;
        Some(since + SILENCE_MAX)
    }

    fn answer_due_at(&self) -> Option<Instant> {
        self.answer_owed.map(|since| since + KEEPALIVE_TIMEOUT)
    }

    fn keepalive_due_at(&self, session_born: Option<Instant>) -> Option<Instant> {
        let born = session_born?;
        Some(self.last_sent.unwrap_or(born) + self.keepalive?)
    }
}

fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// KEEPALIVE_TIMEOUT + REKEY_TIMEOUT.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const RESET_PAUSE: Duration = Duration::from_secs(5);
const PAUSE_FLOOR: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_a_session_ends_them() {
        let (mut timers, now) = (Timers::new(None), Instant::now());
        let paused = |timers: &mut Timers| {
            timers.note_failure();
            timers.pause(1.0, now);
            let (at, _) = timers.deadline(None, false).unwrap();
            (at - now - PAUSE_FLOOR).as_secs()
        };
        let longest: Vec<u64> = (0..8).map(|_| paused(&mut timers)).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);

        timers.note_session();
        assert_eq!(timers.deadline(None, false), None);
        assert_eq!(paused(&mut timers), 1);
    }

    #[test]
    fn silence_is_told_once_and_not_while_a_handshake_is_in_flight() {
        let (mut timers, now) = (Timers::new(None), Instant::now());
        timers.note_sent(true, now);
        let later = now + SILENCE_MAX;
        assert!(!timers.take_silence(false, later - Duration::from_millis(1)));
        assert!(!timers.take_silence(true, later));
        assert!(timers.take_silence(false, later));
        assert!(!timers.take_silence(false, later));
    }

    #[test]
    fn a_packet_that_came_is_answered_in_time_unless_something_is_said_before() {
        let (mut timers, now) = (Timers::new(None), Instant::now());
        timers.owe_answer(now);
        timers.owe_answer(now + Duration::from_secs(5));
        assert!(timers.owes_keepalive(Some(now), now + KEEPALIVE_TIMEOUT));
        timers.note_sent(false, now);
        assert!(!timers.owes_keepalive(Some(now), now + KEEPALIVE_TIMEOUT));
    }
}
