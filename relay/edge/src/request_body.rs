//! Bodies of visitors on their way to origins: passed on frame by frame, and collected only for services without chunks (`lengths.rs`).
//!
//! Over HTTP/1 the connection's guard paces a visitor's body; over HTTP/2 each body paces itself. A visitor that waits to be told to go on
//! is told when its body is first asked for, which is when the origin says so, or has said nothing for [`EXPECT_WAIT_MAX`].
//!
//! A [`RequestBody`] remembers whether the visitor's body has been read to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Sleep, sleep};

use super::body::is_last;
use super::headers::clean_trailers;
use super::ledger::{Ledger, fields_bytes};
use super::limits::{
    DECLARED_BODY_BYTES_MIN, EXPECT_WAIT_MAX, H2_FRAME_EXTRA_BYTES, H2_STREAM_WINDOW_BYTES,
    TRANSFER_BYTES_MIN,
};
use super::pace::Pace;
use super::stream::StreamBody;

/// A visitor's body as the origin connection reads it.
#[derive(Debug)]
pub(super) struct RequestBody {
    inbound: Option<Inbound>,
    /// What was collected of it.
    front: VecDeque<Frame<Bytes>>,
    /// All of it was, and there were no trailers.
    is_measured: bool,
    /// Among the bodies that may be collected at once.
    _place: Option<[OwnedSemaphorePermit; 2]>,
    upload: Upload,
    stream: Option<StreamPace>,
    expectation: Option<Expectation>,
}

/// A visitor's body as its connection gives it.
#[derive(Debug)]
pub(super) enum Inbound {
    Http1(Incoming),
    Http2(StreamBody),
}

/// Waits for the origin to ask for a body.
#[derive(Debug)]
struct Expectation {
    /// `None` when the origin has answered without.
    granted: Option<oneshot::Receiver<()>>,
    patience: Pin<Box<Sleep>>,
}

/// By which the origin asks for a body.
#[derive(Debug)]
pub(super) struct Grant(Mutex<Option<oneshot::Sender<()>>>);

/// How a body that is one of many on its connection is weighed and paced.
#[derive(Debug)]
struct StreamPace {
    ledger: Ledger,
    pace: Pace,
    coming: Coming,
    /// What is left of a declared length.
    left: Option<u64>,
    upload: Upload,
}

/// How the body of one request of many has to come. Any may pause once the origin has begun to answer, as a connection does that has left
/// HTTP: both sides may wait for each other's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    /// It has a length, and goes on.
    Declared,
    /// It has no length.
    Endless,
    /// A stream of messages, each when there is one: the connection's signs of life are enough.
    Calls,
}

/// Why a visitor's body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the visitor's body broke off")]
    Broke(#[from] hyper::Error),
    #[error("the visitor's body broke off")]
    StreamBroke(#[from] h2::Error),
    #[error("the visitor's body came too slowly")]
    Slow,
}

/// How far a visitor's body has been read. Cloning shares the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    complete: AtomicBool,
    slow: AtomicBool,
    broken: AtomicBool,
    answered: AtomicBool,
    awaited: AtomicBool,
    taken: AtomicU64,
    received_bytes: AtomicU64,
}

impl Upload {
    /// The visitor's body has been read to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.0.complete.load(Ordering::Acquire)
    }

    /// The visitor was too slow.
    pub(super) fn is_slow(&self) -> bool {
        self.0.slow.load(Ordering::Acquire)
    }

    /// The visitor's body broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    /// The origin has begun to answer.
    pub(super) fn answer(&self) {
        self.0.answered.store(true, Ordering::Release);
    }

    /// The origin waits for the visitor.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Acquire)
    }

    /// How often the origin has got some of it, or its end.
    pub(super) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Acquire)
    }

    /// How many bytes of it have come from the visitor.
    pub(super) fn received_bytes(&self) -> u64 {
        self.0.received_bytes.load(Ordering::Relaxed)
    }

    fn asked<T>(&self, frame: &Poll<T>) {
        self.0.awaited.store(frame.is_pending(), Ordering::Release);
        if frame.is_ready() {
            self.0.taken.fetch_add(1, Ordering::Release);
        }
    }

    fn complete(&self) {
        self.0.complete.store(true, Ordering::Release);
    }
}

impl RequestBody {
    /// The body of a request; none at all when it is known to be empty.
    pub(super) fn new(inbound: Inbound) -> Self {
        if inbound.is_end_stream() {
            return Self::empty();
        }
        Self { inbound: Some(inbound), ..Self::blank(Upload::default()) }
    }

    /// The same, held back until the origin asks for it.
    pub(super) fn expected(self) -> (Self, Grant) {
        let (grant, granted) = oneshot::channel();
        let patience = Box::pin(sleep(EXPECT_WAIT_MAX));
        let expectation = Some(Expectation { granted: Some(granted), patience });
        (Self { expectation, ..self }, Grant(Mutex::new(Some(grant))))
    }

    /// The same, weighed and paced by itself.
    pub(super) fn paced(self, ledger: Ledger, window: Duration, coming: Coming) -> Self {
        let (left, upload) = (self.size_hint().exact(), self.upload());
        let stream = StreamPace { ledger, pace: Pace::new(window), coming, left, upload };
        Self { stream: Some(stream), ..self }
    }

