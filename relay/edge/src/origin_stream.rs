//! The bytes of one HTTP/1 origin connection on their way to hyper: counted, with the heads of answers made readable (`response_head.rs`).
//!
//! An origin may answer without reading a request to its end, and close. hyper and h2 give a connection up when writing fails, and the answer
//! with it: so what such an origin does not take is thrown away without a word, and reading tells the end, behind the answer.
//!
//! A head is looked for when a request has been sent, and again behind an interim answer; everything else passes unread. A head that comes
//! whole and has nothing odd in it, as nearly every one does, is not copied.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::{HEAD_BYTES_MAX, INTERIM_ANSWERS_MAX, ODD_LINES_LOGGED_MAX, ORIGINS_KNOWN_MAX};
use super::origins::OriginId;
use super::response_head::{self, End, Note, Repaired};

/// What the stream and the sender of requests tell each other. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchanged(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    received: AtomicU64,
    is_asked: AtomicBool,
}

impl Exchanged {
    /// Bytes that the origin has sent.
    pub(super) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// A request is about to be sent: what comes next is the head of its answer.
    pub(super) fn ask(&self) {
        self.0.is_asked.store(true, Ordering::Relaxed);
    }
}

/// Where odd lines are told. Cloning shares it.
#[derive(Clone)]
pub(super) struct OddLines {
    logged: Arc<Mutex<HashMap<OriginId, HashSet<String>>>>,
    changed: Counter,
    owner: Arc<Owner>,
}

/// Tells a service's publisher what visitors do not get of its answers.
type Owner = dyn Fn(OriginId, String) + Send + Sync;

impl fmt::Debug for OddLines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OddLines").finish_non_exhaustive()
    }
}

impl OddLines {
    pub(super) fn new(
        changed: Counter,
        owner: impl Fn(OriginId, String) + Send + Sync + 'static,
    ) -> Self {
        Self { logged: Arc::default(), changed, owner: Arc::new(owner) }
    }

    /// Counts the lines of a head, logs each of a publication once, and tells its owner what visitors do not get.
    fn tell(&self, origin: OriginId, repaired: &Repaired) {
        for Note { line, why } in &repaired.notes {
            self.changed.inc();
            if self.is_news(origin, line) {
                let why = why.to_string();
                tracing::warn!(publication = %origin.0, line, why, "odd header line of a service");
            }
        }
        if let Some(Note { line, why }) = repaired.notes.iter().find(|note| note.why.is_loss()) {
            let text = format!("visitors do not get its header line \"{line}\": {why}");
            (self.owner)(origin, text);
        }
    }

    /// Begins anew when the table is full.
    fn is_news(&self, origin: OriginId, line: &str) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= ORIGINS_KNOWN_MAX && !logged.contains_key(&origin) {
            logged.clear();
        }
        let lines = logged.entry(origin).or_default();
        lines.len() < ODD_LINES_LOGGED_MAX && lines.insert(line.to_owned())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct OriginStream<S> {
    stream: S,
    origin: OriginId,
    exchanged: Exchanged,
    odd: OddLines,
    state: State,
    /// What hyper gets before anything else.
    ready: Vec<u8>,
    interim: u32,
}

#[derive(Debug)]
enum State {
    /// Bytes of bodies.
    Passing,
    /// What has come of a head, and how far its end was looked for.
    Head(Vec<u8>, End),
}

impl<S> OriginStream<S> {
    pub(super) fn new(stream: S, origin: OriginId, exchanged: Exchanged, odd: OddLines) -> Self {
        Self {
            stream,
            origin,
            exchanged,
            odd,
            state: State::Passing,
            ready: Vec::new(),
            interim: 0,
        }
    }

