//! The words in which a connection and the stack around it talk.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::memory::PeerMemory;
use crate::types::{Congestion, Lengths};

/// What a connection is made from.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Largest packet that may come, IP header included; and the largest that the path takes, which may be less.
    pub(crate) mtu: usize,
    pub(crate) path_mtu: usize,
    /// Seeds the initial sequence number; never used twice.
    pub(crate) seed: u64,
    /// Zero of the stack's time.
    pub(crate) epoch: Instant,
    pub(crate) memory: Rc<PeerMemory>,
    pub(crate) congestion: Congestion,
    /// How long it may be idle without asking.
    pub(crate) keep_alive: Option<Duration>,
    /// The other side is not one of our own nodes.
    pub(crate) is_foreign: bool,
    /// Our own boot id, and the other side's where it is known.
    pub(crate) boot_id: u32,
    pub(crate) remote_boot_id: Option<u32>,
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
    /// Closed with nothing lost, or given up by [`Connection::abort`](super::Connection::abort).
    Closed,
    /// The other side sent RST.
    Reset,
}

/// Packets that were written, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) lengths: Lengths,
    /// Whether the other side must answer it.
    pub(crate) elicits_answer: bool,
}

/// What [`Connection::receive_with`](super::Connection::receive_with) found.
#[derive(Debug)]
pub(crate) enum Received<R> {
    /// The function was called; this is what it gave.
    Data(R),
    /// Nothing to read at present.
    Empty,
    /// FIN received and everything before it read.
    End,
}

/// What [`Connection::send_with`](super::Connection::send_with) found.
#[derive(Debug)]
pub(crate) enum Offered<R> {
    /// The function was called; this is what it gave.
    Room(R),
    /// No room at present, or the handshake is not over.
    Full,
    /// Nothing can be sent any more.
    Closed,
}

/// How the path looks from a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathInfo {
    /// Smoothed; `None` before anything was measured.
    pub(crate) round_trip: Option<Duration>,
    /// Bytes that may be in flight.
    pub(crate) window_bytes: u64,
    /// Bytes sent more than once.
    pub(crate) retransmitted_bytes: u64,
}
