//! How a stream ends that is dropped: in order, or by a reset.
//!
//! A TCP connection ends by FIN where its other side has heard everything, and by RST where it has not. A stream that is dropped because
//! something broke must not look as if all had been said. What was written before is delivered first either way.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::join::{LAST_WORDS_QUIET_MAX, while_moving};
use crate::near::{LOOK_AGAIN_MAX, LOOK_AGAIN_MIN, has_failed, send_queue_bytes};

/// What the drop of a stream means; in order, until it is said otherwise. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<AtomicBool>);

impl Ending {
    /// The stream resets its connection when it is dropped.
    pub fn reset(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The stream ends its connection in order when it is dropped.
    pub fn in_order(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Returns true if the drop is to be a reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A TCP socket with an [`Ending`], and the `place` that it takes somewhere until it is closed.
#[derive(Debug)]
pub struct EndingSocket<P: Send + 'static> {
    /// `None` only while this is dropped.
    held: Option<(TcpStream, P)>,
    ending: Ending,
}

impl<P: Send + 'static> EndingSocket<P> {
    /// Takes `stream`, which ends in order.
    pub fn new(stream: TcpStream, place: P) -> Self {
        Self { held: Some((stream, place)), ending: Ending::default() }
    }

    /// How it ends.
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    fn pinned(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.held.as_mut().map(|(stream, _)| Pin::new(stream));
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<P: Send + 'static> Drop for EndingSocket<P> {
    fn drop(&mut self) {
        // Without a runtime nothing could be waited for: the socket then ends as any other.
        if self.ending.is_reset()
            && let (Some((stream, place)), Ok(runtime)) = (self.held.take(), Handle::try_current())
        {
            drop(runtime.spawn(async move {
                reset_when_delivered(stream).await;
                drop(place);
            }));
        }
    }
}

/// RST takes along what the other host has not acknowledged, so that is waited for while it acknowledges any of it.
async fn reset_when_delivered(stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(Some(Duration::ZERO)) {
        tracing::trace!(%error, "no SO_LINGER");
    }
    let delivered = async {
        let mut pause = LOOK_AGAIN_MIN;
        while send_queue_bytes(&stream) > 0 && !has_failed(&stream) {
            // The kernel has no event for an empty send queue.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
    };
    // A host that takes nothing more is reset all the same.
    let _ = while_moving(pin!(delivered), || send_queue_bytes(&stream), LAST_WORDS_QUIET_MAX).await;
}

impl<P: Send + Unpin + 'static> AsyncRead for EndingSocket<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned()?.poll_read(context, buffer)
    }
}

impl<P: Send + Unpin + 'static> AsyncWrite for EndingSocket<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned()?.poll_shutdown(context)
    }
}
