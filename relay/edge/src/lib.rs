//! The HTTP edge: visitors' HTTP/1 and HTTP/2 on public sockets, routed by `Host`, streamed to origins.
//!
//! ```text
//! accept (limits) ── [proxied] ── [door (TLS)] ── connection ── guard (framing, deadlines) ── hyper ── service
//!                                                                            │  host → Origins::route
//!                                                                            ▼
//!                                          pages (own answers)  or  upstream (one per visitor connection)
//! ```
//!
//! Generic over [`Origins`], so that it opens no tunnels (of the netstack it knows why a flow was not opened). It buffers no body but for services without chunks, never
//! shares an origin connection between two visitor connections, and has no rules of its own: who
//! may see what is one call of [`Origins::route`] with the value that is then routed by. When a request has ended, an [`Observer`] is told its
//! figures.
//!
//! Source: RFC 9110, RFC 9112, RFC 9113.

#![forbid(unsafe_code)]

mod accept;
mod access;
mod body;
mod claims;
mod clock;
mod connection;
mod counters;
mod door;
mod downgrade;
mod framing;
mod guard;
mod headers;
mod host;
mod http2;
mod interim;
mod keepalive;
mod ledger;
mod lengths;
pub mod limits;
mod origin_stream;
mod origins;
mod own;
mod pace;
mod pages;
mod per_caller_limit;
mod prefixed;
mod proxied;
mod renamed;
mod rendezvous;
mod request_body;
mod response_head;
mod service;
mod settings;
mod source;
mod splice;
mod stream;
mod target;
mod tcp_accept;
pub mod tls;
mod upstream;

pub use accept::{Edge, serve};
pub use access::{AccessRecord, End, Observer, Outcome, RequestRecord};
pub use clock::now_micros;
pub use counters::{
    Deadline, DeadlineLabels, Door, DoorLabels, EdgeCounters, FaultLabels, Handshake,
    HandshakeLabels, Limit, LimitLabels,
};
pub use framing::Fault;
pub use keepalive::keep_alive;
pub use origins::{
    Credentials, DenialKind, OriginId, Origins, Outage, Route, RouteRequest, Unopened,
    UpstreamConfig, UpstreamProtocol,
};
pub use per_caller_limit::{CallerPlace, PerCallerLimit};
pub use settings::{EdgeSettings, Scheme};
pub use source::source;
pub use tcp_accept::TcpAccept;
