//! What is sent, over which path.

use std::net::SocketAddr;

use bore_netstack::Congestion;

/// One run, by its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    /// One way.
    pub(crate) delay_ms: u64,
    /// Each way.
    pub(crate) bytes: usize,
    /// What the application writes at once.
    pub(crate) piece_bytes: usize,
    pub(crate) mtu: usize,
    pub(crate) is_v6: bool,
    pub(crate) congestion: Congestion,
    /// Neither side knows the other for one of its own kind.
    pub(crate) is_foreign: bool,
    /// The accepting side answers only when the other has closed its half.
    pub(crate) takes_turns: bool,
}

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) loss_percent: u32,
    /// One bit is another.
    pub(crate) corrupt_percent: u32,
    pub(crate) duplicate_percent: u32,
    /// Up to this much more delay for each packet.
    pub(crate) jitter_ms: u64,
}

impl Schedule {
    pub(crate) fn plain(seed: u64) -> Self {
        Self {
            seed,
            faults: Faults::default(),
            delay_ms: 10,
            bytes: 100_000,
            piece_bytes: 4_000,
            mtu: 1_280,
            is_v6: false,
            congestion: Congestion::Model,
            is_foreign: true,
            takes_turns: false,
        }
    }

    /// Between two that know each other: what the tunnel authenticates cannot be corrupt.
    pub(crate) fn between_own(self) -> Self {
        let faults = Faults { corrupt_percent: 0, ..self.faults };
        Self { faults, is_foreign: false, ..self }
    }

    /// Who calls, and who is called.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let (opener, acceptor) = if self.is_v6 {
            ("[2001:db8::9]:50000", "[fd00::7]:8080")
        } else {
            ("203.0.113.9:50000", "100.64.0.7:8080")
        };
        (opener.parse().unwrap(), acceptor.parse().unwrap())
    }
}