    /// Takes what has come of a head, and puts in front of hyper what can be read.
    fn take(&mut self, mut came: Vec<u8>, mut end: End) -> io::Result<()> {
        while let Some(length) = end.find(&came) {
            end = End::default();
            let rest = came.split_off(length);
            let is_final = self.pass(&came)?;
            if is_final {
                self.ready.extend(rest);
                self.state = State::Passing;
                return Ok(());
            }
            came = rest;
        }
        if came.len() > HEAD_BYTES_MAX || !response_head::may_begin(&came) {
            // hyper says what it is.
            self.ready.extend(came);
            self.state = State::Passing;
        } else {
            self.state = State::Head(came, end);
        }
        Ok(())
    }

    /// Passes a whole head on; returns true if no other follows before the body.
    fn pass(&mut self, head: &[u8]) -> io::Result<bool> {
        match response_head::repaired(head) {
            Some(repaired) => {
                self.odd.tell(self.origin, &repaired);
                self.ready.extend(repaired.head);
            }
            None => self.ready.extend(head),
        }
        self.is_final(head)
    }

    /// 101 is followed by another protocol.
    fn is_final(&mut self, head: &[u8]) -> io::Result<bool> {
        let is_interim = is_interim(head);
        self.interim += u32::from(is_interim);
        if self.interim > INTERIM_ANSWERS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many interim answers"));
        }
        Ok(!is_interim)
    }

    fn pour(&mut self, buffer: &mut ReadBuf<'_>) {
        let (now, later) = self.ready.split_at(self.ready.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.ready = later.to_vec();
    }
}

impl<S: AsyncRead + Unpin> OriginStream<S> {
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let bytes = buffer.filled().len() - before;
        self.exchanged.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
        Poll::Ready(Ok(bytes))
    }

    /// Reads a head; what has come of one that ends early goes to hyper as it is.
    fn poll_head(
        &mut self,
        (mut head, end): (Vec<u8>, End),
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Poll::Ready(bytes) = self.poll_stream(cx, buffer) else {
            self.state = State::Head(head, end);
            return Poll::Pending;
        };
        if bytes? == 0 {
            self.ready = head;
            self.pour(buffer);
            return Poll::Ready(Ok(()));
        }
        let came = buffer.filled().get(before..).unwrap_or_default();
        if head.is_empty() && is_ordinary(came) {
            return Poll::Ready(Ok(()));
        }
        head.extend_from_slice(came);
        buffer.set_filled(before);
        self.take(head, end)?;
        self.pour(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OriginStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            if !this.ready.is_empty() {
                this.pour(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.exchanged.0.is_asked.swap(false, Ordering::Relaxed) {
                this.interim = 0;
                this.state = State::Head(Vec::new(), End::default());
            }
            match std::mem::replace(&mut this.state, State::Passing) {
                State::Passing => return this.poll_stream(cx, buffer).map_ok(drop),
                State::Head(head, end) => ready!(this.poll_head((head, end), cx, buffer))?,
            }
            let is_waiting = matches!(this.state, State::Head(..));
            if buffer.filled().len() > before || !is_waiting {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Returns true if a whole final head stands at the beginning of `came`, with nothing to change in it.
fn is_ordinary(came: &[u8]) -> bool {
    let head = response_head::length(came).and_then(|length| came.get(..length));
    head.is_some_and(|head| response_head::repaired(head).is_none() && !is_interim(head))
}

fn is_interim(head: &[u8]) -> bool {
    matches!(response_head::status(head), Some(100 | 102..=199))
}

/// What was written, or `otherwise` when that failed.
fn forgive<T>(written: Poll<io::Result<T>>, otherwise: T) -> Poll<io::Result<T>> {
    written.map(|written| {
        Ok(written.unwrap_or_else(|error| {
            tracing::trace!(%error, "the origin takes nothing more");
            otherwise
        }))
    })
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OriginStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        forgive(Pin::new(&mut self.stream).poll_write(cx, bytes), bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        forgive(Pin::new(&mut self.stream).poll_write_vectored(cx, slices), bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forgive(Pin::new(&mut self.stream).poll_flush(cx), ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forgive(Pin::new(&mut self.stream).poll_shutdown(cx), ())
    }
}
