//! What is true now and never stored: states of publications, nodes, flows and certificates, what agents report, and what an agent learns of its relay.

mod step;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::Micros;

pub use step::{Step, StepName};

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

/// Why there is no certificate, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateProblem {
    /// Code that `bore explain` knows.
    pub code: String,
    /// What was tried and why it failed, in words.
    pub cause: String,
    /// What to do.
    pub remedy: String,
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
