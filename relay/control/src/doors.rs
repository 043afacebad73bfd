//! What the control room asks of the relay around it: five small doors, each with what one part of the relay does.
//!
//! Implemented in `relay/src`: publications/{ports,visits}.rs, tunnels.rs, facts.rs, naming.rs; tests have a small relay of their own.

use std::sync::Arc;

use async_trait::async_trait;
use bore_api::model::{DnsRecord, Domain, Node, Publication};
use bore_api::state::{
    CertificateState, FlowState, NodeState, ProbeOrder, ProbeReport, PublicationState, Step,
    TargetReport,
};
use uuid::Uuid;

/// The doors of one relay.
#[derive(Debug, Clone)]
pub struct Doors {
    /// Public addresses.
    pub ports: Arc<dyn Ports>,
    /// Tunnels.
    pub tunnels: Arc<dyn Tunnels>,
    /// What agents say of their publications.
    pub visits: Arc<dyn Visits>,
    /// What is true now.
    pub facts: Arc<dyn Facts>,
    /// Domains and certificates.
    pub naming: Arc<dyn Naming>,
}

/// Claims on public addresses.
#[async_trait]
pub trait Ports: Send + Sync + std::fmt::Debug {
    /// Binds the public side of a publication before it is stored, so that an acknowledged publication has its port. Idempotent; with
    /// another port or hostname than before it moves the claim of the same id.
    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError>;
    /// Undoes a claim whose publication was not stored, or is gone.
    async fn release(&self, publication: Uuid);
    /// A publication stays as the directory has it: what is true of it is found out anew.
    fn check(&self, publication: Uuid);
    /// Stops taking new flows.
    async fn drain(&self);
    /// Takes new flows again.
    async fn undrain(&self);
}

/// Tunnels of nodes.
#[async_trait]
pub trait Tunnels: Send + Sync + std::fmt::Debug {
    /// Gives a node its tunnel's rights at once, so that they hold before its joining is answered.
    async fn admit(&self, node: &Node);
    /// A second agent with `node`'s identity was refused, and its handshake has moved the tunnel: calls the first one back, and returns
    /// whether it answered.
    async fn call_back(&self, node: Uuid) -> bool;
    /// Facts about a node's tunnel; the agent's version is not among them.
    fn state(&self, node: Uuid) -> NodeState;
}

/// What agents say of their publications, and visits to them from outside.
pub trait Visits: Send + Sync + std::fmt::Debug {
    /// The agent says what its target does.
    fn report_target(&self, node: Uuid, publication: Uuid, report: TargetReport);
    /// Expects the agent's own visit from outside: returns the one-time token that ingress will recognise.
    fn expect_probe(&self, node: Uuid, publication: Uuid) -> Option<ProbeOrder>;
    /// The agent says how its visit from outside went.
    fn report_probe(&self, node: Uuid, publication: Uuid, report: ProbeReport);
    /// The agent that spoke for `node` has closed its watch: what it proved is in doubt.
    fn agent_left(&self, node: Uuid);
}

/// What is true of publications now.
pub trait Facts: Send + Sync + std::fmt::Debug {
    /// State of a publication, with the steps that proved it.
    fn publication_state(&self, id: Uuid) -> PublicationState;
    /// Where visitors reach it: `https://…`, `udp://host:7777`.
    fn public_address(&self, publication: &Publication) -> String;
    /// Open flows of a publication, newest first, at most 1,000.
    fn flows(&self, publication: Uuid) -> Vec<FlowState>;
}

/// DNS of custom domains, and certificates.
#[async_trait]
pub trait Naming: Send + Sync + std::fmt::Debug {
    /// Asks DNS whether one of these records stands; what else it says is in the detail.
    async fn prove_domain(&self, proofs: &[DnsRecord]) -> Step;
    /// Looks whether the names published under a verified domain lead here, now and from time to time.
    async fn look_at_domain(&self, domain: &Domain);
    /// What the last look found.
    fn domain_state(&self, domain: Uuid) -> Option<Step>;
    /// Records that lead visitors of `name` here.
    fn visitor_records(&self, name: &str) -> Vec<DnsRecord>;
    /// How the certificates are that the relay keeps, by name.
    fn certificates(&self) -> Vec<CertificateState>;
    /// Has the certificate of a name replaced, or a missing one tried again, at once; how it is, or `None` when none is wanted for the name.
    fn renew_certificate(&self, name: &str) -> Option<CertificateState>;
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
}
