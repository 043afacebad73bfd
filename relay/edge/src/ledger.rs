//! What one HTTP/2 connection costs, and what it asks for.
//!
//! Others read the frames; this only weighs them. What a visitor sends is either part of a request or overhead: frames of control,
//! padding, resets, heads that never end. Overhead beyond an allowance, or requests of late that are mostly taken back, are a flood,
//! whatever frames it is made of. The allowance grows with what is sent, because each byte that arrives is acknowledged, and with time.
//!
//! It also knows which answers wait for the visitor to make room, and since when: a window that stays closed holds memory here and a
//! connection at the origin.
//!
//! The lock is never held across anything that waits.
//! Source: RFC 9113 §10.5, CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION), CVE-2025-8671 (MadeYouReset).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;

use super::counters::Deadline;
use super::limits::{
    H2_ACCEPTED_STREAMS_MAX, H2_HALF_LIFE, H2_HEAD_EXTRA_BYTES, H2_OVERHEAD_BYTES_MAX,
    H2_OVERHEAD_BYTES_PER_SECOND, H2_RESETS_MAX, H2_STALLED_WINDOWS_MAX, H2_TAKEN_FRAME_BYTES,
};
use super::settings::EdgeSettings;

/// Shared by everything that serves one connection. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Arc<Mutex<Inner>>);

/// One request, until its answer has been given or given up.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Ledger,
    id: u64,
    answered: bool,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Serve,
    /// Nothing has been asked for long: no further request is taken.
    Leave,
    /// The visitor is too slow.
    Drop(Deadline),
}

#[derive(Debug)]
struct Inner {
    accepted_at: Instant,
    received_at: Instant,
    received: u64,
    sent: u64,
    /// Bytes received that belong to requests.
    asked_for: u64,
    requests: u64,
    recent: Recent,
    unanswered: u64,
    answered_at: Instant,
    /// When the visitor last made room for an answer.
    taken_at: Instant,
    /// Answers that wait for the visitor.
    waiting: HashMap<u64, Instant>,
    /// The streams that a handler has got, the last of them.
    accepted: VecDeque<u32>,
}

/// Requests of late. All counts are halved each [`H2_HALF_LIFE`], so that what a visitor did hours ago is not held against it.
#[derive(Debug)]
struct Recent {
    requests: u64,
    taken_back: u64,
    /// Those whose body was not wanted to its end.
    unread: u64,
    halved_at: Instant,
}

impl Recent {
    fn new(now: Instant) -> Self {
        Self { requests: 0, taken_back: 0, unread: 0, halved_at: now }
    }

    fn fade(&mut self, now: Instant) {
        while now.saturating_duration_since(self.halved_at) >= H2_HALF_LIFE {
            if self.requests + self.taken_back + self.unread == 0 {
                self.halved_at = now;
                return;
            }
            self.requests /= 2;
            self.taken_back /= 2;
            self.unread /= 2;
            self.halved_at += H2_HALF_LIFE;
        }
    }

    /// A few are a visitor's right, and so is what is less than half of all.
    fn are_too_many(&self, count: u64) -> bool {
        count > H2_RESETS_MAX && 2 * count > self.requests
    }
}

