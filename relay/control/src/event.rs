//! Something that happened: when, by whom, to what, with what was before and is after.
//!
//! One value for all who hear of it: the audit trail writes it in the transaction of the change, and once that is committed the [`crate::Directory`]
//! takes it in and the data path hears of it. Nothing in it is secret.

use bore_api::model::{
    Actor, ApiKey, Domain, Group, JoinKey, Micros, Network, Node, Policy, Publication,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::certificate::Certificate;

/// Something that happened, and that the store has.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Micros,
    /// The network concerned; `None` for the cluster.
    pub network: Option<Uuid>,
    /// Who did it.
    pub actor: Actor,
    /// What it happened to.
    pub subject: Subject,
}

/// What something happened to.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A network came or went.
    Network(Change<Network>),
    /// A node came, went or was renamed.
    Node(NodeChange),
    /// Joins with one key were refused.
    RefusedJoins(RefusedJoins),
    /// A join key was made or revoked.
    JoinKey(Change<JoinKey>),
    /// An API key was made or revoked.
    ApiKey(Change<ApiKey>),
    /// A publication came, went or was changed.
    Publication(Change<Publication>),
    /// A policy was stored or removed.
    Policy(Change<Policy>),
    /// A group came, went or got other nodes.
    Group(Change<Group>),
    /// A custom domain was asked for, proved or given back.
    Domain(Change<Domain>),
    /// A certificate came or went.
    Certificate(Change<IssuedCertificate>),
    /// An order of a certificate failed, and needs a person.
    FailedOrder(FailedOrder),
    /// An account at a CA came or went.
    AcmeAccount(Change<AcmeAccountName>),
    /// The secrets of the store were sealed with another key.
    SealingKey(Resealed),
    /// Old rows left the audit trail.
    AuditTrail(Trimmed),
    /// An administrator did something that changes nothing in the store.
    Act {
        /// What, as `resource.verb`.
        action: &'static str,
        /// To which thing.
        subject: String,
    },
}

/// What was before, and what is after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// It is new.
    Came(Box<T>),
    /// It is another than before.
    Became {
        /// What it was.
        before: Box<T>,
        /// What it is.
        after: Box<T>,
    },
    /// It is gone.
    Went(Box<T>),
}

/// A change of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeChange {
    /// The node.
    pub change: Change<Node>,
    /// The publications that went with it, by name.
    pub publications: Vec<GonePublication>,
    /// The name that a joiner asked for, if it got another one.
    pub wanted_name: Option<String>,
}

/// A publication that went with its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GonePublication {
    /// Identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// Joins with one key that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedJoins {
    /// The name that the last of the joiners wanted.
    pub name: String,
    /// Why.
    pub why: String,
    /// The public key of the last of the joiners.
    pub public_key: String,
    /// How many joins.
    pub count: u64,
}

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Every name that it is for; the first is its subject.
    pub names: Vec<String>,
    /// Who issued it, for people.
    pub issuer: String,
    /// When it ends.
    pub not_after: Micros,
}

/// An order that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedOrder {
    /// The name that a certificate was ordered for.
    pub subject: String,
    /// Which problem.
    pub code: String,
    /// What happened.
    pub cause: String,
}

/// An account at a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeAccountName {
    /// Identity.
    pub id: Uuid,
    /// URL of the directory of the CA.
    pub directory: String,
}

/// A change of the key that secrets are sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// Id of the key that they are sealed with now.
    pub key: String,
    /// How many secrets.
    pub secrets: u64,
    /// How many were damaged, and are forgotten.
    pub forgotten: u64,
}

/// Rows that left the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// The last of them.
    pub last: String,
    /// How many.
    pub rows: usize,
}

impl<T> Change<T> {
    pub(crate) fn came(after: T) -> Self {
        Self::Came(Box::new(after))
    }

    pub(crate) fn went(before: T) -> Self {
        Self::Went(Box::new(before))
    }

    /// New where there was nothing before.
    pub(crate) fn became(before: Option<T>, after: T) -> Self {
        match before {
            Some(before) => Self::Became { before: Box::new(before), after: Box::new(after) },
            None => Self::came(after),
        }
    }

