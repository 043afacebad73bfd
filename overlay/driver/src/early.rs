//! The first bytes of a visitor, sent while the flow is still being opened.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bore_netstack::{Connect, ConnectError, TcpFlow};
use tokio::net::TcpStream;

use crate::pump::Meter;

/// Waits for `connect`, and meanwhile gives it what comes from `socket`, as far as it may be sent early.
pub(crate) async fn connect_with(
    mut connect: Connect,
    socket: &TcpStream,
    meter: &Meter,
) -> Result<TcpFlow, ConnectError> {
    let mut has_more = true;
    poll_fn(|context| {
        while has_more {
            match poll_step(&connect, socket, context) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    meter.inward_bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                // The visitor has ended, or one of the two has failed: the pump or the answer tells.
                Poll::Ready(_) => has_more = false,
                Poll::Pending => break,
            }
        }
        Pin::new(&mut connect).poll(context)
    })
    .await
}

/// Moves once from the socket, or sees to it that the task is woken when that is possible.
fn poll_step(
    connect: &Connect,
    socket: &TcpStream,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        match connect.poll_write_early(context, |room| socket.try_read(room)) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = std::task::ready!(socket.poll_read_ready(context)) {
                    return Poll::Ready(Err(error));
                }
            }
            step @ (Poll::Ready(_) | Poll::Pending) => return step,
        }
    }
}
