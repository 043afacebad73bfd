//! What a deployment, or a test, may change about the edge.

use std::time::Duration;

/// How visitors reach the edge, and how long it waits for them and for origins.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// What the visitor speaks; goes into `X-Forwarded-Proto` and `Forwarded`.
    pub scheme: Scheme,
    /// The port that visitors connect to, when it is not the listener's own.
    pub public_port: Option<u16>,
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections open at once from one IPv4 address or IPv6 /64; further ones are closed.
    pub connections_per_source_max: u32,
    /// From accept, or from the first byte of a later request, to the complete request head.
    pub head_max: Duration,
    /// From a complete response to the first byte of the next request.
    pub idle_max: Duration,
    /// Time spent waiting on the visitor in which at least a minimum of body bytes must move.
    pub progress_window: Duration,
    /// How long a visitor that closed its sending side may get nothing before it counts as gone.
    pub half_closed_max: Duration,
    /// From asking for an origin connection to having it.
    pub open_max: Duration,
    /// From the complete request to the head of the origin's response.
    pub response_max: Duration,
    /// From the shutdown signal to the end of the last connection.
    pub drain_max: Duration,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            public_port: None,
            connections_max: 20_000,
            connections_per_source_max: 512,
            head_max: Duration::from_secs(15),
            idle_max: Duration::from_secs(75),
            progress_window: Duration::from_secs(30),
            half_closed_max: Duration::from_secs(10),
            open_max: Duration::from_secs(10),
            response_max: Duration::from_secs(600),
            drain_max: Duration::from_secs(30),
        }
    }
}

/// What a visitor speaks to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// Inside TLS, which ends in front of this edge.
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