    /// What it was; `None` for what is new.
    pub fn before(&self) -> Option<&T> {
        match self {
            Self::Came(_) => None,
            Self::Became { before, .. } | Self::Went(before) => Some(before),
        }
    }

    /// What it is; `None` for what is gone.
    pub fn after(&self) -> Option<&T> {
        match self {
            Self::Came(after) | Self::Became { after, .. } => Some(after),
            Self::Went(_) => None,
        }
    }

    /// What it is, or was last.
    pub fn newest(&self) -> &T {
        match self {
            Self::Came(newest) | Self::Became { after: newest, .. } | Self::Went(newest) => newest,
        }
    }

    /// One of three words, by what happened.
    fn verb(&self, came: &'static str, became: &'static str, went: &'static str) -> &'static str {
        match self {
            Self::Came(_) => came,
            Self::Became { .. } => became,
            Self::Went(_) => went,
        }
    }
}

impl From<Change<Node>> for Subject {
    fn from(change: Change<Node>) -> Self {
        Self::Node(NodeChange { change, publications: Vec::new(), wanted_name: None })
    }
}

impl From<&Certificate> for IssuedCertificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            names: certificate.names.clone(),
            issuer: certificate.issuer.clone(),
            not_after: certificate.not_after,
        }
    }
}

/// What the audit trail keeps of an event beside time, network and actor.
#[derive(Debug, PartialEq)]
pub(crate) struct AuditText {
    /// What, as `resource.verb`.
    pub(crate) action: &'static str,
    /// Which thing: its id or name.
    pub(crate) subject: String,
    /// More, as an object.
    pub(crate) detail: Json,
}

impl AuditText {
    fn new(action: &'static str, subject: impl ToString, detail: Json) -> Self {
        Self { action, subject: subject.to_string(), detail }
    }
}

impl Subject {
    /// In the words of the audit trail.
    pub(crate) fn audit_text(&self) -> AuditText {
        match self {
            Self::Network(change) => network(change),
            Self::Node(change) => node(change),
            Self::RefusedJoins(refused) => AuditText::new(
                "node.join_refused",
                &refused.name,
                json!({
                    "why": refused.why,
                    "public_key": refused.public_key,
                    "count": refused.count,
                }),
            ),
            Self::JoinKey(change) => join_key(change),
            Self::ApiKey(change) => api_key(change),
            Self::Publication(change) => publication(change),
            Self::Policy(change) => policy(change),
            Self::Group(change) => group(change),
            Self::Domain(change) => domain(change),
            Self::Certificate(change) => certificate(change),
            Self::FailedOrder(failed) => AuditText::new(
                "certificate.fail",
                &failed.subject,
                json!({ "code": failed.code, "cause": failed.cause }),
            ),
            Self::AcmeAccount(change) => acme_account(change),
            Self::SealingKey(resealed) => AuditText::new(
                "sealing-key.rotate",
                &resealed.key,
                json!({ "secrets": resealed.secrets, "forgotten": resealed.forgotten }),
            ),
            Self::AuditTrail(trimmed) => {
                AuditText::new("audit.trim", &trimmed.last, json!({ "rows": trimmed.rows }))
            }
            Self::Act { action, subject } => AuditText::new(action, subject, json!({})),
        }
    }
}

fn network(change: &Change<Network>) -> AuditText {
    let network = change.newest();
    let action = change.verb("network.create", "network.rename", "network.delete");
    AuditText::new(action, network.id, json!({ "name": network.name }))
}

fn node(NodeChange { change, publications, wanted_name }: &NodeChange) -> AuditText {
    let node = change.newest();
    let detail = match change {
        Change::Came(node) => new_node(node, wanted_name.as_deref()),
        Change::Became { before, after } => json!({ "name": after.name, "was": before.name }),
        Change::Went(node) => {
            let names: Vec<&str> = publications.iter().map(|gone| gone.name.as_str()).collect();
            json!({ "name": node.name, "publications": names })
        }
    };
    let came = if node.join_key.is_some() { "node.join" } else { "node.add" };
    AuditText::new(change.verb(came, "node.rename", "node.delete"), node.id, detail)
}

