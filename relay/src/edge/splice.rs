//! Two streams joined byte for byte: both have left HTTP (101 Switching Protocols), or carry TLS that is passed through.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::limits::SPLICE_BUFFER_BYTES;

/// Copies both ways until both sides have ended, one has failed, or one has ended and nothing
/// has come from the other for `half_closed_max`. Each end is passed on as an end of writing.
pub(super) async fn splice<A, B>(visitor: A, origin: B, half_closed_max: Duration) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (visitor_read, visitor_write) = split(visitor);
    let (origin_read, origin_write) = split(origin);
    let moved = AtomicU64::new(0);
    let mut up = std::pin::pin!(copy(visitor_read, origin_write, &moved));
    let mut down = std::pin::pin!(copy(origin_read, visitor_write, &moved));
    tokio::select! {
        ended = up.as_mut() => {
            ended?;
            while_moving(down, &moved, half_closed_max).await
        }
        ended = down.as_mut() => {
            ended?;
            while_moving(up, &moved, half_closed_max).await
        }
    }
}

async fn while_moving(
    mut rest: std::pin::Pin<&mut impl Future<Output = io::Result<()>>>,
    moved: &AtomicU64,
    quiet_max: Duration,
) -> io::Result<()> {
    loop {
        let before = moved.load(Ordering::Relaxed);
        match tokio::time::timeout(quiet_max, rest.as_mut()).await {
            Ok(ended) => return ended,
            Err(_) if moved.load(Ordering::Relaxed) == before => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => {}
        }
    }
}

async fn copy<A: AsyncRead, B: AsyncWrite>(
    mut from: ReadHalf<A>,
    mut to: WriteHalf<B>,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    loop {
        let bytes = from.read(&mut buffer).await?;
        if bytes == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..bytes).unwrap_or_default()).await?;
        to.flush().await?;
        moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
