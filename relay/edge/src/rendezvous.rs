//! What the request handler and the guarded stream of one visitor connection tell each other.
//!
//! | handler → stream | the answer has begun, is complete; an upgrade was granted or refused |
//! |---|---|
//! | stream → handler | no further request will come; the request was at fault or too slow; what was written has left |
//!
//! The lock is never held across anything that waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::framing::Fault;

/// Shared by the handler and the stream of one connection. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Rendezvous(Arc<Mutex<Inner>>);

/// What may happen to bytes behind a request for an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    /// Nobody has answered yet: they wait.
    Undecided,
    /// The connection speaks another protocol: they pass.
    Open,
    /// The upgrade was not granted: they are thrown away, and never read as a request.
    Sealed,
}

/// Why a connection ends by the visitor's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Bad framing inside a body.
    Malformed(Fault),
    /// A deadline passed.
    Expired,
}

#[derive(Debug)]
struct Inner {
    unanswered: u64,
    answering: bool,
    answered_at: Instant,
    beyond: Beyond,
    closed: bool,
    ended: Option<Ended>,
    reader: Option<Waker>,
    flush: Flush,
}

/// Whether an answer waits until what it has given to hyper is written.
#[derive(Debug)]
enum Flush {
    Unwanted,
    Wanted(Waker),
    Done,
}

impl Rendezvous {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            unanswered: 0,
            answering: false,
            answered_at: now,
            beyond: Beyond::Undecided,
            closed: false,
            ended: None,
            reader: None,
            flush: Flush::Unwanted,
        })))
    }

    /// The stream has passed on complete request heads.
    pub(super) fn asked(&self, requests: u64) {
        self.lock().unanswered += requests;
    }

    /// The handler has the beginning of an answer.
    pub(super) fn answer(&self) {
        self.lock().answering = true;
    }

    /// Returns true while an answer is under way.
    pub(super) fn is_answering(&self) -> bool {
        self.lock().answering
    }

    /// The handler has given the last byte of an answer to hyper.
    pub(super) fn answered(&self, now: Instant) {
        let mut inner = self.lock();
        inner.unanswered = inner.unanswered.saturating_sub(1);
        inner.answering = false;
        inner.answered_at = now;
        wake(inner);
    }

    /// Decides about bytes behind a request for an upgrade.
    pub(super) fn decide(&self, beyond: Beyond) {
        let mut inner = self.lock();
        inner.beyond = beyond;
        wake(inner);
    }

    pub(super) fn beyond(&self) -> Beyond {
        self.lock().beyond
    }

    /// Ready when bytes behind a request for an upgrade have a verdict.
    pub(super) fn poll_beyond(&self, cx: &Context<'_>) -> Poll<Beyond> {
        let mut inner = self.lock();
        if inner.beyond == Beyond::Undecided {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(inner.beyond)
    }

    /// Ready, with the time of the last answer, when every request has been answered.
    pub(super) fn poll_answered(&self, cx: &Context<'_>) -> Poll<Instant> {
        let mut inner = self.lock();
        if inner.unanswered > 0 {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(inner.answered_at)
    }

    /// Ready when everything that hyper was given before the first call has been written to the visitor.
    pub(super) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if matches!(inner.flush, Flush::Done) {
            inner.flush = Flush::Unwanted;
            return Poll::Ready(());
        }
        if matches!(inner.flush, Flush::Unwanted) {
            // hyper may be past its flush in this turn; it flushes in each.
            cx.waker().wake_by_ref();
        }
        inner.flush = Flush::Wanted(cx.waker().clone());
        Poll::Pending
    }

    /// Everything that hyper has written has left.
    pub(super) fn flushed(&self) {
        let mut inner = self.lock();
        let Flush::Wanted(waiting) = &inner.flush else { return };
        let waiting = waiting.clone();
        inner.flush = Flush::Done;
        drop(inner);
        waiting.wake();
    }

    /// No request follows those that hyper has.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn end(&self, ended: Ended) {
        self.lock().ended = Some(ended);
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.lock().ended
    }

    /// A poisoned lock means a panic elsewhere in this connection; the plain values stay usable.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the stream after the lock is released.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let reader = inner.reader.take();
    drop(inner);
    if let Some(reader) = reader {
        reader.wake();
    }
}
