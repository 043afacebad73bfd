//! The resources: the same words in the store, in the API and on the command line.
//!
//! Ids are UUIDv7, times integer microseconds since the Unix epoch ([`Micros`]). Every row belongs to a network, or to the
//! cluster. Nothing here holds a secret that is not sealed: secrets are shown once, by the call that makes them.

mod health;
mod options;
mod published_host;
mod web;

use std::net::{Ipv4Addr, Ipv6Addr};

use bore_policy::{Access, PolicyDocument};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

pub use health::{HealthCheck, HealthError, HealthInterval, HealthOptions};
pub use options::{LimitOptions, PublicationOptions};
pub use published_host::PublishedHost;
pub use web::{TlsVersion, TlsVersionError, WebOptions};

/// Microseconds since the Unix epoch.
pub type Micros = i64;

/// The id that `text` writes out in full (RFC 9562 section 4, 36 characters). Such a text is never looked up as a name: nodes choose their names, and one
/// could choose another's id.
pub fn parse_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == Hyphenated::LENGTH)
}

/// A tenant: nodes, publications, policies and groups belong to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Identity.
    pub id: Uuid,
    /// DNS label, unique in the cluster.
    pub name: String,
    /// When it was made.
    pub created_at: Micros,
}

/// How a node speaks to its relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// `bore join`: publishes, watches, answers probes.
    Agent,
    /// A stock WireGuard client: has addresses, nothing more.
    Wireguard,
}

/// A member of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Identity; stays when the key changes.
    pub id: Uuid,
    /// The network it belongs to.
    pub network: Uuid,
    /// DNS label, unique in the network.
    pub name: String,
    /// What runs there.
    pub kind: NodeKind,
    /// X25519 public key, base64.
    pub public_key: String,
    /// Leased overlay IPv4 address, not reused for 30 days after removal, an ephemeral node's for one.
    #[schema(value_type = String)]
    pub overlay_v4: Ipv4Addr,
    /// Overlay IPv6 address, derived from network and first key.
    #[schema(value_type = String)]
    pub overlay_v6: Ipv6Addr,
    /// Names of the groups that it is in.
    pub groups: Vec<String>,
    /// Removed by the relay once it has been away for a while.
    pub ephemeral: bool,
    /// The join key that let it in; `None` when an administrator added it.
    pub join_key: Option<Uuid>,
    /// When it joined.
    pub created_at: Micros,
}

/// A secret that lets nodes join, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinKey {
    /// Identity; part of the key's text.
    pub id: Uuid,
    /// The network that it opens.
    pub network: Uuid,
    /// For people.
    pub description: String,
    /// How many nodes may join; `None` is no limit.
    pub uses_max: Option<u32>,
    /// How many have.
    pub uses: u32,
    /// After this it opens nothing; `None` never expires.
    pub expires_at: Option<Micros>,
    /// Groups that its nodes are put in.
    pub groups: Vec<String>,
    /// Whether its nodes are ephemeral.
    pub ephemeral: bool,
    /// The API key that made it; `null` for the relay itself. It does not outlive that key.
    #[serde(default)]
    pub maker: Option<Uuid>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

/// What an API key may do. Write includes read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub enum Scope {
    /// Everything, in every network: the cluster's administrator.
    #[serde(rename = "admin")]
    Admin,
    /// Read everything of the network but its audit trail.
    #[serde(rename = "read")]
    Read,
    /// Nodes.
    #[serde(rename = "nodes:write")]
    NodesWrite,
    /// Join keys and API keys.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Publications.
    #[serde(rename = "publications:write")]
    PublicationsWrite,
    /// Custom domains.
    #[serde(rename = "domains:write")]
    DomainsWrite,
    /// Groups and policies.
    #[serde(rename = "policies:write")]
    PoliciesWrite,
    /// The audit trail.
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl Scope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::NodesWrite => "nodes:write",
            Self::KeysWrite => "keys:write",
            Self::PublicationsWrite => "publications:write",
            Self::DomainsWrite => "domains:write",
            Self::PoliciesWrite => "policies:write",
            Self::AuditRead => "audit:read",
        }
    }
}

/// A key of an automation, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Identity; part of the key's text.
    pub id: Uuid,
    /// The only network that it sees; `None` for the cluster's own keys.
    pub network: Option<Uuid>,
    /// For people.
    pub description: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// After this it opens nothing. Every key expires.
    pub expires_at: Micros,
    /// The API key that made it; `null` for the relay itself. It may no more than that key, and does not outlive it.
    #[serde(default)]
    pub maker: Option<Uuid>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

/// What travels through a publication.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A public TCP port, or a range.
    Tcp,
    /// A public UDP port, or a range.
    Udp,
    /// Hostnames on the shared HTTPS port, routed by SNI and passed through: the target terminates TLS itself.
    Tls,
    /// Hostnames on the shared HTTP port.
    Http,
}

