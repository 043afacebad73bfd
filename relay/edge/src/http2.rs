//! One HTTP/2 visitor connection.
//!
//! The crate `h2` owns the protocol, with its bounds set here (hyper, which is above it, sends no interim answers); deadlines and floods are
//! the [`Ledger`]'s, which is asked at a steady beat. A connection that has nothing to do is left in the way of the protocol (GOAWAY); a
//! visitor that is too slow, or floods, or gives no sign of life, is dropped.
//!
//! Each request takes an origin connection of its own while it runs. Upgrades and extended CONNECT (RFC 8441) are not offered, so
//! browsers open WebSockets over HTTP/1.1.
//!
//! Source: RFC 9113.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::{Builder, Connection};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::connection::Shared;
use super::counters::{Deadline, DeadlineLabels, EdgeCounters, Limit};
use super::downgrade::{Frames, HTTP_1_1_REQUIRED};
use super::ledger::{Ledger, Verdict};
use super::limits::{
    DRAIN_BYTES_MIN, H2_CONNECTION_WINDOW_BYTES, H2_ERROR_RESETS_MAX, H2_FRAME_BYTES_MAX,
    H2_HEADERS_BYTES_MAX, H2_PENDING_RESETS_MAX, H2_PING_INTERVAL, H2_PING_TIMEOUT,
    H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX,
};
use super::origins::Origins;
use super::pace::Pace;
use super::service::Visit;
use super::stream;

impl<O: Origins> Shared<O> {
    /// Speaks HTTP/2 on `stream` until either side is done.
    pub(super) async fn speak_http2<S>(
        &self,
        stream: S,
        visit: &Arc<Visit<O>>,
        ledger: &Ledger,
    ) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let window = self.settings.progress_window;
        let weighed = Weighed::new(stream, ledger.clone(), self.counters.clone(), window);
        let shaking = bounded().handshake(weighed);
        match timeout_at(ledger.head_deadline(&self.settings), shaking).await {
            Ok(connection) => self.serve_requests(connection?, visit, ledger).await,
            Err(_) => {
                self.give_up(Deadline::Head);
                Ok(())
            }
        }
    }

    /// Requests that are under way end with the connection.
    async fn serve_requests<S>(
        &self,
        mut connection: Connection<Weighed<S>, Bytes>,
        visit: &Arc<Visit<O>>,
        ledger: &Ledger,
    ) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // In the task of their connection: what several of them send leaves in one write.
        let mut requests = FuturesUnordered::new();
        let mut pulse = Pulse::new(connection.ping_pong());
        let mut draining = self.draining.clone();
        let mut draining = pin!(draining.wait_for(|draining| *draining));
        let mut leaving: Option<Instant> = None;
        let mut beat = interval(self.settings.shortest() / BEATS_PER_DEADLINE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let verdict = tokio::select! {
                // The beat goes before what may be ready each time, and answers go before the look at the connection, which sends them.
                biased;
                _ = draining.as_mut(), if leaving.is_none() => Verdict::Leave,
                _ = beat.tick() => {
                    if !pulse.beats(ledger.received_at(), Instant::now()) {
                        tracing::debug!("a visitor gives no sign of life");
                        return Ok(());
                    }
                    ledger.judge(&self.settings, Instant::now())
                }
                Some(()) = requests.next() => continue,
                accepted = connection.accept() => {
                    let Some(accepted) = accepted else { return Ok(()) };
                    let (request, respond) = accepted?;
                    ledger.accept(respond.stream_id().into());
                    requests.push(stream::serve(Arc::clone(visit), request, respond));
                    continue;
                }
            };
            if let Some(deadline) = self.overdue(verdict, leaving, ledger) {
                self.give_up(deadline);
                return Ok(());
            }
            if verdict == Verdict::Leave && leaving.is_none() {
                connection.graceful_shutdown();
                leaving = Some(Instant::now());
            }
        }
    }

    /// The deadline that a connection has missed, one that is left since `leaving` among them.
    fn overdue(
        &self,
        verdict: Verdict,
        leaving: Option<Instant>,
        ledger: &Ledger,
    ) -> Option<Deadline> {
        if let Verdict::Drop(deadline) = verdict {
            return Some(deadline);
        }
        // The visitor does not hear that it is to go.
        let is_deaf = leaving?.elapsed() > self.settings.head_max && ledger.unanswered() == 0;
        is_deaf.then_some(Deadline::Idle)
    }

    fn give_up(&self, deadline: Deadline) {
        self.counters.expired.get_or_create(&DeadlineLabels { deadline }).inc();
    }
}

