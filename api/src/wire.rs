//! What travels over the REST API besides the resources themselves; the relay writes it, agents and the command line read it.
//!
//! Requests refuse unknown fields, answers may grow. Nothing here holds a secret but the two answers that show one once, and
//! what a joiner says.

mod join;

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{
    ApiKey, DnsRecord, Domain, JoinKey, Lifetime, Micros, Network, Node, Protocol, Publication,
    PublicationOptions, Scope,
};
use crate::state::{NodeState, PublicationState, RelayInfo, Step};

pub use join::{JoinBody, JoinSecret};

/// What a node asks for when it publishes. The same node and name again is an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// Only with an API key: name or id of the WireGuard node that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// DNS label, unique in the network. Default: a readable one that stays the same for this node, protocol and target.
    #[serde(default)]
    pub name: Option<String>,
    /// What travels.
    pub protocol: Protocol,
    /// Exactly this public port.
    #[serde(default)]
    pub port: Option<u16>,
    /// This public port unless `port` or `any_port` says otherwise; refused when it is not free.
    #[serde(default)]
    pub preferred_port: Option<u16>,
    /// Any free port of the relay's range; an update keeps its own.
    #[serde(default)]
    pub any_port: bool,
    /// How many consecutive ports. Default 1.
    #[serde(default = "one")]
    pub port_count: u16,
    /// Labels under the relay's domain, whole hostnames there or under a verified domain, and below such a one wildcards of one level
    /// (`*.shop.example.com`). One can be given as text, also as `hostname`. Default: the name.
    #[serde(default, alias = "hostname", deserialize_with = "one_or_many")]
    pub hostnames: Vec<String>,
    /// What the agent dials, for people; with a WireGuard node the port on its overlay address.
    pub target: String,
    /// Who may visit. Default: anyone.
    #[serde(default)]
    pub access: AccessLists,
    /// How it is served.
    #[serde(flatten, serialize_with = "PublicationOptions::serialize_chosen")]
    pub options: PublicationOptions,
    /// How long it stays. Default `session`.
    #[serde(default = "session")]
    pub lifetime: Lifetime,
    /// Takes name, port and hostnames from another publication of this network.
    #[serde(default)]
    pub replace: bool,
}

/// Who may visit, as written: networks, `overlay`, `group:NAME`, `any`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLists {
    /// These and nobody else.
    pub allow: Vec<String>,
    /// Not these.
    pub deny: Vec<String>,
}

/// A publication with its live state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublicationView {
    /// What is stored.
    #[serde(flatten)]
    pub publication: Publication,
    /// What was proved.
    pub state: PublicationState,
    /// Where visitors reach it.
    pub public: String,
    /// Who may visit, in sentences.
    pub access_notes: Vec<String>,
}

/// A node with its live state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// What is stored.
    #[serde(flatten)]
    pub node: Node,
    /// Its tunnel.
    pub state: NodeState,
    /// The publish rules that name it: what they permit goes with the name, which no joiner gets.
    #[serde(default)]
    pub named_by: Vec<String>,
}

/// A network with the relay's addresses in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// What is stored.
    #[serde(flatten)]
    pub network: Network,
    /// The relay's overlay IPv4 address.
    #[schema(value_type = String)]
    pub relay_v4: Ipv4Addr,
    /// The relay's overlay IPv6 address in this network.
    #[schema(value_type = String)]
    pub relay_v6: Ipv6Addr,
}

/// The answer to a node that joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// The node.
    pub node: Node,
    /// Its network.
    pub network: Network,
    /// Its relay.
    pub relay: RelayInfo,
    /// The relay's overlay IPv4 address.
    #[schema(value_type = String)]
    pub relay_v4: Ipv4Addr,
    /// The relay's overlay IPv6 address in this network.
    #[schema(value_type = String)]
    pub relay_v6: Ipv6Addr,
    /// TCP port of this API there.
    pub control_port: u16,
}

/// What a node is to its relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SelfView {
    /// The node.
    pub node: Node,
    /// Its network.
    pub network: Network,
    /// Its relay.
    pub relay: RelayInfo,
}

/// An agent asks to speak for its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// Drawn when the agent starts.
    pub boot: Uuid,
    /// Ends another agent's session.
    #[serde(default)]
    pub takeover: bool,
    /// Version of the agent.
    pub version: String,
}

/// One line of the watch stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum WatchEvent {
    /// The first line.
    Hello {
        /// The relay.
        relay: RelayInfo,
    },
    /// All publications of this node; first after the hello and whenever they change.
    Publications {
        /// The whole list.
        publications: Vec<PublicationView>,
        /// What another node has taken from this one, as a rule lets it, until this node publishes it again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        displaced: Vec<Displaced>,
    },
    /// The network's rules changed.
    Policy {
        /// Grows with every change.
        revision: i64,
    },
    /// The relay takes no new flows.
    Draining,
    /// Another agent took over: this one stops.
    Replaced,
    /// Nothing happened for a while.
    Heartbeat,
    /// An event of a newer relay. It is read, never written.
    #[serde(other, skip_serializing)]
    Other,
}