impl From<Protocol> for bore_policy::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Tls => Self::Tls,
            Protocol::Http => Self::Http,
        }
    }
}

impl Protocol {
    /// True when visitors name a port; false when they name a host.
    pub fn has_port(self) -> bool {
        bore_policy::Protocol::from(self).has_port()
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        bore_policy::Protocol::from(*self).fmt(f)
    }
}

/// How long a publication stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// Until the agent that opened it takes it back, or has been away for a day.
    Session,
    /// Until somebody removes it.
    Persistent,
}

/// Public (protocol, port or hostname) → node and overlay port, and who may visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Publication {
    /// Identity.
    pub id: Uuid,
    /// The network that it belongs to.
    pub network: Uuid,
    /// The node that serves it.
    pub node: Uuid,
    /// DNS label, unique in the network.
    pub name: String,
    /// What travels.
    pub protocol: Protocol,
    /// First public port (tcp, udp).
    pub public_port: Option<u16>,
    /// How many consecutive ports; 1 unless it is a range.
    pub port_count: u16,
    /// Public hostnames and one-level wildcards (`*.shop.example.com`), canonical, in the order that was asked for (tls, http); or alone the
    /// address of a relay that has no name.
    #[serde(default, alias = "hostname", deserialize_with = "crate::wire::one_or_many")]
    #[schema(value_type = Vec<String>)]
    pub hostnames: Vec<PublishedHost>,
    /// First port on the node's overlay address; a range maps to a range.
    pub overlay_port: u16,
    /// What the agent said it dials. For people: the agent dials only what was declared on it.
    pub target: String,
    /// Who may visit.
    #[schema(value_type = Object)]
    pub access: Access,
    /// How it is served.
    #[serde(flatten)]
    pub options: PublicationOptions,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// When it was made.
    pub created_at: Micros,
}

/// A domain of a network's own, beside what the relay's domain gives. It stands for itself and every name below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Domain {
    /// Identity.
    pub id: Uuid,
    /// The network that it belongs to once it is proved.
    pub network: Uuid,
    /// Hostname, canonical.
    pub name: String,
    /// When it was asked for.
    pub created_at: Micros,
    /// When DNS proved it; until then nothing is published under it.
    pub verified_at: Option<Micros>,
}

/// One record of somebody's DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsRecord {
    /// Owner name, without a trailing dot.
    pub name: String,
    /// `TXT`, `CNAME`, `A` or `AAAA`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its data, unquoted.
    pub value: String,
}

/// As a zone file has it.
impl std::fmt::Display for DnsRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, kind, value } = self;
        match kind.as_str() {
            "TXT" => write!(f, "{name}. {kind} \"{value}\""),
            "CNAME" => write!(f, "{name}. {kind} {value}."),
            _ => write!(f, "{name}. {kind} {value}"),
        }
    }
}

/// A named set of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Identity.
    pub id: Uuid,
    /// The network that it belongs to.
    pub network: Uuid,
    /// DNS label, unique in the network.
    pub name: String,
    /// Nodes in it.
    pub nodes: Vec<Uuid>,
    /// When it was made.
    pub created_at: Micros,
}

/// A stored policy document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Identity.
    pub id: Uuid,
    /// The network that it governs.
    pub network: Uuid,
    /// DNS label, unique in the network.
    pub name: String,
    /// Counts changes, from 1; a writer names the one that it read.
    pub revision: i64,
    /// The rules.
    #[schema(value_type = Object)]
    pub document: PolicyDocument,
    /// Last change.
    pub updated_at: Micros,
}

/// Who did something, as the audit trail names it: `node:UUID`, `key:UUID`, `system`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A node, by its tunnel.
    Node(Uuid),
    /// An API key.
    ApiKey(Uuid),
    /// A join key, at the moment of joining.
    JoinKey(Uuid),
    /// The relay's own housekeeping, or its local administrator at the relay's command line.
    System,
}

/// One line of the audit trail. `hash` covers all other fields and `previous_hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// Counts from 1 without a gap.
    pub sequence: i64,
    /// The network concerned; `None` for the cluster.
    pub network: Option<Uuid>,
    /// When.
    pub at: Micros,
    /// Who, as text.
    pub actor: String,
    /// What, as `resource.verb`: `node.join`, `publication.create`.
    pub action: String,
    /// Which thing: its id or name.
    pub subject: String,
    /// More, as a JSON object. Never a secret.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Hash of the row before, hexadecimal; zeros for the first.
    pub previous_hash: String,
    /// SHA-256 over the canonical form of this row and `previous_hash`, hexadecimal.
    pub hash: String,
}