fn bounded() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_send_buffer_size(H2_SEND_BUFFER_BYTES)
        .max_header_list_size(H2_HEADERS_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(H2_ERROR_RESETS_MAX));
    builder
}

/// Asks a silent visitor for a sign of life. Any byte is one.
struct Pulse {
    /// Given out once by a connection; without it nothing is asked.
    ping_pong: Option<PingPong>,
    asked_at: Option<Instant>,
}

impl Pulse {
    fn new(ping_pong: Option<PingPong>) -> Self {
        Self { ping_pong, asked_at: None }
    }

    /// False when the visitor has been asked and has been silent since.
    fn beats(&mut self, received_at: Instant, now: Instant) -> bool {
        let Some(ping_pong) = &mut self.ping_pong else { return true };
        // Answers are taken so that the next question may be asked; the bytes that they came in are what counts.
        let _ = ping_pong.poll_pong(&mut Context::from_waker(Waker::noop()));
        if let Some(asked_at) = self.asked_at.filter(|asked_at| received_at < *asked_at) {
            return now < asked_at + H2_PING_TIMEOUT;
        }
        let is_due = now >= received_at + H2_PING_INTERVAL;
        let is_asked = is_due && ping_pong.send_ping(Ping::opaque()).is_ok();
        self.asked_at = is_asked.then_some(now);
        true
    }
}

/// The stream of an HTTP/2 connection: weighed both ways, and paced where the socket is full.
#[derive(Debug)]
struct Weighed<S> {
    stream: S,
    ledger: Ledger,
    counters: EdgeCounters,
    writing: Pace,
    outgoing: Frames,
}

impl<S> Weighed<S> {
    fn new(stream: S, ledger: Ledger, counters: EdgeCounters, window: std::time::Duration) -> Self {
        let (writing, outgoing) = (Pace::new(window), Frames::default());
        Self { stream, ledger, counters, writing, outgoing }
    }

    /// How many of `bytes` may go out as they are; see [`Frames`].
    fn unchanged(&self, outgoing: Frames, bytes: &[u8]) -> usize {
        outgoing.unchanged(bytes, |stream| self.ledger.has_accepted(stream))
    }

    fn note_sent(
        &mut self,
        sent: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &sent {
            self.counters.sent.inc_by(*bytes as u64);
            self.ledger.send(*bytes);
            self.writing.moved(*bytes);
            return sent;
        }
        if sent.is_pending() {
            ready!(self.poll_overdue(cx))?;
        }
        sent
    }

    /// Bytes wait and the visitor takes none: is it time to give it up?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writing.poll_expired(DRAIN_BYTES_MIN, cx));
        let deadline = Deadline::Drain;
        self.counters.expired.get_or_create(&DeadlineLabels { deadline }).inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Weighed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let bytes = buffer.filled().len() - before;
        this.counters.received.inc_by(bytes as u64);
        if this.ledger.receive(bytes, Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        this.counters.limited(Limit::Flood);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of frames")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Weighed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let unchanged = bytes.get(..this.unchanged(this.outgoing, bytes)).unwrap_or_default();
        let is_change = unchanged.is_empty() && !bytes.is_empty();
        let next = if is_change { &[HTTP_1_1_REQUIRED][..] } else { unchanged };
        let sent = Pin::new(&mut this.stream).poll_write(cx, next);
        if let Poll::Ready(Ok(taken)) = &sent {
            this.outgoing.advance(bytes.get(..*taken).unwrap_or_default());
        }
        this.note_sent(sent, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            if self.unchanged(outgoing, slice) < slice.len() {
                let first = slices.iter().find(|slice| !slice.is_empty());
                return self.poll_write(cx, first.map(|first| &**first).unwrap_or_default());
            }
            outgoing.advance(slice);
        }
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(taken)) = &sent {
            let mut left = *taken;
            for slice in slices {
                let gone = slice.get(..left.min(slice.len())).unwrap_or_default();
                this.outgoing.advance(gone);
                left -= gone.len();
            }
        }
        this.note_sent(sent, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_pending() {
            ready!(this.poll_overdue(cx))?;
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        if shut.is_pending() {
            ready!(this.poll_overdue(cx))?;
        }
        shut
    }
}

/// How often the ledger is asked while the shortest deadline passes.
const BEATS_PER_DEADLINE: u32 = 4;
