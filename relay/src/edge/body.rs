//! Bodies on their way through: passed on frame by frame, never collected.
//!
//! A [`RequestBody`] remembers whether the visitor's body has been read to its end. An [`EdgeBody`]
//! settles its exchange when hyper lets go of it: the origin connection is kept only if both bodies
//! have ended by themselves, and is closed otherwise.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::gate::Gate;
use super::headers::clean_trailers;
use super::upstream::{Kept, Upstream};

/// A visitor's body as the origin connection reads it.
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    upload: Upload,
}

/// Whether a visitor's body has been read to its end. Cloning shares the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload(Arc<AtomicBool>);

impl Upload {
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn complete(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl RequestBody {
    /// The body of a request; none at all when it is known to be empty.
    pub(super) fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self { incoming: Some(incoming), upload: Upload::default() }
    }

    pub(super) fn empty() -> Self {
        let upload = Upload::default();
        upload.complete();
        Self { incoming: None, upload }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_none()
    }

    pub(super) fn upload(&self) -> Upload {
        self.upload.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let mut frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        if is_last(&frame, incoming) {
            self.upload.complete();
        }
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            clean_trailers(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of every answer of the edge.
#[derive(Debug)]
pub(super) struct EdgeBody {
    source: Source,
    gate: Gate,
}

#[derive(Debug)]
enum Source {
    /// At most one frame, never an empty one.
    Own(Option<Bytes>),
    Origin {
        incoming: Incoming,
        complete: bool,
        exchange: Exchange,
    },
}

/// An origin connection in use, and where it goes when both bodies are through.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) upstream: Option<Upstream>,
    pub(super) upload: Upload,
    pub(super) kept: Arc<Kept>,
}

impl EdgeBody {
    /// A body of our own.
    pub(super) fn own(bytes: Bytes, gate: Gate) -> Self {
        Self { source: Source::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), gate }
    }

    /// The body that an origin sends.
    pub(super) fn origin(incoming: Incoming, exchange: Exchange, gate: Gate) -> Self {
        let complete = incoming.is_end_stream();
        Self { source: Source::Origin { incoming, complete, exchange }, gate }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Origin { incoming, complete, .. } => {
                let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
                *complete = is_last(&frame, incoming);
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Origin { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Source::Origin { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for EdgeBody {
    fn drop(&mut self) {
        if let Source::Origin { complete: true, exchange, .. } = &mut self.source {
            exchange.settle();
        }
        self.gate.answered(Instant::now());
    }
}

impl Exchange {
    /// An unread rest of a request would be read by the origin as the next one.
    fn settle(&mut self) {
        if let Some(upstream) = self.upstream.take().filter(|_| self.upload.is_complete()) {
            self.kept.put(upstream);
        }
    }
}

/// True when nothing can follow `frame`.
fn is_last(frame: &Option<Result<Frame<Bytes>, hyper::Error>>, incoming: &Incoming) -> bool {
    match frame {
        None => true,
        Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
        Some(Err(_)) => false,
    }
}
