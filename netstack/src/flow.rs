//! The handle on an open TCP flow.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::core::FlowId;
use crate::error::ConnectError;
use crate::stack::Stack;
use crate::types::PeerKey;

/// One TCP flow, for one task at a time in each direction.
///
/// The functions given to [`poll_read_with`](Self::poll_read_with) and
/// [`poll_write_with`](Self::poll_write_with) run inside the stack and must not use it.
///
/// Dropped after [`shutdown`](Self::shutdown) with nothing unread, the flow closes in the background
/// within [`LINGER_MAX`](crate::limits::LINGER_MAX); dropped otherwise, it is reset.
#[derive(Debug)]
pub struct TcpFlow {
    stack: Stack,
    id: FlowId,
    peer: PeerKey,
    source: SocketAddr,
    destination: SocketAddr,
}

/// A look at a flow, for logs and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowInfo {
    /// TCP state, in the words of RFC 9293 §3.3.2.
    pub state: &'static str,
    /// Bytes that were read from the flow.
    pub received_bytes: u64,
    /// Bytes that were written to the flow.
    pub sent_bytes: u64,
    /// Bytes written that the other side has not acknowledged.
    pub send_queue_bytes: usize,
    /// Smoothed round-trip time; `None` before anything was measured.
    pub round_trip: Option<Duration>,
    /// Bytes that congestion control allows in flight.
    pub congestion_window_bytes: u64,
    /// Bytes sent more than once.
    pub retransmitted_bytes: u64,
}

impl TcpFlow {
    pub(crate) fn new(
        stack: Stack,
        id: FlowId,
        peer: PeerKey,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self { stack, id, peer, source, destination }
    }

    /// The side that opened the flow: the visitor.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// The side that was called.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The tunnel.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Calls `read` with contiguous received bytes and consumes as many as it gives. `None` is the
    /// end of the stream: FIN received and everything read.
    ///
    /// # Errors
    /// What `read` gives, `WouldBlock` included, with nothing consumed. `ConnectionReset` after RST,
    /// once everything received before is read; `TimedOut` when the other side fell silent.
    pub fn poll_read_with(
        &self,
        context: &mut Context<'_>,
        read: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<Option<usize>>> {
        self.stack.act(|core| core.poll_read_with(self.id, context, read))
    }

    /// Calls `write` with free room of the send buffer and sends as many bytes as it gives; none is
    /// no error.
    ///
    /// # Errors
    /// What `write` gives; `BrokenPipe` after [`Self::shutdown`]; else as for reading.
    pub fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.stack.act(|core| core.poll_write_with(self.id, context, write))
    }

    /// Reads into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// As [`Self::poll_read_with`].
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.poll_read_with(context, |bytes| Ok(copy(bytes, buffer))))?;
        Poll::Ready(Ok(taken.unwrap_or(0)))
    }

    /// Writes from `bytes`, as many as there is room for.
    ///
    /// # Errors
    /// As [`Self::poll_write_with`].
    pub fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |room| Ok(copy(bytes, room)))
    }

    /// Sends FIN after everything written so far; reading goes on.
    pub fn shutdown(&self) {
        self.stack.act(|core| core.shutdown(self.id));
    }

    /// Ready when everything written, and FIN after [`Self::shutdown`], is acknowledged.
    ///
    /// # Errors
    /// When the flow ended before that.
    pub fn poll_flushed(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stack.act(|core| core.poll_flushed(self.id, context))
    }

    /// Ready when the flow ended otherwise than by FIN in both directions.
    pub fn poll_reset(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stack.act(|core| core.poll_reset(self.id, context))
    }

    /// Returns true once the other side has sent its FIN and everything before it, read or not, also when a RST followed.
    #[must_use]
    pub fn has_heard_end(&self) -> bool {
        self.stack.act(|core| core.has_heard_end(self.id))
    }

    /// Gives the flow up at once; the other side is reset.
    pub fn abort(&self) {
        self.stack.act(|core| core.abort(self.id));
    }

    /// Probes the other side when the flow has been idle for `interval`, so that its death shows; at first
    /// as the [`PeerConfig`](crate::PeerConfig) says.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.stack.act(|core| core.set_keep_alive(self.id, interval));
    }

    /// A look at the flow.
    #[must_use]
    pub fn info(&self) -> FlowInfo {
        self.stack.act(|core| core.flow_info(self.id))
    }

    pub(crate) fn poll_connected(&self, context: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.stack.act(|core| core.poll_connected(self.id, context))
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.stack.act(|core| core.release(self.id));
    }
}

/// Copies what fits; gives how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let bytes = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..bytes), to.get_mut(..bytes)) {
        to.copy_from_slice(from);
    }
    bytes
}
