//! Where the sockets of a relay are.

use std::net::SocketAddr;

/// Where a relay's sockets ended up; of interest where the configuration said port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The overlay's UDP socket.
    pub overlay: SocketAddr,
    /// The shared HTTP port.
    pub http: SocketAddr,
    /// The shared HTTPS port.
    pub https: SocketAddr,
    /// The REST API.
    pub api: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// The authoritative DNS server, where there is one: UDP and TCP.
    pub dns: Option<SocketAddr>,
}
