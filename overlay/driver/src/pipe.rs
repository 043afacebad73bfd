//! Hands a flow to another thread: a byte-bounded pipe, and a task on the shard that keeps it moving.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bore_netstack::{Connect, ConnectError, TcpFlow};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Notify;

use crate::early::connect_with;
use crate::ending::Ending;
use crate::join::{LAST_WORDS_QUIET_MAX, while_moving};
use crate::limits::PIPE_BYTES;
use crate::near::Near;
use crate::pump::{Meter, PumpEnd, pump};

/// One end of a flow, on any thread. A reset of the flow is an error here, never a silent end; a flow that could not be opened is an error
/// that holds the [`ConnectError`].
#[derive(Debug)]
pub struct OverlayStream {
    pipe: DuplexStream,
    fate: Arc<Fate>,
}

impl OverlayStream {
    /// How the flow ends when this is dropped.
    pub fn ending(&self) -> Ending {
        self.fate.ending.clone()
    }
}

impl Drop for OverlayStream {
    fn drop(&mut self) {
        self.fate.dropped.notify_one();
    }
}

/// What both ends of a pipe tell each other.
#[derive(Debug, Default)]
struct Fate {
    /// The flow ended, and not in order.
    is_reset: AtomicBool,
    unopened: OnceLock<ConnectError>,
    /// The other thread has said all that it will.
    is_shut: AtomicBool,
    /// The other thread has let go of its end.
    dropped: Notify,
    ending: Ending,
}

/// The shard's end of a pipe.
#[derive(Debug)]
struct ShardEnd {
    pipe: DuplexStream,
    fate: Arc<Fate>,
}

/// Both ends of a pipe.
fn ends() -> (Near<ShardEnd>, OverlayStream, Arc<Fate>) {
    let (near, pipe) = tokio::io::duplex(PIPE_BYTES);
    let fate = Arc::<Fate>::default();
    let near = Near::local(ShardEnd { pipe: near, fate: Arc::clone(&fate) });
    (near, OverlayStream { pipe, fate: Arc::clone(&fate) }, fate)
}

impl Fate {
    fn error(&self) -> Option<io::Error> {
        if let Some(error) = self.unopened.get() {
            return Some(io::Error::other(*error));
        }
        self.is_reset.load(Ordering::Acquire).then(|| io::ErrorKind::ConnectionReset.into())
    }
}

/// Moves `flow` off its shard. Must be called on the shard's thread.
pub fn pipe(flow: TcpFlow) -> OverlayStream {
    pipe_until(flow, Arc::default(), pending())
}

/// The same for a task of the caller's own: the flow moves while the work that comes with the stream is polled on the shard's thread. Work that is dropped
/// before its end resets both sides. It ends when the far end has taken all that was written, or takes no more of it.
pub fn pipe_with_work(flow: TcpFlow) -> (OverlayStream, impl Future<Output = ()>) {
    let (near, stream, fate) = ends();
    let work = async move {
        carry(&flow, near, &fate, &Meter::default(), pending()).await;
        let flushed = pin!(poll_fn(|context| flow.poll_flushed(context)));
        let queued = || flow.info().send_queue_bytes as u64;
        // The flow may be over.
        let _ = while_moving(flushed, queued, LAST_WORDS_QUIET_MAX).await;
    };
    (stream, work)
}

/// The same, with its bytes counted by `meter`, and reset when `cut` is ready. What `cut` owns lives as long as the flow is carried.
pub fn pipe_until(
    flow: TcpFlow,
    meter: Arc<Meter>,
    cut: impl Future<Output = ()> + 'static,
) -> OverlayStream {
    let (near, stream, fate) = ends();
    tokio::task::spawn_local(async move {
        carry(&flow, near, &fate, &meter, cut).await;
    });
    stream
}

