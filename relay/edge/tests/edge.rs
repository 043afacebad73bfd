//! The HTTP edge over real sockets on loopback: visitors and origins are raw, so that each byte on
//! the wire is the test's own.
#![expect(
    clippy::unwrap_used,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]

#[path = "edge/abuse.rs"]
mod abuse;
#[path = "edge/authority.rs"]
mod authority;
#[path = "edge/bodies.rs"]
mod bodies;
#[path = "edge/differential.rs"]
mod differential;
#[path = "edge/expect.rs"]
mod expect;
#[path = "edge/fidelity.rs"]
mod fidelity;
#[path = "edge/grpc.rs"]
mod grpc;
#[path = "edge/hosts.rs"]
mod hosts;
#[path = "edge/http2.rs"]
mod http2;
#[path = "edge/lab.rs"]
mod lab;
#[path = "edge/lifetime.rs"]
mod lifetime;
#[path = "edge/observed.rs"]
mod observed;
#[path = "edge/pages.rs"]
mod pages;
#[path = "edge/proxied.rs"]
mod proxied;
#[path = "edge/raw_http2.rs"]
mod raw_http2;
#[path = "edge/redirects.rs"]
mod redirects;
#[path = "edge/referees.rs"]
mod referees;
#[path = "edge/routed.rs"]
mod routed;
#[path = "edge/smuggling.rs"]
mod smuggling;
#[path = "edge/tls.rs"]
mod tls;
#[path = "edge/upgrades.rs"]
mod upgrades;
