//! Runs overlay and netstack on real sockets, for relay and agent alike.
//!
//! A [`Shard`] is one thread. It owns a UDP socket, the tunnels of its peers, their netstack flows and the kernel sockets that those
//! flows are joined to, so that a proxied packet meets no lock and changes no thread. Other threads hand it jobs
//! ([`Shard::run`]), which get a [`Local`] to work with, or open flows through a byte-bounded pipe ([`Shard::connect`]).
//!
//! What a shard does with datagrams and time is an [`Endpoint`], which has neither socket nor clock: a simulator runs it as well.
//!
//! This room decides nothing: who may be a peer, what is listened on and where a flow goes is said by relay and agent.

mod answering;
mod counters;
mod datagrams;
mod early;
mod ending;
mod endpoint;
mod engine;
mod join;
mod limits;
mod local;
mod near;
mod pipe;
mod pump;
mod shard;
mod socket;
mod tasks;

pub use counters::{Counters, DriverCounters};
pub use datagrams::{BoundUdp, DatagramSink, UdpBinding};
pub use ending::{Ending, EndingSocket};
pub use endpoint::{Arrival, Endpoint, SendError, Surroundings};
pub use join::{Broken, LAST_WORDS_QUIET_MAX, Side, join, while_moving};
pub use local::{Dial, Local};
pub use near::Near;
pub use pipe::{OverlayStream, pipe, pipe_opening, pipe_until, pipe_with_work};
pub use pump::{Meter, PumpEnd, pump};
pub use shard::{Events, Shard, ShardConfig, ShardGone, StartError};
pub use socket::{Datagram, UdpBatch, UdpPort};
pub use tasks::{TaskHandle, Tasks};
