//! Two streams joined byte for byte: both have left HTTP (101 Switching Protocols), or carry TLS that is passed through.
//!
//! A side that breaks is read to its end first (see [`bore_driver::join`]).

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bore_driver::{Broken, Ending, Side, join, while_moving};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;

use super::access::{End, Transferred};
use super::limits::SPLICE_BUFFER_BYTES;

/// Copies both ways until both sides have ended, one has failed, or one has ended and nothing
/// has come from the other for `half_closed_max`. Each end is passed on as an end of writing. A side that has got none is reset, so that it does
/// not take what it has for all there is.
pub(super) async fn splice<A, B>(
    mut visitor: A,
    mut origin: B,
    [visitors_ending, origins_ending]: [&Ending; 2],
    transferred: &Transferred,
    half_closed_max: Duration,
) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    [visitors_ending, origins_ending].into_iter().for_each(Ending::reset);
    let half_closed = Notify::new();
    let (visitor_read, visitor_write) = split(&mut visitor);
    let (origin_read, origin_write) = split(&mut origin);
    let passed_up = Passed { bytes: &transferred.received, half_closed: &half_closed };
    let passed_down = Passed { bytes: &transferred.sent, half_closed: &half_closed };
    let up = copy(visitor_read, (origin_write, origins_ending), passed_up);
    let down = copy(origin_read, (visitor_write, visitors_ending), passed_down);
    tokio::select! {
        ended = join(up, down, || transferred.bytes()) => match ended {
            Ok(()) => End::Complete,
            Err(Side::Near) => End::VisitorClosed,
            Err(Side::Far) => End::OriginClosed,
        },
        () = until_quiet(transferred, &half_closed, half_closed_max) => End::TimedOut,
    }
}

/// Ready when one direction has ended and the other has moved nothing for `quiet_max`.
async fn until_quiet(transferred: &Transferred, half_closed: &Notify, quiet_max: Duration) {
    half_closed.notified().await;
    let forever = pin!(pending::<()>());
    // It never completes: what comes back is that nothing has moved.
    while_moving(forever, || transferred.bytes(), quiet_max).await;
}

/// What one direction tells of itself.
struct Passed<'s> {
    bytes: &'s AtomicU64,
    half_closed: &'s Notify,
}

async fn copy<A: AsyncRead, B: AsyncWrite>(
    mut from: ReadHalf<A>,
    (mut to, ending): (WriteHalf<B>, &Ending),
    passed: Passed<'_>,
) -> Result<(), Broken> {
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    loop {
        let bytes = from.read(&mut buffer).await.map_err(|_| Broken::Source)?;
        let put = async {
            if bytes == 0 {
                return to.shutdown().await;
            }
            to.write_all(buffer.get(..bytes).unwrap_or_default()).await?;
            to.flush().await
        };
        put.await.map_err(|_| Broken::Sink)?;
        if bytes == 0 {
            ending.in_order();
            passed.half_closed.notify_one();
            return Ok(());
        }
        passed.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
