//! Bodies of answers on their way to visitors: passed on frame by frame, never collected.
//!
//! An [`EdgeBody`] settles its exchange when hyper lets go of it: the origin connection is kept only if both bodies have ended by
//! themselves, and is closed otherwise.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bore_driver::Ending;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::access::{Access, End};
use super::ledger::Account;
use super::rendezvous::Rendezvous;
use super::request_body::Upload;
use super::upstream::{Kept, Upstream};

/// The body of every answer of the edge.
#[derive(Debug)]
pub(super) struct EdgeBody {
    source: Source,
    rendezvous: Rendezvous,
    /// Where the answer is one of many on its connection.
    account: Option<Account>,
    access: Option<Access>,
}

#[derive(Debug)]
enum Source {
    /// At most one frame, never an empty one.
    Own(Option<Bytes>),
    Origin {
        incoming: Incoming,
        complete: bool,
        /// Why it broke off, until what came before has been written: hyper ends a connection without it.
        broken: Option<hyper::Error>,
        exchange: Exchange,
    },
}

impl Source {
    /// The next frame. What breaks an answer off waits until what came before has been written: hyper drops both otherwise, and a visitor that
    /// got no byte of an answer sends its request again. Over HTTP/2, without `flushing`, the stream sees to that.
    fn poll_frame(
        &mut self,
        flushing: Option<&Rendezvous>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (incoming, complete, broken, exchange) = match self {
            Self::Own(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Origin { incoming, complete, broken, exchange } => {
                (incoming, complete, broken, exchange)
            }
        };
        if broken.is_none() {
            let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
            *complete = is_last(&frame, incoming);
            let Some(Err(error)) = frame else { return Poll::Ready(frame) };
            *broken = Some(error);
        }
        if let Some(rendezvous) = flushing {
            ready!(rendezvous.poll_flushed(cx));
        }
        if let Some(ending) = &exchange.broken {
            ending.reset();
        }
        Poll::Ready(broken.take().map(Err))
    }
}

/// An origin connection in use, and where it goes when both bodies are through.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) upstream: Option<Upstream>,
    pub(super) upload: Upload,
    pub(super) kept: Arc<Kept>,
    /// How the visitor's connection ends, where nothing else tells that the answer broke off.
    pub(super) broken: Option<Ending>,
}

impl EdgeBody {
    /// A body of our own.
    pub(super) fn own(bytes: Bytes, rendezvous: Rendezvous) -> Self {
        let source = Source::Own(Some(bytes).filter(|bytes| !bytes.is_empty()));
        Self { source, rendezvous, account: None, access: None }
    }

    /// Settles `account` when this answer ends. To HEAD there is nothing but the head, which hyper knows in HTTP/1 only.
    pub(super) fn on(mut self, account: Option<Account>, is_head: bool) -> Self {
        self.account = account;
        if let Source::Own(bytes) = &mut self.source
            && is_head
        {
            *bytes = None;
        }
        let complete = self.is_complete();
        match &mut self.account {
            Some(account) if complete => account.answer(),
            // The visitor has to make room before any of it is asked for.
            Some(account) => account.given(0, Instant::now()),
            None => {}
        }
        self
    }

    /// Notes what is given. The last frame waits for room like any other, and this body lives until it has gone.
    fn settle(&mut self, frame: &Option<Result<Frame<Bytes>, hyper::Error>>) {
        let complete = self.is_complete();
        let Some(account) = &mut self.account else { return };
        if let Some(Ok(frame)) = frame {
            account.given(frame.data_ref().map_or(0, Bytes::len), Instant::now());
        }
        // An origin that breaks off has not been taken back by the visitor.
        if complete || !matches!(frame, Some(Ok(_))) {
            account.answer();
        }
    }

    /// Nothing can follow what was given.
    fn is_complete(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Origin { complete, .. } => *complete,
        }
    }

    /// The body that an origin sends.
    pub(super) fn origin(incoming: Incoming, exchange: Exchange, rendezvous: Rendezvous) -> Self {
        let complete = incoming.is_end_stream();
        let source = Source::Origin { incoming, complete, broken: None, exchange };
        Self { source, rendezvous, account: None, access: None }
    }

    /// The same as the answer of a request that is recorded: `access` ends with it.
    pub(super) fn recorded(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    /// Notes what is given in the record.
    fn record(&mut self, frame: &Option<Result<Frame<Bytes>, hyper::Error>>) {
        let Some(access) = &mut self.access else { return };
        match frame {
            Some(Ok(frame)) => access.send(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => access.end(End::OriginClosed),
            None => {}
        }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(account) = &self.account {
            account.taken(Instant::now());
        }
        let this = &mut *self;
        let flushing = this.account.is_none().then_some(&this.rendezvous);
        let frame = ready!(this.source.poll_frame(flushing, cx));
        self.settle(&frame);
        self.record(&frame);
        Poll::Ready(frame)
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
        let is_complete = self.is_complete();
        // Nothing but the head answers HEAD, whatever body there is.
        if let Some(access) = self.access.as_mut().filter(|access| is_complete || access.is_head())
        {
            access.end(End::Complete);
        }
        if let Source::Origin { complete: true, exchange, .. } = &mut self.source {
            exchange.settle();
        }
        self.rendezvous.answered(Instant::now());
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
pub(super) fn is_last<E>(frame: &Option<Result<Frame<Bytes>, E>>, body: &impl Body) -> bool {
    match frame {
        None => true,
        Some(Ok(frame)) => frame.is_trailers() || body.is_end_stream(),
        Some(Err(_)) => false,
    }
}
