//! Named bounds and times of the relay: visitors, checks, custom domains, listeners. A counter moves whenever a bound is met.

use std::time::Duration;

/// Descriptors that visitors and public ports leave to the relay itself, or a quarter of them where the process may have few.
pub(crate) const OWN_DESCRIPTORS: usize = 1_024;
/// Flows of each kind that runs over TCP (public ports, TLS passed through, HTTP) on this relay at once, those that still wait for the agent
/// included.
pub(crate) const TCP_FLOWS_MAX: usize = 65_536;
/// The same through one publication.
pub(crate) const TCP_FLOWS_PER_PUBLICATION_MAX: usize = 20_000;
/// Of all these kinds together from one source: an IPv4 address or an IPv6 /64.
pub(crate) const TCP_FLOWS_PER_SOURCE_MAX: usize = 4_096;
/// Flows of one public TCP port that wait for the agent at once; further visitors wait for their turn, no longer than [`AGENT_DIAL_TIMEOUT`].
pub(crate) const DIALS_PER_PORT_MAX: usize = 128;
/// UDP flows (visitor address and port) remembered at once on this relay.
pub(crate) const UDP_FLOWS_MAX: usize = 131_072;
/// The same by one publication.
pub(crate) const UDP_FLOWS_PER_PUBLICATION_MAX: usize = 10_000;
/// Connections that the kernel holds for one public port until they are accepted.
pub(crate) const ACCEPT_BACKLOG: i32 = 1_024;
/// How long a flow whose service has ended it may take to reach its visitor, once its publication was taken back by the node that it leads to.
pub(crate) const WITHDRAWN_FLOW_MAX: Duration = Duration::from_secs(60);
/// How long an agent may take to reach its target.
pub(crate) const AGENT_DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes a second that all unproved UDP visitors of one prefix may be answered with.
pub(crate) const ONE_SIDED_BYTES_PER_SECOND: u32 = 65_536;
/// The same of those that have been heard again and again.
pub(crate) const LISTENER_BYTES_PER_SECOND: u32 = 4 << 20;
/// The same of those that have repeated what an answer told them: half a gigabit.
pub(crate) const REPEATER_BYTES_PER_SECOND: u32 = 64 << 20;
/// Bytes that an unproved visitor is answered with until it is heard again: a minute of its prefix's budget.
pub(crate) const UNANSWERED_BYTES_MAX: usize = 60 * 65_536;
/// Prefixes that are told apart by the one-sided budget; others share a slot.
pub(crate) const ONE_SIDED_PREFIX_SLOTS: usize = 4_096;
/// How long an expected visit from outside is waited for.
pub(crate) const PROBE_EXPECTED: Duration = Duration::from_secs(10);
/// How long a visitor's first bytes are waited for while a visit is expected.
pub(crate) const PROBE_PEEK: Duration = Duration::from_millis(300);
/// Visits from outside that are expected at once.
pub(crate) const PROBES_EXPECTED_MAX: usize = 4_096;
/// How often a publication that is reachable is checked again.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The same for one that is offline: an agent that has just come may not be ready yet. Costs nothing while its tunnel is down.
pub(crate) const OFFLINE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The same while the target of a WireGuard node is down: no agent reports its return.
pub(crate) const DOWN_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// `live` is true for so long after the visit that proved it.
pub(crate) const LIVE_FOR: Duration = Duration::from_secs(150);
/// What visitors did not get of a service's answers is shown for so long.
pub(crate) const LOSS_SHOWN: Duration = Duration::from_secs(600);
/// An agent that does not say what the target of a new publication does is asked after so long.
pub(crate) const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// A target check through the tunnel may take so long.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(8);
/// Checks that run at once; further ones wait.
pub(crate) const CHECKS_MAX: usize = 1_024;
/// The same of the nodes of one network, so that a tenant with many slow agents delays its own only.
pub(crate) const CHECKS_PER_NETWORK_MAX: usize = 128;
/// The same of one node.
pub(crate) const CHECKS_PER_NODE_MAX: usize = 8;
/// How long DNS may take to answer one question about a custom domain.
pub(crate) const DNS_TIMEOUT: Duration = Duration::from_secs(4);
/// How long somebody who asks for a proof waits for where the domain leads as well; the look goes on by itself later.
pub(crate) const DOMAIN_LOOK_PATIENCE: Duration = Duration::from_secs(3);
/// How often each name server is asked within that time.
pub(crate) const DNS_TRIES: usize = 2;
/// Values of DNS that are shown where none of them was expected.
pub(crate) const DNS_VALUES_SHOWN_MAX: usize = 3;
/// Characters of each of them.
pub(crate) const DNS_VALUE_CHARACTERS_MAX: usize = 80;
/// Proofs of domains that are asked of DNS at once; further ones wait.
pub(crate) const DOMAIN_PROOFS_MAX: usize = 32;
/// Domains that are looked at by themselves at once; further ones wait.
pub(crate) const DOMAIN_LOOKS_MAX: usize = 16;
/// Names of one domain that are looked up at once.
pub(crate) const DOMAIN_NAMES_AT_ONCE_MAX: usize = 8;
/// An answer of DNS that holds shorter is asked for again after this.
pub(crate) const DOMAIN_LOOK_WAIT_MIN: Duration = Duration::from_secs(5);
/// One that holds longer, after this.
pub(crate) const DOMAIN_LOOK_WAIT_MAX: Duration = Duration::from_secs(600);
/// A name that did not resolve is asked for again after this.
pub(crate) const DOMAIN_LOOK_FAILED_WAIT: Duration = Duration::from_secs(30);
/// Characters of what an agent says about its target.
pub(crate) const DETAIL_CHARACTERS_MAX: usize = 300;
/// Requests to the ingress that wait for it.
pub(crate) const COMMANDS_MAX: usize = 1_024;
/// Connections inside the overlay that wait to be served.
pub(crate) const DOOR_BACKLOG: usize = 256;
/// Connections of one node to control at once.
pub(crate) const CONTROL_CONNECTIONS_PER_NODE_MAX: usize = 64;
/// Connections of one stranger in the walled garden at once.
pub(crate) const GARDEN_CONNECTIONS_PER_PEER_MAX: usize = 4;
/// Connections to the API, and to `/metrics`, at once.
pub(crate) const TCP_DOOR_CONNECTIONS_MAX: usize = 1_024;
/// The same from one source: an IPv4 address, such as that of a proxy in front, or an IPv6 /64. This machine's own loopback address has no share.
pub(crate) const TCP_DOOR_CONNECTIONS_PER_SOURCE_MAX: usize = 128;
/// How long the overlay may take to answer a scrape.
pub(crate) const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// Open flows that are listed.
pub(crate) const FLOWS_LISTED_MAX: usize = 1_000;
