//! The first bytes of a visitor, sent while the flow is still being opened.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bore_netstack::{Connect, ConnectError, TcpFlow};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use crate::pump::Meter;

/// Where first bytes come from.
pub(crate) trait Source {
    /// Reads what is there into `room`; pends with a waker when nothing is.
    fn poll_take(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>>;
}

impl Source for &TcpStream {
    fn poll_take(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = ready!(self.poll_read_ready(context)) {
                        return Poll::Ready(Err(error));
                    }
                }
                read @ (Ok(_) | Err(_)) => return Poll::Ready(read),
            }
        }
    }
}

impl Source for &mut DuplexStream {
    fn poll_take(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut **self).poll_read(context, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }
}

/// Waits for `connect`, and meanwhile gives it what comes from `source`, as far as it may be sent early.
///
/// A source that fails ends the attempt: its failure is told once, and read later it would look like an end in order.
pub(crate) async fn connect_with(
    mut connect: Connect,
    mut source: impl Source,
    meter: &Meter,
) -> Result<TcpFlow, ConnectError> {
    let mut has_more = true;
    poll_fn(|context| {
        while has_more {
            match poll_step(&connect, &mut source, context) {
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
    /// The source has ended, or the attempt has: the pump or the answer tells.
    Over,
    /// The source has failed.
    Broken,
}

fn poll_step(connect: &Connect, source: &mut impl Source, context: &mut Context<'_>) -> Step {
    // The room of a flow is lent inside a call that has the context of its own.
    let mut inner = Context::from_waker(context.waker());
    let mut taken = Poll::Ready(Ok(0));
    let step = connect.poll_write_early(context, |room| {
        taken = source.poll_take(&mut inner, room);
        Ok(if let Poll::Ready(Ok(count)) = &taken { *count } else { 0 })
    });
    match (step, taken) {
        (Poll::Pending, _) | (_, Poll::Pending) => Step::Waiting,
        (Poll::Ready(_), Poll::Ready(Err(_))) => Step::Broken,
        (Poll::Ready(Ok(count)), Poll::Ready(Ok(_))) if count > 0 => Step::Moved(count),
        (Poll::Ready(_), Poll::Ready(Ok(_))) => Step::Over,
    }
}
