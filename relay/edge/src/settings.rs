//! What a deployment, or a test, may change about the edge.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::limits::EDGE_CONNECTIONS_MAX;

/// How visitors reach the edge, and how long it waits for them and for origins.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// What the visitor speaks; goes into `X-Forwarded-Proto` and `Forwarded`.
    pub scheme: Scheme,
    /// The address that the relay is known by, where it has no name.
    pub address: Option<IpAddr>,
    /// The port that visitors connect to, when it is not the listener's own.
    pub public_port: Option<u16>,
    /// The public port of HTTPS. A visitor of plain HTTP is sent there when its host has a certificate.
    pub https_port: Option<u16>,
    /// For how long browsers are told to come by HTTPS only (RFC 6797).
    pub hsts_seconds: Option<u32>,
    /// Load balancers: what comes from here begins with a PROXY protocol header.
    pub proxies: Vec<IpNet>,
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections open at once from one IPv4 address or IPv6 /64; further ones are closed.
    pub connections_per_source_max: usize,
    /// From accept, or from the first byte of a later request, to the complete request head.
    pub head_max: Duration,
    /// From a complete response to the first byte of the next request.
    pub idle_max: Duration,
    /// Time spent waiting on the visitor in which at least a minimum of body bytes must move.
    pub progress_window: Duration,
    /// How soon after its request a visitor closes its sending side that waits for the answer all the same. One that closes it later has
    /// given up: no program is known that waits first, and to TCP both look alike.
    pub half_close_window: Duration,
    /// How long a visitor that closed its sending side may get nothing before it counts as gone. While its own window is full the time of a
    /// drain counts instead.
    pub half_closed_max: Duration,
    /// From asking for an origin connection to having it.
    pub open_max: Duration,
    /// From the complete request, or from the last of it that the origin takes, to the head of the origin's response.
    pub response_max: Duration,
    /// From the shutdown signal to the end of the last connection.
    pub drain_max: Duration,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            address: None,
            public_port: None,
            https_port: None,
            hsts_seconds: None,
            proxies: Vec::new(),
            connections_max: EDGE_CONNECTIONS_MAX,
            connections_per_source_max: 512,
            head_max: Duration::from_secs(15),
            idle_max: Duration::from_secs(75),
            progress_window: Duration::from_secs(60),
            half_close_window: Duration::from_millis(500),
            half_closed_max: Duration::from_secs(10),
            open_max: Duration::from_secs(10),
            response_max: Duration::from_secs(600),
            drain_max: Duration::from_secs(30),
        }
    }
}

impl EdgeSettings {
    /// The shortest wait for a visitor.
    pub(super) fn shortest(&self) -> Duration {
        self.head_max.min(self.idle_max).min(self.progress_window)
    }

    /// Whether a load balancer has this address.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// What a visitor speaks to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// Inside TLS, which ends at this edge.
    Https,
}

impl Scheme {
    /// As it is written in a URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URI of this scheme means when it names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}
