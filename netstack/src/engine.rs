//! The seam between a flow and the TCP machine that runs it.
//!
//! An [`Engine`] is one connection: it takes segments, gives segments, tells when it wants to be
//! polled, and holds the two byte streams. It knows nothing of peers, tables, wakers or other
//! connections, so that a better engine can take the place of [`smoltcp`] without a change elsewhere.

mod device;
pub(crate) mod smoltcp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::packet::{Packet, Segment};

/// The engine that flows use.
pub(crate) type FlowEngine = smoltcp::SmoltcpEngine;

/// What an engine is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Largest packet, IP header included.
    pub(crate) mtu: usize,
    /// Seeds the initial sequence number; never used twice.
    pub(crate) seed: u64,
}

/// Where a connection stands, as far as the stack must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// SYN or SYN-ACK is not yet answered.
    Handshake,
    /// Bytes or FINs are still to come in at least one direction.
    Open,
    /// Both FINs are acknowledged; only late segments may still come.
    TimeWait,
    /// Closed with nothing lost, or given up by [`Engine::abort`].
    Closed,
    /// The other side sent RST.
    Reset,
}

/// A segment that an engine has written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Of the whole packet.
    pub(crate) bytes: usize,
    /// Whether the other side must answer it.
    pub(crate) elicits_answer: bool,
}

/// What [`Engine::receive_with`] found.
#[derive(Debug)]
pub(crate) enum Received<R> {
    /// The function was called; this is what it gave.
    Data(R),
    /// Nothing to read at present.
    Empty,
    /// FIN received and everything before it read.
    End,
}

/// What [`Engine::send_with`] found.
#[derive(Debug)]
pub(crate) enum Offered<R> {
    /// The function was called; this is what it gave.
    Room(R),
    /// No room at present, or the handshake is not over.
    Full,
    /// Nothing can be sent any more.
    Closed,
}

/// One TCP connection, sans IO.
pub(crate) trait Engine: Sized {
    /// A connection that will send SYN. `None` when no connection is possible between the ends.
    fn connect(setup: &Setup, now: Instant) -> Option<Self>;

    /// A connection that will answer `syn`. `None` when the SYN cannot be answered.
    fn accept(setup: &Setup, syn: &Packet<'_>, segment: &Segment, now: Instant) -> Option<Self>;

    /// Takes a segment of this connection. An answer that must leave at once is put into `reply`,
    /// which is left empty otherwise.
    fn handle_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        now: Instant,
        reply: &mut Vec<u8>,
    );

    /// Writes the next segment into `buffer`, which holds at least the MTU.
    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<Sent>;

    /// When [`Engine::poll_transmit`] has something to do; not after `now` means at once.
    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;

    /// Where the connection stands.
    fn phase(&self) -> Phase;

    /// Calls `read` with contiguous received bytes; as many as it gives are consumed.
    fn receive_with<R>(&mut self, read: impl FnOnce(&[u8]) -> (usize, R)) -> Received<R>;

    /// Calls `write` with free room of the send buffer; as many bytes as it gives are sent.
    fn send_with<R>(&mut self, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> Offered<R>;

    /// Bytes received and not yet read.
    fn unread_bytes(&self) -> usize;

    /// Bytes not yet acknowledged by the other side.
    fn unacknowledged_bytes(&self) -> usize;

    /// Whether [`Engine::receive_with`] would not give `Empty`.
    fn is_readable(&self) -> bool;

    /// Whether [`Engine::send_with`] would give `Room`.
    fn is_writable(&self) -> bool;

    /// Sends FIN after everything written so far.
    fn shutdown(&mut self);

    /// Whether [`Engine::shutdown`] was called.
    fn is_shut_down(&self) -> bool;

    /// Everything written, and FIN when shut down, is acknowledged.
    fn is_flushed(&self) -> bool;

    /// Gives up; a RST is the last segment.
    fn abort(&mut self);

    /// Probes an idle connection at this interval.
    fn set_keep_alive(&mut self, interval: Option<Duration>);

    /// Sequence number of the segment sent first, if it was a SYN and nothing followed it.
    fn syn_sequence(&self) -> Option<u32>;

    /// Next sequence number to send and to receive, once everything received is acknowledged.
    fn sequences(&self) -> Option<(u32, u32)>;

    /// Name of the state as RFC 9293 §3.3.2 has it.
    fn state_name(&self) -> &'static str;
}
