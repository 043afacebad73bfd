//! One HTTP/2 visitor connection.
//!
//! hyper owns the protocol, with its bounds set here; deadlines and floods are the [`Ledger`]'s, which is asked at a steady beat. A
//! connection that has nothing to do is left in the way of the protocol (GOAWAY); a visitor that is too slow, or floods, is dropped.
//!
//! Each request takes an origin connection of its own while it runs. Upgrades and extended CONNECT (RFC 8441) are not offered, so
//! browsers open WebSockets over HTTP/1.1.
//!
//! Source: RFC 9113.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connection::Shared;
use super::counters::{Deadline, DeadlineLabels, EdgeCounters, Limit};
use super::ledger::{Ledger, Verdict};
use super::limits::{
    DRAIN_BYTES_MIN, H2_CONNECTION_WINDOW_BYTES, H2_ERROR_RESETS_MAX, H2_FRAME_BYTES_MAX,
    H2_HEADERS_BYTES_MAX, H2_PENDING_RESETS_MAX, H2_PING_INTERVAL, H2_PING_TIMEOUT,
    H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX,
};
use super::origins::Origins;
use super::pace::Pace;
use super::service::Visit;

impl<O: Origins> Shared<O> {
    /// Speaks HTTP/2 on `stream` until either side is done.
    pub(super) async fn speak_http2<S>(
        &self,
        stream: S,
        visit: &Arc<Visit<O>>,
        ledger: &Ledger,
    ) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request| {
            let visit = Arc::clone(visit);
            async move { Ok::<_, Infallible>(visit.handle(request).await) }
        });
        let weighed = Weighed::new(
            stream,
            ledger.clone(),
            self.counters.clone(),
            self.settings.progress_window,
        );
        let connection = bounded().serve_connection(TokioIo::new(weighed), service);
        let mut connection = pin!(connection);
        let mut draining = self.draining.clone();
        let mut leaving: Option<Instant> = None;
        let mut beat = interval(self.settings.shortest() / BEATS_PER_DEADLINE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let verdict = tokio::select! {
                ended = connection.as_mut() => return ended,
                _ = draining.wait_for(|draining| *draining), if leaving.is_none() => Verdict::Leave,
                _ = beat.tick() => ledger.judge(&self.settings, Instant::now()),
            };
            match (verdict, leaving) {
                (Verdict::Drop(deadline), _) => {
                    self.give_up(deadline);
                    return Ok(());
                }
                (Verdict::Leave, None) => {
                    connection.as_mut().graceful_shutdown();
                    leaving = Some(Instant::now());
                }
                // The visitor does not hear that it is to go.
                (_, Some(since))
                    if since.elapsed() > self.settings.head_max && ledger.unanswered() == 0 =>
                {
                    self.give_up(Deadline::Idle);
                    return Ok(());
                }
                (Verdict::Leave | Verdict::Serve, _) => {}
            }
        }
    }

    fn give_up(&self, deadline: Deadline) {
        self.counters.expired.get_or_create(&DeadlineLabels { deadline }).inc();
    }
}

fn bounded() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .max_header_list_size(H2_HEADERS_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_ERROR_RESETS_MAX)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT);
    builder
}

/// The stream of an HTTP/2 connection: weighed both ways, and paced where the socket is full.
#[derive(Debug)]
struct Weighed<S> {
    stream: S,
    ledger: Ledger,
    counters: EdgeCounters,
    writing: Pace,
}

impl<S> Weighed<S> {
    fn new(stream: S, ledger: Ledger, counters: EdgeCounters, window: std::time::Duration) -> Self {
        Self { stream, ledger, counters, writing: Pace::new(window) }
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
        let sent = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note_sent(sent, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
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