/// A publication that had to give way to another node's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Displaced {
    /// Its name.
    pub name: String,
    /// To what, in words.
    pub cause: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// `after` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// A join key is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewJoinKey {
    /// For people.
    pub description: String,
    /// How many nodes may join. `null`: no limit.
    pub uses_max: Option<u32>,
    /// When it stops. `null`: never.
    pub expires_at: Option<Micros>,
    /// Groups that its nodes are put in.
    pub groups: Vec<String>,
    /// Whether its nodes are ephemeral.
    pub ephemeral: bool,
}

/// A join key and its text, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinKey {
    /// What is stored.
    pub item: JoinKey,
    /// `bore_join_…`
    pub key: String,
}

/// An API key is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewApiKey {
    /// For people.
    pub description: String,
    /// What it may do; nothing that its maker may not.
    pub scopes: Vec<Scope>,
    /// When it stops, not after the key that makes it. `null`: in 90 days, or with that key.
    pub expires_at: Option<Micros>,
}

/// An API key and its text, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// What is stored.
    pub item: ApiKey,
    /// `bore_api_…`
    pub key: String,
}

/// A stock WireGuard client is to be a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWireguardNode {
    /// DNS label, unique in the network.
    pub name: String,
    /// Its X25519 public key, base64.
    pub public_key: String,
    /// Existing groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A name is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// DNS label.
    pub name: String,
}

/// A custom domain is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Hostname; it stands for itself and every name below it.
    pub name: String,
}

/// A custom domain with what its DNS has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DomainView {
    /// What is stored.
    #[serde(flatten)]
    pub domain: Domain,
    /// Records of which one proves the domain; none where no proof is needed.
    pub proofs: Vec<DnsRecord>,
    /// Records that lead visitors here.
    pub visitors: Vec<DnsRecord>,
    /// Whether the names published under it lead here, as the relay saw it last.
    pub pointing: Option<Step>,
}

/// A group is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// DNS label, unique in the network.
    pub name: String,
    /// Names or ids of nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// The nodes of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupNodes {
    /// Names or ids of nodes; the whole list.
    pub nodes: Vec<String>,
}

/// A policy is to be added or replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDraft {
    /// The rules.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
    /// The revision that the writer read; 0 for a new policy.
    #[serde(default)]
    pub revision: i64,
}

/// A visit is to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// An address, or `node:NAME`.
    pub from: String,
    /// Name or id of a publication.
    pub to: String,
}

/// A visit, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// What was asked.
    pub question: String,
    /// The answer.
    pub allowed: bool,
    /// What made it.
    pub by: String,
    /// What was considered, in order.
    pub steps: Vec<ExplainedStep>,
}

/// One rule or list that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedStep {
    /// The rule or list.
    pub considered: String,
    /// Whether it fits.
    pub matched: bool,
    /// Why, or why not.
    pub because: String,
}

/// Whether the audit trail is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// Every row follows from the one before, so far as this answer goes; with `head` also that it is signed.
    pub intact: bool,
    /// How many rows this answer went through, when it is.
    pub rows: Option<i64>,
    /// The last row, as `SEQ:HASH`, when the trail is whole: keep it elsewhere, and expect it the next time.
    #[serde(default)]
    pub head: Option<String>,
    /// Where to go on: `after` of the next request. `null` at the end.
    #[serde(default)]
    pub next: Option<String>,
    /// First row that does not follow, when it is not.
    pub sequence: Option<i64>,
    /// What is wrong with it.
    pub why: Option<String>,
}

/// The relay is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`; anything else is a problem with status 503.
    pub status: String,
    /// `ok`.
    pub store: String,
    /// `sqlite` or `postgresql`.
    pub database: String,
    /// Version of the relay.
    pub version: String,
}

/// Reads a list of what is written as text; it may be one text, or `null` for none.
///
/// # Errors
/// For anything else.
pub fn one_or_many<'de, T, D>(json: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    let texts = match Option::<Texts>::deserialize(json)? {
        None => Vec::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::Many(texts)) => texts,
    };
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

fn one() -> u16 {
    1
}

fn session() -> Lifetime {
    Lifetime::Session
}

impl std::fmt::Debug for CreatedJoinKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedJoinKey").field("item", &self.item).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiKey").field("item", &self.item).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_newer_relay_is_not_an_error() {
        let event: WatchEvent = serde_json::from_str(r#"{"event":"confetti","n":3}"#).unwrap();
        assert_eq!(event, WatchEvent::Other);
    }
}
