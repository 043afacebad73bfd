//! Joins a netstack flow to its near side, without a buffer of its own.
//!
//! Bytes go straight from the near side into the flow's send buffer and from its receive buffer to the near side, so a stalled reader on
//! one side is felt by the writer on the other. Half-close is carried over; a reset on either side becomes a reset on the other, once
//! everything that came before it is delivered. A pump that is dropped on its way resets both sides: neither end may take what it has for
//! all there is.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bore_netstack::TcpFlow;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::join::{Broken, LAST_WORDS_QUIET_MAX, Side, join, while_moving};
use crate::near::Near;

/// Bytes carried by one flow. Written by its shard, read by anybody.
#[derive(Debug, Default)]
pub struct Meter {
    /// From the near side into the overlay.
    pub inward_bytes: AtomicU64,
    /// From the overlay to the near side.
    pub outward_bytes: AtomicU64,
}

impl Meter {
    pub(crate) fn moved_bytes(&self) -> u64 {
        self.inward_bytes.load(Ordering::Relaxed) + self.outward_bytes.load(Ordering::Relaxed)
    }
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpEnd {
    /// Both sides closed in order.
    Closed,
    /// The near side's far end reset, or went away.
    SocketReset,
    /// The overlay's far end reset, or its tunnel went away.
    FlowReset,
}

/// Carries bytes both ways until both sides have closed or one has reset. Dropped before that, it resets both.
pub async fn pump<S>(flow: &TcpFlow, near: &Near<S>, meter: &Meter) -> PumpEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    near.reset_when_dropped();
    let mut unfinished = Unfinished { flow, ended: false };
    let end = carry(flow, near, meter).await;
    unfinished.ended = true;
    if end == PumpEnd::Closed {
        near.close_in_order();
    } else {
        flow.abort();
    }
    end
}

/// Resets the flow unless the pump came to its end.
struct Unfinished<'a> {
    flow: &'a TcpFlow,
    ended: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.flow.abort();
        }
    }
}

async fn carry<S>(flow: &TcpFlow, near: &Near<S>, meter: &Meter) -> PumpEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let directions = (inward(flow, near, meter), outward(flow, near, meter));
    match join(directions.0, directions.1, || meter.moved_bytes()).await {
        Ok(()) => PumpEnd::Closed,
        Err(Side::Near) => {
            let flushed = pin!(poll_fn(|context| flow.poll_flushed(context)));
            let queued = || flow.info().send_queue_bytes as u64;
            // The flow may be over as well.
            let _ = while_moving(flushed, queued, LAST_WORDS_QUIET_MAX).await;
            PumpEnd::SocketReset
        }
        Err(Side::Far) => {
            let delivered = pin!(near.delivered());
            let queued = || near.unacknowledged_bytes();
            // It has taken what it wanted.
            let _ = while_moving(delivered, queued, LAST_WORDS_QUIET_MAX).await;
            PumpEnd::FlowReset
        }
    }
}

/// From the near side into the flow.
async fn inward<S>(flow: &TcpFlow, near: &Near<S>, meter: &Meter) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| poll_inward(flow, near, context)).await? {
            0 => {
                flow.shutdown();
                return Ok(());
            }
            count => add(&meter.inward_bytes, count),
        }
    }
}

fn poll_inward<S>(
    flow: &TcpFlow,
    near: &Near<S>,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Broken>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The room of a flow is lent inside a call that has the context of its own.
    let mut inner = Context::from_waker(context.waker());
    let mut has_failed = false;
    let step = flow.poll_write_with(context, |room| {
        now_or_blocked(near.poll_read(&mut inner, room))
            .inspect_err(|error| has_failed = !blocked(error))
    });
    match step {
        Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
        Poll::Ready(Err(_)) if has_failed => Poll::Ready(Err(Broken::Source)),
        Poll::Ready(Err(error)) if !blocked(&error) => Poll::Ready(Err(Broken::Sink)),
        // The end of a flow does not wake a task that waits for the near side.
        Poll::Ready(Err(_)) | Poll::Pending => flow.poll_reset(context).map(|()| Err(Broken::Sink)),
    }
}

/// From the flow to the near side.
async fn outward<S>(flow: &TcpFlow, near: &Near<S>, meter: &Meter) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| poll_outward(flow, near, context)).await? {
            None => return near.shutdown().await.map_err(|_| Broken::Sink),
            Some(count) => add(&meter.outward_bytes, count),
        }
    }
}

fn poll_outward<S>(
    flow: &TcpFlow,
    near: &Near<S>,
    context: &mut Context<'_>,
) -> Poll<Result<Option<usize>, Broken>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut inner = Context::from_waker(context.waker());
    let mut has_failed = false;
    let step = flow.poll_read_with(context, |bytes| {
        now_or_blocked(near.poll_write(&mut inner, bytes))
            .inspect_err(|error| has_failed = !blocked(error))
    });
    match step {
        Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
        Poll::Ready(Err(_)) if has_failed => Poll::Ready(Err(Broken::Sink)),
        Poll::Ready(Err(error)) if blocked(&error) => Poll::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(Err(Broken::Source)),
        // Nothing follows at once: what a stream inside TLS still holds is to go.
        Poll::Pending => {
            let flushed = ready!(near.poll_flush(context));
            if flushed.is_err() { Poll::Ready(Err(Broken::Sink)) } else { Poll::Pending }
        }
    }
}

/// The flow's calls know no pending: its waker is in place already.
fn now_or_blocked(step: Poll<io::Result<usize>>) -> io::Result<usize> {
    match step {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn add(bytes: &AtomicU64, count: usize) {
    bytes.fetch_add(count as u64, Ordering::Relaxed);
}