    pub(super) fn empty() -> Self {
        let upload = Upload::default();
        upload.complete();
        Self::blank(upload)
    }

    fn blank(upload: Upload) -> Self {
        Self {
            inbound: None,
            front: VecDeque::new(),
            is_measured: false,
            _place: None,
            upload,
            stream: None,
            expectation: None,
        }
    }

    /// Collects the body until it ends, has so many bytes, or so long has passed.
    pub(super) async fn gathered(
        mut self,
        bytes_max: usize,
        wait_max: Duration,
    ) -> Result<Self, BodyError> {
        let mut bytes = 0;
        let mut patience = pin!(sleep(wait_max));
        while bytes <= bytes_max {
            let frame = tokio::select! {
                biased;
                frame = poll_fn(|cx| self.poll_inbound(cx)) => frame,
                () = patience.as_mut() => return Ok(self),
            };
            let Some(frame) = frame.transpose()? else {
                self.is_measured = !self.front.iter().any(Frame::is_trailers);
                return Ok(self);
            };
            bytes += frame.data_ref().map_or(0, Bytes::len) + GATHERED_FRAME_BYTES;
            self.front.push_back(frame);
        }
        Ok(self)
    }

    /// The same, holding its places while it lasts.
    pub(super) fn in_place(self, place: [OwnedSemaphorePermit; 2]) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// The whole body is here, and its length is known.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Some of the body was asked for already.
    pub(super) fn has_begun(&self) -> bool {
        self.is_measured || !self.front.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inbound.is_none()
    }

    pub(super) fn upload(&self) -> Upload {
        self.upload.clone()
    }

    fn poll_inbound(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(expectation) = &mut self.expectation {
            ready!(expectation.poll_met(cx));
            self.expectation = None;
        }
        let Some(inbound) = &mut self.inbound else { return Poll::Ready(None) };
        let Poll::Ready(mut frame) = Pin::new(&mut *inbound).poll_frame(cx) else {
            return self.poll_overdue(cx).map(|slow| Some(Err(slow)));
        };
        if is_last(&frame, inbound) {
            self.upload.complete();
        }
        if let Some(Err(_)) = &frame {
            self.upload.0.broken.store(true, Ordering::Release);
        }
        if let Some(Ok(frame)) = &mut frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.upload.0.received_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.weigh(frame);
            if let Some(trailers) = frame.trailers_mut() {
                clean_trailers(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let is_answered = self.upload.0.answered.load(Ordering::Acquire);
        let bytes_min = match stream.coming {
            Coming::Declared if !is_answered => DECLARED_BODY_BYTES_MIN,
            Coming::Endless if !is_answered => TRANSFER_BYTES_MIN,
            Coming::Declared | Coming::Endless | Coming::Calls => return Poll::Pending,
        };
        ready!(stream.pace.poll_expired(bytes_min, cx));
        self.upload.0.slow.store(true, Ordering::Release);
        Poll::Ready(BodyError::Slow)
    }

    fn weigh(&mut self, frame: &Frame<Bytes>) {
        let Some(stream) = &mut self.stream else { return };
        let bytes = match (frame.data_ref(), frame.trailers_ref()) {
            // Empty frames bring nothing, and are told apart from a body by that.
            (Some(data), _) if data.is_empty() => 0,
            (Some(data), _) => data.len() + H2_FRAME_EXTRA_BYTES,
            (None, Some(trailers)) => fields_bytes(trailers),
            (None, None) => 0,
        };
        stream.ledger.credit(bytes);
        stream.pace.moved(bytes);
        let data = frame.data_ref().map_or(0, Bytes::len) as u64;
        stream.left = stream.left.map(|left| left.saturating_sub(data));
    }
}

impl Drop for StreamPace {
    /// What the visitor has sent by now, as far as its window let it, is not its fault.
    fn drop(&mut self) {
        if !self.upload.is_complete() {
            let window = u64::from(H2_STREAM_WINDOW_BYTES);
            self.ledger.credit_unread(self.left.unwrap_or(window).min(window));
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.front.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.is_measured => Poll::Ready(None),
            None => self.poll_inbound(cx),
        };
        self.upload.asked(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.is_measured || self.inbound.as_ref().is_none_or(Body::is_end_stream);
        self.front.is_empty() && is_over
    }

    fn size_hint(&self) -> SizeHint {
        if !self.has_begun() {
            let inbound = self.inbound.as_ref();
            return inbound.map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        }
        let here: usize = self.front.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let mut hint = SizeHint::new();
        hint.set_lower(here as u64);
        if self.is_measured {
            hint.set_upper(here as u64);
        }
        hint
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Self::Http2(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl Expectation {
    fn poll_met(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(granted) = &mut self.granted else { return Poll::Pending };
        match Pin::new(granted).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(_)) => {
                self.granted = None;
                Poll::Pending
            }
            Poll::Pending => self.patience.as_mut().poll(cx),
        }
    }
}

impl Grant {
    /// The origin wants the body.
    pub(super) fn give(&self) {
        let grant = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(grant) = grant {
            // A body that is gone is wanted in vain.
            let _ = grant.send(());
        }
    }
}

/// What a collected frame counts for besides its bytes: many small ones cost more than their bytes.
const GATHERED_FRAME_BYTES: usize = 64;