impl Ledger {
    pub(super) fn new(accepted_at: Instant) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            accepted_at,
            received_at: accepted_at,
            received: 0,
            sent: 0,
            asked_for: 0,
            requests: 0,
            recent: Recent::new(accepted_at),
            unanswered: 0,
            answered_at: accepted_at,
            taken_at: accepted_at,
            waiting: HashMap::new(),
            accepted: VecDeque::new(),
        })))
    }

    /// Bytes came over the connection; says whether they are still bearable.
    pub(super) fn receive(&self, bytes: usize, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.received += bytes as u64;
        inner.recent.fade(now);
        inner.received_at = now;
        !inner.is_flooded(now)
    }

    /// When bytes last came.
    pub(super) fn received_at(&self) -> Instant {
        self.lock().received_at
    }

    /// When the first request must have come.
    pub(super) fn head_deadline(&self, settings: &EdgeSettings) -> Instant {
        self.lock().accepted_at + settings.head_max
    }

    /// Bytes went out.
    pub(super) fn send(&self, bytes: usize) {
        self.lock().sent += bytes as u64;
    }

    /// Bytes that came belong to a request.
    pub(super) fn credit(&self, bytes: usize) {
        self.lock().asked_for += bytes as u64;
    }

    /// So many bytes of a request's body are on their way, or here, and nobody wants them: its answer came early. As with requests that
    /// are taken back, that may happen, and may not be the rule.
    pub(super) fn credit_unread(&self, bytes: u64) {
        let mut inner = self.lock();
        inner.recent.unread += 1;
        if !inner.recent.are_too_many(inner.recent.unread) {
            inner.asked_for += bytes;
        }
    }

    /// A handler has got the request on `stream`.
    pub(super) fn accept(&self, stream: u32) {
        let mut inner = self.lock();
        if inner.accepted.len() == H2_ACCEPTED_STREAMS_MAX {
            inner.accepted.pop_front();
        }
        inner.accepted.push_back(stream);
    }

    /// Returns true if a handler has got the request on `stream`, as far back as a stream can be open.
    pub(super) fn has_accepted(&self, stream: u32) -> bool {
        self.lock().accepted.contains(&stream)
    }

    /// A request has come.
    pub(super) fn open(&self, parts: &Parts) -> Account {
        self.credit(head_bytes(parts));
        let mut inner = self.lock();
        inner.requests += 1;
        inner.recent.requests += 1;
        inner.unanswered += 1;
        let id = inner.requests;
        drop(inner);
        Account { ledger: self.clone(), id, answered: false }
    }

    /// Requests that have no complete answer yet.
    pub(super) fn unanswered(&self) -> u64 {
        self.lock().unanswered
    }

    /// What is due by now.
    pub(super) fn judge(&self, settings: &EdgeSettings, now: Instant) -> Verdict {
        let inner = self.lock();
        if inner.requests == 0 {
            let late = now >= inner.accepted_at + settings.head_max;
            return if late { Verdict::Drop(Deadline::Head) } else { Verdict::Serve };
        }
        if inner.is_stalled(settings.progress_window, now) {
            return Verdict::Drop(Deadline::Drain);
        }
        if inner.unanswered == 0 && now >= inner.answered_at + settings.idle_max {
            return Verdict::Leave;
        }
        Verdict::Serve
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_flooded(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.accepted_at).as_secs();
        let allowance = H2_OVERHEAD_BYTES_MAX + age * H2_OVERHEAD_BYTES_PER_SECOND + self.sent / 8;
        self.received > self.asked_for + allowance
            || self.recent.are_too_many(self.recent.taken_back)
    }

    /// One answer may wait while others flow, but not for ever.
    fn is_stalled(&self, window: Duration, now: Instant) -> bool {
        let Some(since) = self.waiting.values().min() else { return false };
        let none_taken = now >= (*since).max(self.taken_at) + window;
        none_taken || now >= *since + window * H2_STALLED_WINDOWS_MAX
    }
}

impl Account {
    /// The visitor has taken what it was given, and may be given more.
    pub(super) fn taken(&self, now: Instant) {
        let mut inner = self.ledger.lock();
        if inner.waiting.remove(&self.id).is_some() {
            inner.taken_at = now;
        }
    }

    /// The visitor was given so many bytes of the answer in one frame, for each of which it may say a little.
    pub(super) fn given(&self, bytes: usize, now: Instant) {
        let mut inner = self.ledger.lock();
        inner.waiting.insert(self.id, now);
        inner.asked_for += if bytes > 0 { H2_TAKEN_FRAME_BYTES } else { 0 };
    }

    /// The answer is complete, or the origin broke it off: the visitor has not taken its request back.
    pub(super) fn answer(&mut self) {
        self.answered = true;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let now = Instant::now();
        // What waited has gone, or is wanted no more.
        self.taken(now);
        let mut inner = self.ledger.lock();
        inner.unanswered -= 1;
        inner.recent.taken_back += u64::from(!self.answered);
        inner.answered_at = now;
    }
}

/// More than a head takes on the wire, however it was compressed; less than lets a flood hide.
fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    target + fields_bytes(&parts.headers) + H2_HEAD_EXTRA_BYTES
}

