//! One connection to an origin, kept for one visitor connection and never shared with another.
//!
//! Dropping an [`Upstream`] closes the origin connection at once, whatever is under way on it: this
//! is how a visitor that goes away is felt by the origin.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

use super::body::RequestBody;
use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX, KEPT_MAX};
use super::origins::OriginId;

/// See the module.
#[derive(Debug)]
pub(super) struct Upstream {
    origin: OriginId,
    sender: SendRequest<RequestBody>,
    received: Arc<AtomicU64>,
    _driver: Driver,
}

/// Why a request got no response.
#[derive(Debug)]
pub(super) struct SendFailure {
    /// The request, when not a byte of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
    /// True when the origin had not sent a byte since the request began.
    pub(super) silent: bool,
    pub(super) cause: hyper::Error,
}

impl Upstream {
    /// Speaks HTTP/1.1 on `stream`.
    pub(super) async fn start<S>(origin: OriginId, stream: S) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let received = Arc::new(AtomicU64::new(0));
        let metered = Metered { stream, received: Arc::clone(&received) };
        let (sender, connection) = Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(metered))
            .await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "origin connection failed");
            }
        });
        Ok(Self { origin, sender, received, _driver: Driver(driver) })
    }

    /// Sends one request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        if let Err(cause) = self.sender.ready().await {
            return Err(SendFailure { unsent: Some(request), silent: true, cause });
        }
        let before = self.received.load(Ordering::Relaxed);
        self.sender.try_send_request(request).await.map_err(|mut failure| SendFailure {
            unsent: failure.take_message(),
            silent: self.received.load(Ordering::Relaxed) == before,
            cause: failure.into_error(),
        })
    }
}

/// The place where a visitor connection keeps its origin connections between requests: one, or over HTTP/2 as many as ran at once.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<Upstream>>);

impl Kept {
    /// A kept connection that leads to `origin`; those that lead elsewhere are closed.
    pub(super) fn take(&self, origin: OriginId) -> Option<Upstream> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|upstream| upstream.origin == origin && !upstream.sender.is_closed());
        kept.pop()
    }

    /// Keeps a connection on which nothing runs, while there is room.
    pub(super) fn put(&self, upstream: Upstream) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(upstream);
        }
    }
}

/// Moves the bytes of one origin connection, until dropped.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts what the origin sent, to know whether it had begun to answer.
#[derive(Debug)]
struct Metered<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
