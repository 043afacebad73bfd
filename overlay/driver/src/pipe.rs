//! Hands a flow to another thread: a byte-bounded pipe, and a task on the shard that keeps it moving.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bore_netstack::TcpFlow;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};

use crate::limits::PIPE_BYTES;

/// One end of a flow, on any thread. A reset of the flow is an error here, never a silent end.
#[derive(Debug)]
pub struct OverlayStream {
    pipe: DuplexStream,
    reset: Arc<AtomicBool>,
}

/// Moves `flow` off its shard. Must be called on the shard's thread.
pub fn pipe(flow: TcpFlow) -> OverlayStream {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let reset = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&reset);
    tokio::task::spawn_local(async move {
        if carry(&flow, near, &flag).await.is_err() {
            flow.abort();
        }
    });
    OverlayStream { pipe: far, reset }
}

async fn carry(flow: &TcpFlow, near: DuplexStream, reset: &AtomicBool) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(near);
    let both = async { tokio::try_join!(inward(flow, reader), outward(flow, writer, reset)) };
    // Pinned here, so that the pipe is still open when the reset is noted: its far end must not see an end first.
    tokio::pin!(both);
    let result = tokio::select! {
        result = &mut both => result.map(|_| ()),
        () = poll_fn(|context| flow.poll_reset(context)) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if result.is_err() {
        reset.store(true, Ordering::Release);
    }
    result
}

async fn inward(flow: &TcpFlow, mut reader: ReadHalf<DuplexStream>) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        let Some(mut bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            flow.shutdown();
            return Ok(());
        };
        while !bytes.is_empty() {
            let written = poll_fn(|context| flow.poll_write(context, bytes)).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
    }
}

async fn outward(
    flow: &TcpFlow,
    mut writer: WriteHalf<DuplexStream>,
    reset: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let received = poll_fn(|context| flow.poll_read(context, &mut buffer)).await;
        let count = received.inspect_err(|_| reset.store(true, Ordering::Release))?;
        match buffer.get(..count) {
            Some(bytes) if !bytes.is_empty() => writer.write_all(bytes).await?,
            _ => return writer.shutdown().await,
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
        if ended && buffer.remaining() > 0 && self.reset.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        result
    }
}

impl AsyncWrite for OverlayStream {
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

const COPY_BYTES: usize = 16 * 1024;
