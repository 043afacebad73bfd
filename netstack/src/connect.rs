//! The wait for a handshake.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::core::FlowId;
use crate::error::ConnectError;
use crate::flow::TcpFlow;
use crate::stack::Stack;
use crate::types::PeerKey;

/// A flow that is being opened. Dropping it gives the attempt up.
///
/// Must not be polled after it is ready: it stays pending for ever then.
#[derive(Debug)]
#[must_use = "dropping it gives the attempt up"]
pub struct Connect {
    flow: Option<TcpFlow>,
}

impl Connect {
    pub(crate) fn new(
        stack: Stack,
        id: FlowId,
        peer: PeerKey,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self { flow: Some(TcpFlow::new(stack, id, peer, source, destination)) }
    }
}

impl Connect {
    /// Writes before the handshake is over: as [`TcpFlow::poll_write_with`]. Towards our own nodes, once they were heard of, a little may travel
    /// with the call; pends when that is used up, or never was.
    ///
    /// # Errors
    /// What `write` gives, or how the attempt ended.
    pub fn poll_write_early(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match &self.flow {
            Some(flow) => flow.poll_write_with(context, write),
            None => Poll::Pending,
        }
    }
}

impl Future for Connect {
    type Output = Result<TcpFlow, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(flow) = &self.flow else { return Poll::Pending };
        let outcome = ready!(flow.poll_connected(context));
        let flow = self.flow.take();
        match (outcome, flow) {
            (Ok(()), Some(flow)) => Poll::Ready(Ok(flow)),
            (Ok(()), None) => Poll::Pending,
            (Err(error), _) => Poll::Ready(Err(error)),
        }
    }
}