/// The size of fields as RFC 9113 §6.5.2 counts it.
pub(super) fn fields_bytes(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[cfg(test)]
mod tests {
    use super::super::limits::H2_STREAM_WINDOW_BYTES;
    use super::*;

    #[test]
    fn overhead_is_borne_up_to_its_allowance() {
        let (ledger, now) = lab();
        let allowance = usize::try_from(H2_OVERHEAD_BYTES_MAX).unwrap();
        assert!(ledger.receive(allowance, now));
        ledger.credit(1_000);
        assert!(ledger.receive(1_000, now), "what belongs to requests is no overhead");
        ledger.send(80);
        assert!(ledger.receive(10, now), "what is sent is acknowledged");
        assert!(!ledger.receive(1, now));
    }

    #[test]
    fn a_visitor_that_measures_its_path_at_each_small_frame_is_no_flood() {
        let (ledger, now) = lab();
        let stream = account(&ledger);
        for _ in 0..200_000 {
            stream.given(20, now);
            ledger.send(29);
            assert!(ledger.receive(PING_BYTES + WINDOW_UPDATE_BYTES, now));
        }
        stream.given(0, now);
        let allowance = usize::try_from(H2_OVERHEAD_BYTES_MAX).unwrap();
        let credit = 200_000 * (usize::try_from(H2_TAKEN_FRAME_BYTES).unwrap() + 29 / 8);
        assert!(!ledger.receive(allowance + credit, now), "that has an end too");
    }

    #[test]
    fn requests_that_are_mostly_taken_back_are_a_flood() {
        let (ledger, now) = lab();
        let mut answered = account(&ledger);
        for _ in 0..H2_RESETS_MAX {
            drop(account(&ledger));
        }
        assert!(ledger.receive(1, now), "a few are a visitor's right");
        answered.answer();
        drop((answered, account(&ledger)));
        assert!(!ledger.receive(1, now));
        for _ in 0..H2_RESETS_MAX {
            account(&ledger).answer();
        }
        assert!(ledger.receive(1, now), "most of them have got their answers");
        assert_eq!(ledger.unanswered(), 0);
    }

    #[test]
    fn what_was_taken_back_long_ago_is_forgotten() {
        let (ledger, now) = lab();
        for minute in 0..200 {
            for _ in 0..H2_RESETS_MAX / 4 {
                drop(account(&ledger));
            }
            assert!(ledger.receive(1, now + H2_HALF_LIFE * minute), "{minute}");
        }
        for _ in 0..=H2_RESETS_MAX {
            drop(account(&ledger));
        }
        assert!(!ledger.receive(1, now + H2_HALF_LIFE * 199), "rest earns nothing");
    }

    #[test]
    fn bodies_that_nobody_wants_are_borne_while_they_are_not_the_rule() {
        let (ledger, now) = lab();
        let body = u64::from(H2_STREAM_WINDOW_BYTES);
        let refuse = || {
            account(&ledger).answer();
            ledger.credit_unread(body);
            ledger.receive(usize::try_from(body).unwrap(), now)
        };
        assert!((0..H2_RESETS_MAX).all(|_| refuse()), "a few are a visitor's right");
        assert!((0..H2_RESETS_MAX).any(|_| !refuse()), "most of them are a flood");
    }

    #[test]
    fn a_connection_without_a_request_is_late_and_one_that_has_had_its_answers_leaves() {
        let (ledger, now) = lab();
        let settings = EdgeSettings::default();
        assert_eq!(ledger.judge(&settings, now), Verdict::Serve);
        assert_eq!(ledger.judge(&settings, now + settings.head_max), Verdict::Drop(Deadline::Head));
        let open = account(&ledger);
        let later = now + settings.idle_max * 2;
        assert_eq!(ledger.judge(&settings, later), Verdict::Serve, "an origin may take its time");
        drop(open);
        assert_eq!(ledger.judge(&settings, later), Verdict::Leave);
    }

    #[test]
    fn an_answer_that_is_not_taken_is_dropped_and_a_moving_connection_is_not() {
        let (ledger, now) = lab();
        let settings = EdgeSettings::default();
        let window = settings.progress_window;
        let (stuck, moving) = (account(&ledger), account(&ledger));
        stuck.given(1, now);
        moving.given(1, now + window / 2);
        moving.taken(now + window / 2);
        assert_eq!(ledger.judge(&settings, now + window), Verdict::Serve);
        let dropped = Verdict::Drop(Deadline::Drain);
        assert_eq!(ledger.judge(&settings, now + window * 3 / 2), dropped);
        let long = now + window * H2_STALLED_WINDOWS_MAX;
        moving.given(1, long);
        moving.taken(long);
        assert_eq!(ledger.judge(&settings, long), dropped, "one may not wait for ever");
    }

    const PING_BYTES: usize = 17;
    const WINDOW_UPDATE_BYTES: usize = 13;

    fn lab() -> (Ledger, Instant) {
        let now = Instant::now();
        (Ledger::new(now), now)
    }

    fn account(ledger: &Ledger) -> Account {
        ledger.open(&http::Request::new(()).into_parts().0)
    }
}
