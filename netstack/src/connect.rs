//! The wait for a handshake.

use std::future::Future;
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