fn new_node(node: &Node, wanted_name: Option<&str>) -> Json {
    let mut detail = json!({
        "name": node.name,
        "kind": node.kind,
        "public_key": node.public_key,
        "overlay_v4": node.overlay_v4,
        "overlay_v6": node.overlay_v6,
        "groups": node.groups,
        "ephemeral": node.ephemeral,
    });
    if let (Some(detail), Some(wanted)) = (detail.as_object_mut(), wanted_name) {
        detail.insert("wanted_name".to_owned(), json!(wanted));
    }
    detail
}

fn join_key(change: &Change<JoinKey>) -> AuditText {
    let key = change.newest();
    let detail = match change {
        Change::Came(_) => json!({
            "description": key.description,
            "uses_max": key.uses_max,
            "expires_at": key.expires_at,
            "groups": key.groups,
            "ephemeral": key.ephemeral,
        }),
        Change::Became { .. } | Change::Went(_) => {
            json!({ "description": key.description, "uses": key.uses })
        }
    };
    let action = change.verb("join-key.create", "join-key.revoke", "join-key.delete");
    AuditText::new(action, key.id, detail)
}

fn api_key(change: &Change<ApiKey>) -> AuditText {
    let key = change.newest();
    let detail = match change {
        Change::Came(_) => json!({
            "description": key.description,
            "scopes": key.scopes,
            "expires_at": key.expires_at,
        }),
        Change::Became { .. } | Change::Went(_) => json!({ "description": key.description }),
    };
    let action = change.verb("api-key.create", "api-key.revoke", "api-key.delete");
    AuditText::new(action, key.id, detail)
}

fn publication(change: &Change<Publication>) -> AuditText {
    let publication = change.newest();
    let action = change.verb("publication.create", "publication.replace", "publication.delete");
    let fields = json!({
        "name": publication.name,
        "node": publication.node,
        "protocol": publication.protocol,
        "public_port": publication.public_port,
        "port_count": publication.port_count,
        "hostnames": publication.hostnames,
        "target": publication.target,
        "access": publication.access,
        "lifetime": publication.lifetime,
    });
    AuditText::new(action, publication.id, publication.options.beside(fields))
}

fn policy(change: &Change<Policy>) -> AuditText {
    let policy = change.newest();
    let detail = match change {
        Change::Went(_) => json!({ "revision": policy.revision }),
        Change::Came(_) | Change::Became { .. } => {
            json!({ "revision": policy.revision, "document": policy.document })
        }
    };
    let action = change.verb("policy.put", "policy.put", "policy.delete");
    AuditText::new(action, &policy.name, detail)
}

fn group(change: &Change<Group>) -> AuditText {
    let group = change.newest();
    let detail = match change {
        Change::Went(_) => json!({ "name": group.name }),
        Change::Came(_) | Change::Became { .. } => {
            json!({ "name": group.name, "nodes": group.nodes })
        }
    };
    let action = change.verb("group.create", "group.set_nodes", "group.delete");
    AuditText::new(action, group.id, detail)
}

fn domain(change: &Change<Domain>) -> AuditText {
    let domain = change.newest();
    let detail = json!({ "name": domain.name, "verified": domain.verified_at.is_some() });
    let action = change.verb("domain.create", "domain.verify", "domain.delete");
    AuditText::new(action, domain.id, detail)
}

fn certificate(change: &Change<IssuedCertificate>) -> AuditText {
    let certificate = change.newest();
    let subject = certificate.names.first().cloned().unwrap_or_default();
    let (names, not_after) = (&certificate.names, certificate.not_after);
    let detail = match change {
        Change::Went(_) => json!({ "names": names, "not_after": not_after }),
        Change::Came(_) | Change::Became { .. } => {
            json!({ "names": names, "issuer": certificate.issuer, "not_after": not_after })
        }
    };
    let action = change.verb("certificate.issue", "certificate.issue", "certificate.delete");
    AuditText::new(action, subject, detail)
}

fn acme_account(change: &Change<AcmeAccountName>) -> AuditText {
    let account = change.newest();
    let action = change.verb("acme-account.create", "acme-account.replace", "acme-account.delete");
    AuditText::new(action, account.id, json!({ "directory": account.directory }))
}