/// The same for a flow that is still being opened: what is written at once travels with the call. `cut` is asked anew once there is a flow, and
/// given it; `opened` hears how that went.
pub fn pipe_opening(
    connect: Connect,
    meter: Arc<Meter>,
    cut: impl AsyncFn(Option<&TcpFlow>) + 'static,
    opened: impl FnOnce(Result<(), ConnectError>) + 'static,
) -> OverlayStream {
    let (near, stream, fate) = ends();
    tokio::task::spawn_local(async move {
        let connected = tokio::select! {
            biased;
            () = cut(None) => Err(ConnectError::Abandoned),
            connected = connect_with(connect, &near, &meter) => connected,
        };
        match connected {
            Ok(flow) => {
                opened(Ok(()));
                carry(&flow, near, &fate, &meter, cut(Some(&flow))).await;
            }
            Err(error) => {
                // Set before the pipe is dropped: the far end must not see an end before it.
                let _ = fate.unopened.set(error);
                opened(Err(error));
            }
        }
    });
    stream
}

/// Carries until the flow's end, or until nobody is at either side of it any more, and marks an end that is not in order.
async fn carry(
    flow: &TcpFlow,
    near: Near<ShardEnd>,
    fate: &Fate,
    meter: &Meter,
    cut: impl Future<Output = ()>,
) {
    // Dropped before the pipe: the far end must not see an end before the mark.
    let mut unfinished = Unfinished { fate, ended: false };
    unfinished.ended = tokio::select! {
        end = pump(flow, &near, meter) => end == PumpEnd::Closed,
        () = cut => false,
        () = abandoned(fate, || moved(flow, meter)) => false,
    };
}

/// Waits until the stream was dropped and nothing has moved for [`LAST_WORDS_QUIET_MAX`] since: a far end that never closes holds no flow that this side
/// has closed, as the kernel's `tcp_fin_timeout` has it.
async fn abandoned(fate: &Fate, moved: impl Fn() -> u64) {
    fate.dropped.notified().await;
    let _ = while_moving(pin!(pending::<()>()), moved, LAST_WORDS_QUIET_MAX).await;
}

/// A figure that changes with every byte that is read from the far end, or acknowledged by it.
fn moved(flow: &TcpFlow, meter: &Meter) -> u64 {
    meter.moved_bytes().wrapping_sub(flow.info().send_queue_bytes as u64)
}

/// Marks unless the flow came to its end in order.
struct Unfinished<'a> {
    fate: &'a Fate,
    ended: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.fate.is_reset.store(true, Ordering::Release);
        }
    }
}

impl AsyncRead for OverlayStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.pipe).poll_read(context, buffer);
        let ended = matches!(result, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        let error = if ended && buffer.remaining() > 0 { self.fate.error() } else { None };
        error.map_or(result, |error| Poll::Ready(Err(error)))
    }
}

impl AsyncWrite for OverlayStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write(context, bytes);
        written.map_err(|error| self.fate.error().unwrap_or(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Set before the shard can see the end.
        self.fate.is_shut.store(true, Ordering::Release);
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

impl AsyncRead for ShardEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(context, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        let is_dropped = is_end && !self.fate.is_shut.load(Ordering::Acquire);
        if is_dropped && self.fate.ending.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ShardEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flow_whose_stream_was_dropped_is_given_up_once_nothing_moves() {
        let (fate, bytes) = (Fate::default(), AtomicU64::new(0));
        let abandoned = || abandoned(&fate, || bytes.load(Ordering::Relaxed));
        let while_held = timeout(LAST_WORDS_QUIET_MAX * 10, abandoned()).await;
        assert!(while_held.is_err(), "a quiet stream that is held is a quiet stream");

        let dropped_at = Instant::now();
        fate.dropped.notify_one();
        let slow_reader = async {
            for _ in 0..3 {
                sleep(LAST_WORDS_QUIET_MAX / 2).await;
                bytes.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::join!(abandoned(), slow_reader);
        assert!(dropped_at.elapsed() > LAST_WORDS_QUIET_MAX * 2, "last words were cut off");
    }
}
