//! The first bytes of a visitor, sent while the flow is still being opened.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bore_netstack::{Connect, ConnectError, TcpFlow};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::near::Near;
use crate::pump::Meter;

/// Waits for `connect`, and meanwhile gives it what comes from `near`, as far as it may be sent early.
///
/// A near side that fails ends the attempt: its failure is told once, and read later it would look like an end in order.
pub(crate) async fn connect_with<S>(
    mut connect: Connect,
    near: &Near<S>,
    meter: &Meter,
) -> Result<TcpFlow, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut has_more = true;
    poll_fn(|context| {
        while has_more {
            match poll_step(&connect, near, context) {
                Step::Moved(count) => {
                    meter.inward_bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                Step::Broken => return Poll::Ready(Err(ConnectError::Abandoned)),
                Step::Over => has_more = false,
                Step::Waiting => break,
            }
        }
        Pin::new(&mut connect).poll(context)
    })
    .await
}

/// What came of one attempt to move bytes.
enum Step {
    Moved(usize),
    /// There is nothing to read, or no room; the task is woken when there is.
    Waiting,
    /// The near side has ended, or the attempt has: the pump or the answer tells.
    Over,
    /// The near side has failed.
    Broken,
}

fn poll_step<S>(connect: &Connect, near: &Near<S>, context: &mut Context<'_>) -> Step
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The room of a flow is lent inside a call that has the context of its own.
    let mut inner = Context::from_waker(context.waker());
    let mut taken = Poll::Ready(Ok(0));
    let step = connect.poll_write_early(context, |room| {
        taken = near.poll_read(&mut inner, room);
        Ok(if let Poll::Ready(Ok(count)) = &taken { *count } else { 0 })
    });
    match (step, taken) {
        (Poll::Pending, _) | (_, Poll::Pending) => Step::Waiting,
        (Poll::Ready(_), Poll::Ready(Err(_))) => Step::Broken,
        (Poll::Ready(Ok(count)), Poll::Ready(Ok(_))) if count > 0 => Step::Moved(count),
        (Poll::Ready(_), Poll::Ready(Ok(_))) => Step::Over,
    }
}
