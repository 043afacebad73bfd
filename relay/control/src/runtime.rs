//! What the control room asks of the relay around it: live facts, and the claim on a public address.
//!
//! The relay implements [`Runtime`]; tests use a small one of their own.

use std::net::SocketAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{CertificateProblem, DnsRecord, Domain, Micros, Publication};

/// Live facts that only the running relay has.
#[async_trait]
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// Gives a node its tunnel's rights at once, so that they hold before its joining is answered.
    async fn admit(&self, node: &crate::model::Node);
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
}

/// `offline` → `down` → `reachable` → `live`, each only when proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No agent.
    Offline,
    /// The agent cannot reach the target.
    Down,
    /// The relay has gone through the tunnel to the target.
    Reachable,
    /// The agent has reached the public address from its own network.
    Live,
    /// Declared on the agent and refused by the relay, as when another node has its name. Only the agent shows this.
    Refused,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// `tunnel`, `target`, `dns`, `port`, `certificate`, `edge`, `itself`.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// Why not, or what was seen, in words.
    pub detail: String,
}

/// A state and how it was proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicationState {
    /// The state.
    pub state: State,
    /// Why it is not better; for `live`, what of the target was not proved, as `service silent` or `target not checked`.
    pub cause: Option<String>,
    /// What was tried, in order.
    pub steps: Vec<Step>,
    /// When it was last proved.
    pub at: Micros,
    /// A certificate for one of its hostnames is on its way: visitors will come by HTTPS soon, at another address than now.
    #[serde(default)]
    pub awaits_certificate: bool,
}

/// A node's tunnel as the relay sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeState {
    /// Whether authenticated data arrived within the last three minutes and the tunnel has a session.
    pub online: bool,
    /// Where its datagrams come from.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
    /// Seconds since authenticated data arrived.
    pub last_received_seconds: Option<u64>,
    /// Bytes from it.
    pub received_bytes: u64,
    /// Bytes to it.
    pub sent_bytes: u64,
    /// Version of its agent.
    pub version: Option<String>,
}

/// One visitor's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowState {
    /// Counts up while the relay runs.
    pub id: u64,
    /// The publication.
    pub publication: Uuid,
    /// The visitor.
    #[schema(value_type = String)]
    pub visitor: SocketAddr,
    /// When it was opened.
    pub opened_at: Micros,
    /// Bytes from the visitor.
    pub received_bytes: u64,
    /// Bytes to the visitor.
    pub sent_bytes: u64,
}

/// A certificate that is wanted or there. Never its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateState {
    /// What it is for: hostnames, `*.` wildcards, addresses.
    pub names: Vec<String>,
    /// The network whose hostname it is; `null` for the relay's own names.
    pub network: Option<Uuid>,
    /// How it is.
    pub status: CertificateStatus,
    /// Who issued it.
    pub issuer: Option<String>,
    /// When it expires.
    pub not_after: Option<Micros>,
    /// When the next one is ordered; `null` when nobody wants one any more.
    pub next_try_at: Option<Micros>,
    /// Why the last try failed, and what to do.
    pub problem: Option<CertificateProblem>,
}

/// How a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificateStatus {
    /// There is one, and visitors get it. A `problem` beside it is about its renewal.
    Valid,
    /// There is none; one is being ordered.
    Ordering,
    /// There is none, and the last try failed.
    Failing,
    /// There is none yet; its turn comes.
    Waiting,
    /// There was one, and it has expired.
    Expired,
}

/// What an agent says about its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetReport {
    /// Whether visitors are led to the target.
    pub ok: bool,
    /// What was measured and how, or why it cannot be reached.
    pub detail: String,
    /// What was not proved of the target, in few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The relay expects this visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeOrder {
    /// 32 hexadecimal characters; the first bytes that the visit sends (or the path under `/.well-known/bore/`).
    pub token: String,
    /// How long the relay waits for it.
    pub expires_in_ms: u64,
    /// Where visitors reach the publication, one address for each hostname; a wildcard's has its `*`. One visit goes to one of them.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// How the agent's visit went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeReport {
    /// Steps in order: dns, port, certificate, edge, itself.
    pub steps: Vec<Step>,
}

/// What an agent needs to know of its relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayInfo {
    /// Public host name or address.
    pub host: String,
    /// UDP port of the overlay.
    pub overlay_port: u16,
    /// The relay's X25519 key, base64.
    pub public_key: String,
    /// Version of bore.
    pub version: String,
    /// Whether it is draining.
    pub draining: bool,
    /// The port that all `http` publications share, as visitors reach it.
    #[serde(default = "http")]
    pub http_port: u16,
    /// The port of HTTPS and of `tls` publications, as visitors reach it.
    #[serde(default = "https")]
    pub https_port: u16,
}

fn http() -> u16 {
    80
}

fn https() -> u16 {
    443
}
