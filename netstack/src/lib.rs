//! Userspace TCP and UDP for the inside of tunnels.
//!
//! A [`Stack`] belongs to one shard thread. Packets that a tunnel delivered go in by
//! [`Stack::handle_packet`], packets for tunnels come out by [`Stack::poll_transmit`], and the flows
//! between are used through async handles: [`TcpFlow`], [`Connect`], [`Listener`], [`Incoming`]. UDP
//! has no socket: [`Verdict::Udp`] on the way in, [`Stack::build_udp`] on the way out, and datagrams that
//! are longer than a packet are fragmented inside the tunnel ([`Stack::fragments`], [`Verdict::Reassembled`]).
//!
//! ```text
//! handle_packet ─▶ parse ─▶ (peer, 5-tuple) ─▶ one flow, one connection ─▶ reply, wake
//! poll_transmit ◀─ turn of a peer ◀─ its replies, then its ready flows
//! ```
//!
//! **Invariant:** a packet touches one flow, however many there are. **Invariant:** egress is pulled;
//! nothing queues data packets, so a full tunnel fills send buffers and `poll_write` pends.
//! **Invariant:** nothing a peer sends panics or allocates beyond the bounds of [`limits`].
//!
//! Never: sockets, a clock, tokio, decisions about who may connect.
#![forbid(unsafe_code)]

mod connect;
mod core;
mod counters;
mod error;
mod flow;
pub mod limits;
mod listener;
mod packet;
mod stack;
mod tcp;
mod types;

pub use connect::Connect;
pub use counters::Counters;
pub use error::{AcceptError, ConnectError, ListenError};
pub use flow::{FlowInfo, TcpFlow};
pub use listener::{Incoming, Listener};
pub use packet::fragment::Fragments;
pub use stack::Stack;
pub use types::{
    Binding, BindingId, Config, Congestion, PeerConfig, PeerKey, Train, Unreachable, Verdict,
};
