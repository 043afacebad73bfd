//! Why an action on the stack failed. Packets have no errors: they are counted.

use crate::types::Unreachable;

/// Why a flow could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Whoever wanted it went away meanwhile.
    #[error("given up by the caller")]
    Abandoned,
    /// The same two addresses and ports already carry a flow.
    #[error("the address pair is already in use")]
    InUse,
    /// The peer, or the stack, has as many flows as it may have.
    #[error("too many flows")]
    Full,
    /// An address is not unicast, a port is zero, or the families differ.
    #[error("no flow is possible between these addresses")]
    Unaddressable,
    /// The other side answered with RST.
    #[error("connection refused")]
    Refused,
    /// The other side, or somebody on the way, answered with ICMP.
    #[error("destination unreachable: {0:?}")]
    Unreachable(Unreachable),
    /// No answer within the time given.
    #[error("no answer in time")]
    TimedOut,
    /// The peer is not known, or was removed meanwhile.
    #[error("the peer is gone")]
    PeerGone,
}

/// Why an incoming connection could not be accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The visitor gave up, the decision took too long, or the peer was removed.
    #[error("the connection attempt is over")]
    Gone,
    /// The peer, or the stack, has as many flows as it may have. The visitor was reset.
    #[error("too many flows")]
    Full,
}

/// Why an address could not be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Some of the ports are taken.
    #[error("some of the ports are already in use")]
    InUse,
    /// No port in the range, or port zero.
    #[error("the port range is empty or holds port 0")]
    Ports,
    /// As many listeners or bindings as there may be.
    #[error("too many listeners")]
    Full,
}
