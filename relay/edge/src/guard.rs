//! A visitor's stream as hyper sees it: framed strictly, paced, and closed with care.
//!
//! [`Guard`] sits between the socket, or TLS, and hyper. It passes bytes on only as far as
//! [`Framing`] has found them unambiguous; in front of a bad byte in a head it puts a NUL, so that
//! hyper answers 400 in its turn and closes. What comes behind a request waits here for the answer:
//! hyper reads no further while it has bytes that it cannot use yet, and would not learn that the
//! visitor goes away. It holds every deadline that a visitor can miss, it keeps a half-closed visitor
//! alive while bytes still flow to it, and after a shutdown it reads for a moment what is still
//! coming, so that no reset destroys the response.
//!
//! To TCP a visitor that leaves and one that only stops sending look alike. nginx and Go take both for a departure, which `nc -N` and scripts
//! pay for; here the time tells: who stops sending on purpose does so right behind the request, who gives up has waited first.
//!
//! It never decides about a request, and never writes anything of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::counters::{Deadline, DeadlineLabels, EdgeCounters, FaultLabels};
use super::framing::{Fault, Framing, Phase, Scanned};
use super::limits::{
    DECLARED_BODY_BYTES_MIN, DRAIN_BYTES_MIN, HELD_BYTES_MAX, LINGER_MAX, TRANSFER_BYTES_MIN,
};
use super::pace::{Alarm, Pace};
use super::rendezvous::{Beyond, Ended, Rendezvous};
use super::settings::EdgeSettings;
use super::target::encode;

/// See the module.
#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    rendezvous: Rendezvous,
    framing: Framing,
    clock: Clock,
    counters: EdgeCounters,
    /// What came behind a request that is not answered yet.
    held: BytesMut,
    /// What hyper's buffer had no room for: targets grow when they are encoded.
    overflow: Vec<u8>,
    /// Nothing more had come when the visitor was last read.
    is_waiting: bool,
    at_end: bool,
    /// The visitor ended too late for one that still wants its answer.
    has_left: bool,
    /// Of what hyper has written some waits until the visitor makes room.
    is_full: bool,
    refused: bool,
    is_shut: bool,
    linger: Option<Instant>,
}

/// The deadlines of one visitor.
#[derive(Debug)]
struct Clock {
    settings: EdgeSettings,
    accepted_at: Instant,
    /// When the present phase began; a head's first byte, a body's last head byte.
    phase_since: Instant,
    sent_at: Instant,
    alarm: Alarm,
    reading: Pace,
    writing: Pace,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// Guards `stream`, which was accepted at `accepted_at`.
    pub(super) fn new(
        stream: S,
        rendezvous: Rendezvous,
        settings: EdgeSettings,
        counters: EdgeCounters,
        accepted_at: Instant,
    ) -> Self {
        let clock = Clock {
            accepted_at,
            phase_since: accepted_at,
            sent_at: accepted_at,
            alarm: Alarm::default(),
            reading: Pace::new(settings.progress_window),
            writing: Pace::new(settings.progress_window),
            settings,
        };
        let (framing, held) = (Framing::default(), BytesMut::new());
        Self {
            stream,
            rendezvous,
            framing,
            clock,
            counters,
            held,
            overflow: Vec::new(),
            is_waiting: false,
            at_end: false,
            has_left: false,
            is_full: false,
            refused: false,
            is_shut: false,
            linger: None,
        }
    }

    /// Looks at bytes in their turn.
    fn scan(&mut self, came: &[u8]) -> Scanned {
        self.clock.reading.moved(came.len());
        let (phase, heads) = (self.framing.phase(), self.framing.heads());
        let scanned = self.framing.scan(came);
        self.rendezvous.asked(self.framing.heads() - heads);
        if self.framing.phase() != phase || self.framing.heads() != heads {
            self.clock.phase_since = Instant::now();
            self.clock.reading.restart();
        }
        scanned
    }

    /// Cuts what was scanned, which stands behind the first `before` bytes of `buffer`, where it may not be passed on.
    fn pass(
        &mut self,
        scanned: &Scanned,
        before: usize,
        buffer: &mut ReadBuf<'_>,
    ) -> io::Result<()> {
        let came = buffer.filled().get(before..).unwrap_or_default();
        let good = good_bytes(scanned, came.len());
        let passed = self.encoded(came.get(..good).unwrap_or_default());
        buffer.set_filled(before + good);
        if let Some(passed) = passed {
            buffer.set_filled(before);
            self.overflow = passed;
            self.pour(buffer);
        }
        match scanned {
            Scanned::All | Scanned::Held(_) => Ok(()),
            Scanned::Refused(good, fault) => self.refuse(*fault, *good, buffer),
        }
    }

    /// `passed` with its targets encoded, if there is anything to encode.
    fn encoded(&self, passed: &[u8]) -> Option<Vec<u8>> {
        let mut escapes = self.framing.escapes().iter().filter(|at| **at < passed.len()).peekable();
        escapes.peek()?;
        let mut encoded = Vec::with_capacity(passed.len() + 2 * self.framing.escapes().len());
        for (at, byte) in passed.iter().enumerate() {
            if escapes.next_if_eq(&&at).is_some() {
                encode(*byte, &mut encoded);
            } else {
                encoded.push(*byte);
            }
        }
        Some(encoded)
    }

