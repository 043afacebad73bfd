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
pub(crate) async fn connect_with(
    mut connect: Connect,
    mut source: impl Source,
    meter: &Meter,
) -> Result<TcpFlow, ConnectError> {
    let mut has_more = true;
    poll_fn(|context| {
        while has_more {
            match poll_step(&connect, &mut source, context) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    meter.inward_bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                // The source has ended, or one of the two has failed: the pump or the answer tells.
                Poll::Ready(_) => has_more = false,
                Poll::Pending => break,
            }
        }
        Pin::new(&mut connect).poll(context)
    })
    .await
}

/// Moves once from the source, or sees to it that the task is woken when that is possible.
fn poll_step(
    connect: &Connect,
    source: &mut impl Source,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // The room of a flow is lent inside a call that has the context of its own.
    let mut inner = Context::from_waker(context.waker());
    let mut is_waiting = false;
    let step = connect.poll_write_early(context, |room| match source.poll_take(&mut inner, room) {
        Poll::Ready(taken) => taken,
        Poll::Pending => {
            is_waiting = true;
            Ok(0)
        }
    });
    if is_waiting { Poll::Pending } else { step }
}
