//! Listening, and the decision on each connection attempt.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use crate::core::{Arrival, HalfOpenId, ListenerId, Rejection};
use crate::error::AcceptError;
use crate::flow::TcpFlow;
use crate::stack::Stack;
use crate::types::{PeerKey, Unreachable};

/// Listens until dropped. Attempts that nobody took are reset then.
#[derive(Debug)]
pub struct Listener {
    stack: Stack,
    id: ListenerId,
}

impl Listener {
    pub(crate) fn new(stack: Stack, id: ListenerId) -> Self {
        Self { stack, id }
    }

    /// The next connection attempt.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Incoming> {
        let arrival = self.stack.act(|core| core.poll_accept(self.id, context));
        arrival.map(|arrival| Incoming::new(self.stack.clone(), arrival))
    }

    /// The next connection attempt. Cancelling loses none.
    pub async fn accept(&self) -> Incoming {
        poll_fn(|context| self.poll_accept(context)).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stack.act(|core| core.unlisten(self.id));
    }
}

/// A SYN whose answer is held back until it is accepted or rejected; dropped, it is reset.
///
/// Undecided for [`HALF_OPEN_LIFETIME`](crate::limits::HALF_OPEN_LIFETIME), it expires.
#[derive(Debug)]
pub struct Incoming {
    /// The tunnel that it came out of.
    pub peer: PeerKey,
    /// Theirs: the visitor.
    pub source: SocketAddr,
    /// Ours.
    pub destination: SocketAddr,
    stack: Stack,
    id: HalfOpenId,
}

impl Incoming {
    fn new(stack: Stack, arrival: Arrival) -> Self {
        let Arrival { id, peer, source, destination } = arrival;
        Self { peer, source, destination, stack, id }
    }

    /// Answers the SYN. Writing waits for the end of the handshake.
    ///
    /// # Errors
    /// When the attempt is over, or there are too many flows.
    pub fn accept(self) -> Result<TcpFlow, AcceptError> {
        let id = self.stack.act(|core| core.accept(self.id))?;
        let stack = self.stack.clone();
        Ok(TcpFlow::new(stack, id, self.peer, self.source, self.destination))
    }

    /// Refuses with RST.
    pub fn reject_reset(self) {
        self.reject(Rejection::Reset);
    }

    /// Refuses with an ICMP error.
    pub fn reject_unreachable(self, kind: Unreachable) {
        self.reject(Rejection::Unreachable(kind));
    }

    fn reject(&self, rejection: Rejection) {
        self.stack.act(|core| core.reject(self.id, rejection));
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Without effect when it was decided before.
        self.reject(Rejection::Reset);
    }
}
