//! What the control room asks of the relay around it: live facts, and the claim on a public address.
//!
//! The relay implements [`Runtime`]; tests use a small one of their own.

use std::net::SocketAddrV4;

use async_trait::async_trait;
use bore_api::model::{DnsRecord, Domain, Micros, Node, Publication};
use bore_api::state::{
    CertificateState, FlowState, NodeState, ProbeOrder, ProbeReport, PublicationState, RelayInfo,
    Step, TargetReport,
};
use uuid::Uuid;

/// Live facts that only the running relay has.
#[async_trait]
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// Gives a node its tunnel's rights at once, so that they hold before its joining is answered.
    async fn admit(&self, node: &Node);
    /// Binds the public side of a publication before it is stored, so that an acknowledged publication has its port. Idempotent; with
    /// another port or hostname than before it moves the claim of the same id.
    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError>;
    /// Undoes a claim whose publication was not stored.
    async fn release(&self, publication: Uuid);
    /// Ports that "any free port" is taken from.
    fn public_ports(&self) -> std::ops::RangeInclusive<u16>;
    /// Ports that a node may have without a publish rule.
    fn open_ports(&self) -> std::ops::RangeInclusive<u16>;
    /// State of a publication, with the steps that proved it.
    fn publication_state(&self, id: Uuid) -> PublicationState;
    /// Where visitors reach it: `https://…`, `udp://host:7777`.
    fn public_address(&self, publication: &Publication) -> String;
    /// The wall clock, in the store's unit.
    fn now(&self) -> Micros;
    /// Asks DNS whether one of these records stands; what else it says is in the detail.
    async fn prove_domain(&self, proofs: &[DnsRecord]) -> Step;
    /// Looks whether the names published under a verified domain lead here, now and from time to time.
    async fn look_at_domain(&self, domain: &Domain);
    /// What the last look found.
    fn domain_state(&self, domain: Uuid) -> Option<Step>;
    /// Records that lead visitors of `name` here.
    fn visitor_records(&self, name: &str) -> Vec<DnsRecord>;
    /// Domain under which generated hostnames live.
    fn domain(&self) -> Option<String>;
    /// Facts about a node's tunnel.
    fn node_state(&self, id: Uuid) -> NodeState;
    /// Open flows, newest first, at most 1,000.
    fn flows(&self, publication: Option<Uuid>) -> Vec<FlowState>;
    /// The agent says what its target does.
    fn report_target(&self, node: Uuid, publication: Uuid, report: TargetReport);
    /// Expects the agent's own visit from outside: returns the one-time token that ingress will recognise.
    fn expect_probe(&self, node: Uuid, publication: Uuid) -> Option<ProbeOrder>;
    /// The agent says how its visit from outside went.
    fn report_probe(&self, node: Uuid, publication: Uuid, report: ProbeReport);
    /// The agent that spoke for `node` has closed its watch: what it proved is in doubt.
    fn agent_left(&self, node: Uuid);
    /// A second agent with `node`'s identity was refused, and its handshake has moved the tunnel: calls the first one back, and returns
    /// whether it answered.
    async fn call_back_agent(&self, node: Uuid) -> bool;
    /// The text of a join key: addresses of the relay, the cluster's key and this secret.
    fn encode_join_key(&self, network: Uuid, key: Uuid, secret: &[u8; 20]) -> String;
    /// Where the relay serves the API inside every network, by IPv4.
    fn control_inside(&self) -> SocketAddrV4;
    /// The overlay IPv6 address of a public key in a network; `None` when the text is not a key.
    fn overlay_v6(&self, network: Uuid, public_key: &str) -> Option<std::net::Ipv6Addr>;
    /// How the certificates are that the relay keeps, by name.
    fn certificates(&self) -> Vec<CertificateState>;
    /// Has the certificate of a name replaced, or a missing one tried again, at once; how it is, or `None` when none is wanted for the name.
    fn renew_certificate(&self, name: &str) -> Option<CertificateState>;
    /// Names the relay to agents.
    fn relay_info(&self) -> RelayInfo;
    /// Stops taking new flows and tells agents.
    async fn drain(&self);
    /// Takes new flows again.
    async fn undrain(&self);
}

/// Why a public address cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClaimError {
    /// A process that is not bore listens there.
    #[error("port {port}/{protocol} is used by another program on the relay")]
    PortInUse {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
    },
    /// The kernel refused.
    #[error("port {port}/{protocol} cannot be opened on the relay: {cause}")]
    Refused {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// The kernel's words.
        cause: String,
    },
    /// A limit of the relay.
    #[error("{0}")]
    Limit(String),
    /// The relay takes nothing new, because it leaves.
    #[error("the relay is {0}")]
    Leaving(&'static str),
    /// The relay takes nothing yet.
    #[error("the relay is still starting")]
    Starting,
}
