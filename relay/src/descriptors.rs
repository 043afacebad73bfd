//! How the limit of open files is shared out, so that neither visitors nor public ports take what the relay itself needs: its database, its
//! API, its tunnels.

use rustix::process::{Resource, getrlimit};

use bore_edge::limits::EDGE_CONNECTIONS_MAX;

use crate::limits::OWN_DESCRIPTORS;

/// What each may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Sockets of public ports.
    pub(crate) ports: usize,
    /// Visitors of public TCP ports.
    pub(crate) tcp_visitors: usize,
    /// Connections at each of the two shared ports.
    pub(crate) edge_connections: usize,
}

impl Shares {
    /// Of this process, whose soft limit is raised to the hard one as it starts.
    pub(crate) fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile).maximum;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let shares = Self::of(limit);
        if shares.edge_connections < EDGE_CONNECTIONS_MAX {
            tracing::warn!(
                limit,
                ?shares,
                "the limit of open files bounds visitors and ports (LimitNOFILE, ulimit -n)"
            );
        }
        shares
    }

    /// The relay's own first; of the rest a quarter is for ports, and of what visitors get half for public TCP ports.
    fn of(limit: usize) -> Self {
        let rest = limit - OWN_DESCRIPTORS.min(limit / 4);
        let visitors = rest - rest / 4;
        Self {
            ports: rest / 4,
            tcp_visitors: visitors / 2,
            edge_connections: (visitors / 4).min(EDGE_CONNECTIONS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_leaves_the_relay_its_own() {
        for limit in [64, 256, 1024, 20_000, 1 << 20] {
            let Shares { ports, tcp_visitors, edge_connections } = Shares::of(limit);
            let left = limit - ports - tcp_visitors - 2 * edge_connections;
            assert!(left >= OWN_DESCRIPTORS.min(limit / 4), "{limit}: {left} are left");
        }
    }

    #[test]
    fn the_limit_of_the_service_bounds_nothing_more() {
        assert_eq!(Shares::of(1 << 20).edge_connections, EDGE_CONNECTIONS_MAX);
    }
}
