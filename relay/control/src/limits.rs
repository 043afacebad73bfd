//! Every bound of the control room, by name.

use std::time::Duration;

use bore_rate::Rate;

/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// From the first byte of a request to its answer; the watch stream is no answer that ends.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// Characters of a description.
pub const DESCRIPTION_CHARS_MAX: usize = 200;

/// Characters of a version of bore.
pub const VERSION_CHARS_MAX: usize = 64;

/// Characters of a target.
pub const TARGET_CHARS_MAX: usize = 255;

/// Characters of a report of an agent, field by field; the rest is cut.
pub const REPORT_CHARS_MAX: usize = 500;

/// Steps of a report of an agent; the rest is cut.
pub const REPORT_STEPS_MAX: usize = 16;

/// Characters of the text that the audit trail is searched for.
pub const SEARCH_CHARS_MAX: usize = 200;

/// Characters of `detail` in a problem; it quotes what the caller sent.
pub const DETAIL_CHARS_MAX: usize = 600;

/// Entries of an access list, allow and deny together.
pub const ACCESS_ENTRIES_MAX: usize = 1_024;

/// The same of all publications of a node, which reads them in one list: this bounds what each of its connections can have the relay hold.
pub const ACCESS_ENTRIES_PER_NODE_MAX: usize = 16_384;

/// Groups named by one node or one join key.
pub const GROUPS_NAMED_MAX: usize = 64;

/// Nodes of one group.
pub const GROUP_NODES_MAX: usize = 10_000;

/// Hostnames of one network that rest after they were given back. Of more, the nodes that have most at rest lose those longest at rest, which are free
/// for other networks again: no node pushes out what one with fewer gave back.
pub(crate) const HOSTNAMES_RESTING_MAX: i64 = 20_000;

/// Ports that are tried on the relay before "any free port" gives up.
pub const PORT_TRIES_MAX: usize = 64;

/// Events that a subscriber may lie behind before it is told that it lost some, and looks at everything. An event may hold a policy of [`BODY_BYTES_MAX`] as
/// it was and as it is.
pub const EVENTS_BEHIND_MAX: usize = 128;

/// Callers whose rate is remembered; beyond it the idlest is forgotten.
pub const RATE_CALLERS_MAX: usize = 16_384;

/// Requests from one source with an API key that does not hold: at once, and a second in the long run.
pub(crate) const AUTHENTICATION_FAILURES_OF_SOURCE: Rate = Rate::per_second(1).with_burst(20);

/// Public keys, sources and join keys whose refused joins are remembered, each in a table of its own.
pub const GARDEN_CALLERS_MAX: usize = 4_096;

/// Refused joins of one public key: at once, and a second in the long run.
pub(crate) const JOIN_REFUSALS_OF_PUBLIC_KEY: Rate =
    Rate::new(1, Duration::from_secs(5)).with_burst(10);

/// Refused joins from one source. Many machines may share an address.
pub(crate) const JOIN_REFUSALS_OF_SOURCE: Rate = Rate::per_second(10).with_burst(100);

/// Refused joins with one join key that opens nothing any more.
pub(crate) const JOIN_REFUSALS_OF_KEY: Rate = Rate::new(1, Duration::from_secs(5)).with_burst(10);

/// After how long another node may be made that was one too many: a little more than a token takes.
pub(crate) const NEW_NODE_RETRY_SECONDS: u16 = 4;

/// Networks whose rate of new nodes is remembered: more than there can be unless the quota is raised.
pub const NEW_NODES_NETWORKS_MAX: usize = 16_384;

/// Between two audit rows of refused joins with the same key and cause.
pub const JOIN_REFUSAL_ROW_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Keys and causes whose refused joins are written down; those beyond are only counted.
pub const JOIN_REFUSALS_REMEMBERED_MAX: usize = 4_096;

/// How old a success may be that health answers with: strangers may ask, and each look is a change.
pub const HEALTH_AGE_MAX: Duration = Duration::from_secs(1);

/// How long a node may be away before its session publications, or itself when ephemeral, are removed.
pub const AWAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an ephemeral node may be away before it is removed.
pub const EPHEMERAL_AWAY_MAX: Duration = Duration::from_secs(30 * 60);

/// Longest life of an API key.
pub const API_KEY_LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Life of an API key for which none was asked.
pub const API_KEY_LIFE_DEFAULT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Longest time that the next try at a certificate is away, a CA's wish included. A stored time further away comes from a clock that was ahead,
/// and does not count.
pub const ORDER_WAIT_MAX: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Longest time that a relay holds an order without news; beyond it the same is true.
pub const ORDER_LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What one network may hold, so that one tenant cannot starve the others. Each refusal is B2109, of addresses B3110.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Networks of the cluster.
    pub networks: usize,
    /// Nodes of one network, whether they join or are added by hand.
    pub nodes_per_network: usize,
    /// Overlay IPv4 addresses of one network, those included that rest after a node was removed. The pool of the whole cluster has 4,194,301.
    pub addresses_per_network: usize,
    /// Publications of one node.
    pub publications_per_node: usize,
    /// Publications of one network.
    pub publications_per_network: usize,
    /// Hostnames of one network, over all its publications.
    pub hostnames_per_network: usize,
    /// Public ports of one network, ranges counted port by port.
    pub ports_per_network: usize,
    /// Join keys of one network that are neither revoked nor expired.
    pub join_keys_per_network: usize,
    /// API keys of one network that are neither revoked nor expired.
    pub api_keys_per_network: usize,
    /// Custom domains of one network, whether proved or not.
    pub domains_per_network: usize,
    /// Groups of one network.
    pub groups_per_network: usize,
    /// Policies of one network.
    pub policies_per_network: usize,
    /// New nodes of one join key at once, as a fleet comes; of a network twice as many. Each takes an address from the cluster's pool, which rests after it.
    pub new_nodes_burst: u32,
    /// New nodes of one join key in an hour, in the long run; of a network twice as many.
    pub new_nodes_per_hour: u32,
    /// Requests a second of one API key or node, in the long run.
    pub requests_per_second: u32,
    /// Requests of one API key or node at once.
    pub requests_burst: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            networks: 10_000,
            nodes_per_network: 100_000,
            addresses_per_network: 200_000,
            publications_per_node: 256,
            publications_per_network: 20_000,
            hostnames_per_network: 20_000,
            ports_per_network: 20_000,
            join_keys_per_network: 1_000,
            api_keys_per_network: 1_000,
            domains_per_network: 1_000,
            groups_per_network: 1_000,
            policies_per_network: 100,
            new_nodes_burst: 20_000,
            new_nodes_per_hour: 1_000,
            requests_per_second: 100,
            requests_burst: 1_000,
        }
    }
}
/// Publications of a node that other nodes took, as it is told of them.
pub(crate) const DISPLACED_PER_NODE_MAX: usize = 256;