    /// Gives hyper as much of the overflow as its buffer takes.
    fn pour(&mut self, buffer: &mut ReadBuf<'_>) {
        let (now, later) = self.overflow.split_at(self.overflow.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.overflow = later.to_vec();
    }

    /// In a head hyper is made to answer 400; in a body the read fails once the good bytes are
    /// taken, and the handler answers.
    fn refuse(&mut self, fault: Fault, good: usize, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        self.counters.malformed.get_or_create(&FaultLabels { fault }).inc();
        self.refused = true;
        if matches!(self.framing.phase(), Phase::Idle | Phase::Head) {
            self.overflow.push(b'\0');
            self.pour(buffer);
            return Ok(());
        }
        self.rendezvous.end(Ended::Malformed(fault));
        if good > 0 { Ok(()) } else { Err(malformed()) }
    }

    fn poll_visitor(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                self.note_end();
                self.poll_end(cx)
            }
            Poll::Ready(Ok(())) => {
                self.is_waiting = false;
                let came = buffer.filled().get(before..).unwrap_or_default();
                self.counters.received.inc_by(came.len() as u64);
                if self.rendezvous.beyond() == Beyond::Open {
                    return Poll::Ready(Ok(()));
                }
                let scanned = self.scan(came);
                if let Scanned::Held(good) = scanned {
                    self.held.extend_from_slice(came.get(good..).unwrap_or_default());
                }
                Poll::Ready(self.pass(&scanned, before, buffer))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.is_waiting = true;
                self.poll_overdue(cx)
            }
        }
    }

    /// An end that was not waited for came along with the bytes before it, however late it is read.
    fn note_end(&mut self) {
        self.at_end = true;
        let since = self.clock.phase_since.elapsed();
        self.has_left = self.is_waiting && since > self.clock.settings.half_close_window;
        self.close_behind_the_last();
    }

    /// Marks the last request that will come, so that its answer closes the connection.
    fn close_behind_the_last(&self) {
        if self.at_end && self.held.is_empty() {
            self.rendezvous.close();
        }
    }

    /// The end of the visitor's sending is passed on at once, but for a visitor that still waits
    /// for an answer: its end is passed on when the answer has left or nothing flows any more.
    /// hyper takes an end before that for a departure, and drops what it has not written.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let between_messages = matches!(self.framing.phase(), Phase::Idle | Phase::Held);
        if self.has_left || self.rendezvous.beyond() == Beyond::Open || !between_messages {
            return Poll::Ready(Ok(()));
        }
        if self.is_full {
            // The flush wakes the reader, or fails by a deadline of its own.
            return Poll::Pending;
        }
        if self.rendezvous.poll_answered(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let quiet_since = self.clock.sent_at.max(self.clock.phase_since);
            let deadline = quiet_since + self.clock.settings.half_closed_max;
            ready!(self.clock.alarm.poll(deadline, cx));
            if quiet_since == self.clock.sent_at.max(self.clock.phase_since) {
                self.expire(Deadline::HalfClosed);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Nothing has come; is something overdue?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rendezvous.beyond() != Beyond::Undecided {
            return Poll::Pending;
        }
        let overdue = match self.framing.phase() {
            Phase::Held => return Poll::Pending,
            // Both sides may wait for each other's words.
            Phase::DeclaredBody | Phase::ChunkedBody if self.rendezvous.is_answering() => {
                return Poll::Pending;
            }
            Phase::Idle => ready!(self.poll_idle(cx)),
            Phase::Head => {
                let deadline = self.head_deadline();
                ready!(self.clock.alarm.poll(deadline, cx));
                Deadline::Head
            }
            Phase::DeclaredBody => {
                ready!(self.clock.reading.poll_expired(DECLARED_BODY_BYTES_MIN, cx));
                Deadline::Body
            }
            Phase::ChunkedBody => {
                ready!(self.clock.reading.poll_expired(TRANSFER_BYTES_MIN, cx));
                Deadline::Body
            }
        };
        self.expire(overdue);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Between messages there is no deadline while the visitor waits for an answer.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Deadline> {
        if self.framing.heads() == 0 {
            let deadline = self.head_deadline();
            return self.clock.alarm.poll(deadline, cx).map(|()| Deadline::Head);
        }
        let answered_at = ready!(self.rendezvous.poll_answered(cx));
        let deadline = answered_at.max(self.clock.phase_since) + self.clock.settings.idle_max;
        self.clock.alarm.poll(deadline, cx).map(|()| Deadline::Idle)
    }

    fn head_deadline(&self) -> Instant {
        let since =
            if self.framing.heads() == 0 { self.clock.accepted_at } else { self.clock.phase_since };
        since + self.clock.settings.head_max
    }

    fn expire(&self, deadline: Deadline) {
        self.rendezvous.end(Ended::Expired);
        self.counters.expired.get_or_create(&DeadlineLabels { deadline }).inc();
    }

    /// Gives hyper's successor what came behind the request for an upgrade.
    fn unhold(&mut self, buffer: &mut ReadBuf<'_>) {
        let now = self.held.split_to(self.held.len().min(buffer.remaining()));
        buffer.put_slice(&now);
    }

    /// Gives hyper the next request of those that came too early.
    fn take_next(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let before = buffer.filled().len();
        let held = std::mem::take(&mut self.held);
        let (now, _) = held.split_at(held.len().min(buffer.remaining()));
        buffer.put_slice(now);
        let scanned = self.scan(now);
        let good = good_bytes(&scanned, now.len());
        self.held = held;
        self.held.advance(good);
        if self.held.is_empty() {
            // Its room is not kept while nothing waits.
            self.held = BytesMut::new();
            self.close_behind_the_last();
        }
        self.pass(&scanned, before, buffer)
    }

    /// Keeps what comes behind a request until there is an answer, and learns when the visitor goes away.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.held.len() < HELD_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) else {
                self.is_waiting = true;
                return Poll::Pending;
            };
            read?;
            if buffer.filled().is_empty() {
                self.note_end();
                return self.poll_end(cx);
            }
            self.is_waiting = false;
            self.clock.phase_since = Instant::now();
            self.counters.received.inc_by(buffer.filled().len() as u64);
            self.held.extend_from_slice(buffer.filled());
        }
        // The visitor's window closes; the answer wakes the reader.
        Poll::Pending
    }

    /// Reads on behind a refused upgrade, only to learn when the visitor goes away.
    fn poll_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_discard(cx))?;
        self.note_end();
        self.poll_end(cx)
    }

    /// Throws away what comes; ready at the end of it.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) else {
                self.is_waiting = true;
                return Poll::Pending;
            };
            read?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.is_waiting = false;
            self.clock.phase_since = Instant::now();
        }
    }

    fn note_sent(
        &mut self,
        sent: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(bytes)) => {
                self.counters.sent.inc_by(bytes as u64);
                self.clock.writing.moved(bytes);
                self.clock.sent_at = Instant::now();
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.is_full = true;
                ready!(self.clock.writing.poll_expired(DRAIN_BYTES_MIN, cx));
                self.expire(Deadline::Drain);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// The end of TLS needs room in the socket, which a visitor that does not read never makes.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = *self.linger.get_or_insert_with(|| Instant::now() + LINGER_MAX);
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => {
                self.clock.alarm.poll(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            shut => shut,
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = *self.linger.get_or_insert_with(|| Instant::now() + LINGER_MAX);
        if self.at_end || self.clock.alarm.poll(deadline, cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        // A visitor that resets has no use for what was sent; nothing is left to do either way.
        let _ = ready!(self.poll_discard(cx));
        self.at_end = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.overflow.is_empty() {
            this.pour(buffer);
            return Poll::Ready(Ok(()));
        }
        if this.refused {
            return Poll::Ready(Err(malformed()));
        }
        if this.framing.phase() == Phase::Held {
            match this.rendezvous.poll_beyond(cx) {
                Poll::Ready(Beyond::Open) if !this.held.is_empty() => {
                    this.unhold(buffer);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if !this.at_end => return this.poll_held(cx),
                Poll::Ready(Beyond::Sealed) if !this.at_end => return this.poll_sealed(cx),
                Poll::Pending | Poll::Ready(_) => {}
            }
        }
        if this.framing.is_between() {
            match this.rendezvous.poll_answered(cx) {
                Poll::Ready(_) => this.framing.proceed(),
                Poll::Pending if this.at_end => return this.poll_end(cx),
                Poll::Pending => return this.poll_held(cx),
            }
        }
        if this.framing.phase() != Phase::Held && !this.held.is_empty() {
            return Poll::Ready(this.take_next(buffer));
        }
        if this.at_end {
            return this.poll_end(cx);
        }
        this.poll_visitor(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note_sent(sent, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.note_sent(sent, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// What TLS still holds has to go in the time of a window as well. hyper does not read again by itself behind a flush that had to wait.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_pending() {
            this.is_full = true;
            ready!(this.clock.writing.poll_expired(DRAIN_BYTES_MIN, cx));
            this.expire(Deadline::Drain);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if std::mem::take(&mut this.is_full) && this.at_end {
            cx.waker().wake_by_ref();
        }
        this.rendezvous.flushed();
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(this.poll_shut(cx))?;
            this.is_shut = true;
        }
        if this.rendezvous.beyond() == Beyond::Open {
            return Poll::Ready(Ok(()));
        }
        this.poll_linger(cx)
    }
}

/// How many of `came` bytes may be passed on.
fn good_bytes(scanned: &Scanned, came: usize) -> usize {
    match scanned {
        Scanned::All => came,
        Scanned::Held(good) | Scanned::Refused(good, _) => *good,
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed request")
}
