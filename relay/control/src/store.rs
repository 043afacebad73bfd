//! What must survive, in SQLite or PostgreSQL, with the same migrations for both.
//!
//! Every method is one transaction; those that change something write their audit row in it. What a method acknowledged is committed,
//! and on disk once [`Store::settle`] has answered. Every look-up takes its network, so that a row of another tenant is simply not there.

mod acme_accounts;
mod api_keys;
mod audit;
mod audit_retention;
mod audit_verify;
mod certificate_orders;
mod certificates;
mod chain;
mod database;
mod domains;
mod failure;
mod group_sync;
mod groups;
mod hostnames;
mod join;
mod join_keys;
mod leases;
mod migrations;
mod networks;
mod nodes;
mod orders;
mod policies;
mod ports;
mod postgres;
mod publications;
mod rest;
mod sealed_columns;
mod sql;
mod sql_store;
mod sqlite;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bore_api::model::{
    Actor, ApiKey, AuditRow, Domain, Group, JoinKey, Micros, Network, Node, Policy, Publication,
};
use bore_api::{AuditPoint, utc_text};
use uuid::Uuid;

pub use audit_verify::AuditWalk;
pub use orders::{OrderClaim, OrderClaimed, OrderFailure};
pub use sql_store::{create, open};

pub use crate::audit_key::AuditKey;

use crate::certificate::{
    AcmeAccount, Certificate, CertificateOrder, RenewalWindow, StandingOrder,
};
use crate::sealing::{SealError, Sealed, Sealer};

/// The store of one cluster.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// `sqlite` or `postgresql`, for logs and `doctor`.
    fn kind(&self) -> &'static str;
    /// Waits until everything committed so far is on disk. Whoever tells anybody of a change waits for this first.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`]: the changes were made and may be lost. The next call tries again.
    async fn settle(&self) -> Result<(), StoreError>;
    /// Makes a change like any other, brings it to the disk, finds room for another one, and reads the first back: what this answers is what
    /// changes meet.
    async fn probe(&self, at: Micros) -> Result<(), StoreError>;

    /// Adds a network.
    async fn create_network(&self, network: &Network, by: &Actor) -> Result<(), StoreError>;
    /// All networks, by name.
    async fn networks(&self) -> Result<Vec<Network>, StoreError>;
    /// Removes a network with its keys, groups, policies and domains; `Conflict` while it has nodes. Its audit rows stay.
    async fn delete_network(&self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError>;

    /// Adds a join key with the SHA-256 of its secret; [`StoreError::MakerEnded`] when its maker holds no more.
    async fn create_join_key(
        &self,
        key: &JoinKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError>;
    /// Join keys of a network, newest first.
    async fn join_keys(&self, network: Uuid) -> Result<Vec<JoinKey>, StoreError>;
    /// Revokes a join key; its nodes stay. Revoking it again changes nothing.
    async fn revoke_join_key(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;
    /// Checks the secret (constant time) and the key, spends one use, leases an IPv4 address, adds the node, writes the audit row: one
    /// transaction. The same key id with the same public key gets the stored node again and spends nothing. A name that is taken or reserved
    /// gets a numbered suffix (`laptop-2`). A refusal writes nothing.
    async fn join(&self, request: &JoinRequest) -> Result<Node, JoinError>;
    /// Refuses what [`Store::join`] would refuse, at the cost of one read and without the writers' turn. Returns true if a new node would be made.
    async fn may_join(&self, request: &JoinRequest) -> Result<bool, JoinError>;
    /// Writes an audit row about refused joins. A key that is gone has none.
    async fn note_join_refusals(&self, refusals: &JoinRefusals) -> Result<(), StoreError>;

    /// Adds a node without a join key (a stock WireGuard client), leasing its address.
    async fn add_node(&self, node: &NewNode, by: &Actor) -> Result<Node, StoreError>;
    /// Nodes of a network, or of all, by name.
    async fn nodes(&self, network: Option<Uuid>) -> Result<Vec<Node>, StoreError>;
    /// Renames a node.
    async fn rename_node(
        &self,
        network: Uuid,
        id: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<Node, StoreError>;
    /// Removes a node and its publications; its IPv4 address rests for 30 days, an ephemeral node's for one.
    async fn delete_node(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds an API key with the SHA-256 of its secret; [`StoreError::MakerEnded`] when its maker holds no more.
    async fn create_api_key(
        &self,
        key: &ApiKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError>;
    /// Keys of a network, or the cluster's own for `None`.
    async fn api_keys(&self, network: Option<Uuid>) -> Result<Vec<ApiKey>, StoreError>;
    /// Ids of all keys that are neither revoked nor expired at `at`.
    async fn usable_api_keys(&self, at: Micros) -> Result<Vec<Uuid>, StoreError>;
    /// Key and secret hash by id, whatever its state: the caller compares and checks.
    async fn api_key(&self, id: Uuid) -> Result<Option<(ApiKey, [u8; 32])>, StoreError>;
    /// Revokes a key, and with `with_made` every join key and API key that it made, and those that these made.
    async fn revoke_api_key(
        &self,
        network: Option<Uuid>,
        id: Uuid,
        with_made: bool,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds a publication, or replaces the one of the same network, node and name (keeping its id, ports and hostnames unless the new one
    /// names others, and when it was made). `created_at` is now. Allocates the overlay port when `overlay_port` is 0. `Taken` names the holder of a port,
    /// hostname or name; a hostname that rests for another network is taken too, unless it lies below a domain that the
    /// network has proved. Quotas are the caller's.
    async fn put_publication(
        &self,
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError>;
    /// As [`Store::put_publication`], once the publications `gone` of the same network are removed.
    async fn replace_publications(
        &self,
        gone: &[Uuid],
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError>;
    /// Publications of a network, or of all, by name.
    async fn publications(&self, network: Option<Uuid>) -> Result<Vec<Publication>, StoreError>;
    /// Removes a publication.
    async fn delete_publication(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds a domain, or answers the one of the same network and name. `Taken` when the name, or one that it lies below, is another
    /// network's by proof, or rests for it.
    async fn add_domain(&self, domain: &Domain, by: &Actor) -> Result<Domain, StoreError>;
    /// Domains of a network, or of all, by name.
    async fn domains(&self, network: Option<Uuid>) -> Result<Vec<Domain>, StoreError>;
    /// Notes that a domain is proved; `Taken` as with [`Store::add_domain`]. Proving it again changes nothing.
    async fn verify_domain(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<Domain, StoreError>;
    /// Gives a domain back; one that was proved is refused to other networks for thirty days.
    async fn release_domain(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds a group.
    async fn create_group(&self, group: &Group, by: &Actor) -> Result<(), StoreError>;
    /// Groups of a network with their nodes.
    async fn groups(&self, network: Uuid) -> Result<Vec<Group>, StoreError>;
    /// Replaces the nodes of a group.
    async fn set_group_nodes(
        &self,
        network: Uuid,
        id: Uuid,
        nodes: &[Uuid],
        by: &Actor,
        at: Micros,
    ) -> Result<Group, StoreError>;
    /// Removes a group; join keys that name it lose it.
    async fn delete_group(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds (`expected_revision` 0) or replaces a policy; `Conflict` when the stored revision is another.
    async fn put_policy(
        &self,
        policy: &Policy,
        expected_revision: i64,
        by: &Actor,
    ) -> Result<Policy, StoreError>;
    /// Policies of a network, by name.
    async fn policies(&self, network: Uuid) -> Result<Vec<Policy>, StoreError>;
    /// Removes a policy.
    async fn delete_policy(
        &self,
        network: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError>;

    /// Adds a certificate in the place of the one that its subject has, and forgets the order that it came from.
    async fn put_certificate(
        &self,
        certificate: &Certificate,
        by: &Actor,
    ) -> Result<(), StoreError>;
    /// All certificates of all networks and of the cluster, by subject.
    async fn certificates(&self) -> Result<Vec<Certificate>, StoreError>;
    /// The certificate of a subject.
    async fn certificate(&self, subject: &str) -> Result<Option<Certificate>, StoreError>;
    /// Notes when the CA wants a certificate renewed.
    async fn set_renewal(&self, id: Uuid, window: &RenewalWindow) -> Result<(), StoreError>;
    /// Removes a certificate.
    async fn delete_certificate(&self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError>;

    /// Takes the order of a subject, of which one is in flight, also among several relays.
    async fn claim_order(&self, claim: &OrderClaim) -> Result<OrderClaimed, StoreError>;
    /// Keeps hold of the order `id` until `claim.until`, and notes how far it is; `Conflict` when another relay has taken it.
    async fn keep_order(
        &self,
        id: Uuid,
        claim: &OrderClaim,
        standing: Option<&StandingOrder>,
    ) -> Result<(), StoreError>;
    /// Lets go of an order that failed, and remembers why and when it is tried again.
    async fn fail_order(
        &self,
        id: Uuid,
        failure: &OrderFailure,
        by: &Actor,
    ) -> Result<(), StoreError>;
    /// All orders, by subject.
    async fn certificate_orders(&self) -> Result<Vec<CertificateOrder>, StoreError>;
    /// Forgets an order whose subject nobody wants any more.
    async fn delete_order(&self, id: Uuid) -> Result<(), StoreError>;

    /// The account of a directory; without credentials while the CA has not made one.
    async fn acme_account(&self, directory: &str, at: Micros) -> Result<AcmeAccount, StoreError>;
    /// Keeps the credentials of an account, and answers the account: the first ones that were kept stay.
    async fn keep_acme_account(
        &self,
        id: Uuid,
        credentials: &Sealed,
        by: &Actor,
        at: Micros,
    ) -> Result<AcmeAccount, StoreError>;
    /// Forgets an account that its CA does not know any more.
    async fn delete_acme_account(&self, id: Uuid, by: &Actor, at: Micros)
    -> Result<(), StoreError>;
    /// Notes that a CA does not want to be asked before `until`.
    async fn pause_acme_account(&self, id: Uuid, until: Micros) -> Result<(), StoreError>;

    /// Opens every sealed secret, and counts them; [`StoreError::Sealed`] names the first that another key sealed. Damaged ones are told in the log.
    async fn check_sealed(&self, sealer: &Sealer) -> Result<u64, StoreError>;
    /// Seals every secret anew with the current key of `sealer`, in one transaction, and counts them.
    async fn reseal(&self, sealer: &Sealer, by: &Actor, at: Micros) -> Result<u64, StoreError>;

    /// Rows after `after`, oldest first, at most `limit` (≤ 1,000), optionally of one network and containing `text`.
    async fn audit(
        &self,
        network: Option<Uuid>,
        text: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
    /// Writes a row about something that changes nothing in the store.
    async fn note(&self, event: &AuditEvent, by: &Actor) -> Result<(), StoreError>;
    /// Recomputes the chain, a bounded number of rows at a time.
    async fn verify_audit(&self, walk: &AuditWalk) -> Result<AuditVerdict, StoreError>;
    /// Removes rows from before `before`, a bounded number of the oldest ones, behind a signed checkpoint; returns how many.
    async fn trim_audit(&self, before: Micros, at: Micros) -> Result<usize, StoreError>;

    /// Forgets hostnames, domains and addresses that were given back thirty days before `at`, a bounded number of each, and returns how many. They rest
    /// until then, and only a clock that is known to be steady may say that they have.
    async fn end_rests(&self, at: Micros) -> Result<u64, StoreError>;

    /// Writes a consistent copy to a new file (SQLite); `Unsupported` elsewhere, naming the database's own tool.
    async fn backup(&self, to: &std::path::Path) -> Result<(), StoreError>;
}

/// What a joiner sends, checked for form.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Network named in the key.
    pub network: Uuid,
    /// Id of the key.
    pub key: Uuid,
    /// SHA-256 of the secret that the caller sent.
    pub secret_hash: [u8; 32],
    /// The caller's X25519 key, base64, as its tunnel proved it.
    pub public_key: String,
    /// Overlay IPv6 address derived from it.
    pub overlay_v6: std::net::Ipv6Addr,
    /// Wanted name, a DNS label.
    pub name: String,
    /// Names that no joiner gets.
    pub names_reserved: BTreeSet<String>,
    /// The node is ephemeral although its key does not ask for that.
    pub ephemeral: bool,
    /// Nodes that the network may have, this one included.
    pub nodes_max: usize,
    /// Overlay addresses that the network may have, this one and those at rest included.
    pub addresses_max: usize,
    /// Id for the node if it is new.
    pub node: Uuid,
    /// Now.
    pub at: Micros,
}

/// Something that happened to the relay itself.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// The network concerned; `None` for the cluster.
    pub network: Option<Uuid>,
    /// What, as `resource.verb`.
    pub action: &'static str,
    /// Which thing.
    pub subject: String,
    /// When.
    pub at: Micros,
}

impl AuditEvent {
    fn entry<'a>(&self, by: &'a Actor) -> audit::Entry<'a> {
        audit::Entry {
            network: self.network,
            at: self.at,
            by,
            action: self.action,
            subject: self.subject.clone(),
            detail: serde_json::json!({}),
        }
    }
}

/// Whether a database must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

/// Joins with one key that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefusals {
    /// Id of the key, whose secret was proved.
    pub key: Uuid,
    /// Why.
    pub why: String,
    /// The name that the last of the joiners wanted.
    pub name: String,
    /// The public key of the last of the joiners.
    pub public_key: String,
    /// How many joins.
    pub count: u64,
    /// When the last was refused.
    pub at: Micros,
}

/// A node that an administrator adds.
#[derive(Debug, Clone)]
pub struct NewNode {
    /// Its network.
    pub network: Uuid,
    /// Id.
    pub id: Uuid,
    /// Name, a DNS label; `Taken` if it is.
    pub name: String,
    /// What runs there.
    pub kind: bore_api::model::NodeKind,
    /// X25519 public key, base64.
    pub public_key: String,
    /// Overlay IPv6 address derived from it.
    pub overlay_v6: std::net::Ipv6Addr,
    /// Names of existing groups.
    pub groups: Vec<String>,
    /// Overlay addresses that the network may have, this one and those at rest included.
    pub addresses_max: usize,
    /// Now.
    pub at: Micros,
}

/// Why a joiner was refused. Which of these it was is told only to a caller that proved the secret.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No such key, or the secret is wrong: one answer for both.
    #[error("the join key is not valid")]
    Invalid,
    /// The secret is right, the network in the key is not the key's.
    #[error("the join key belongs to another network")]
    WrongNetwork,
    /// Past its time.
    #[error("the join key expired")]
    Expired,
    /// All uses are spent.
    #[error("the join key is spent")]
    Spent,
    /// Taken back.
    #[error("the join key was revoked")]
    Revoked,
    /// The public key is a node already, let in by another key.
    #[error("this machine is already node `{0}`")]
    AlreadyNode(String),
    /// The network has all the nodes that it may have.
    #[error("the quota is reached: at most {0} nodes in a network")]
    NodesExhausted(usize),
    /// Too many new nodes lately; said by the caller of the store.
    #[error("too many nodes have joined with this key, or this network, lately")]
    TooManyNew,
    /// No address left to lease.
    #[error("no overlay address is left in the relay's pool")]
    AddressesExhausted,
    /// The network has its share of the addresses.
    #[error(transparent)]
    ShareTaken(#[from] ShareTaken),
    /// The database.
    #[error("the store failed")]
    Store(#[source] StoreError),
}

impl JoinError {
    /// A name for the cause if the caller proved the key's secret; otherwise the refusal says nothing about the key.
    pub(crate) fn cause_of_key(&self) -> Option<&'static str> {
        match self {
            Self::Invalid | Self::Store(_) => None,
            Self::WrongNetwork => Some("wrong-network"),
            Self::Expired => Some("expired"),
            Self::Spent => Some("spent"),
            Self::Revoked => Some("revoked"),
            Self::AlreadyNode(_) => Some("already-node"),
            Self::NodesExhausted(_) => Some("nodes-exhausted"),
            Self::TooManyNew => Some("too-many-new"),
            Self::AddressesExhausted => Some("addresses-exhausted"),
            Self::ShareTaken(_) => Some("share-taken"),
        }
    }

    /// Returns true if the key holds and there is no room for another node.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        matches!(
            self,
            Self::NodesExhausted(_)
                | Self::TooManyNew
                | Self::AddressesExhausted
                | Self::ShareTaken(_)
        )
    }

    /// Returns true if the key opens nothing for anyone.
    pub(crate) fn is_of_dead_key(&self) -> bool {
        matches!(self, Self::Expired | Self::Spent | Self::Revoked)
    }
}

/// A network has as many overlay addresses as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the network has {most} overlay addresses, those of removed nodes included, and may have no more; {}", next_free(*free_at))]
pub struct ShareTaken {
    /// How many it may have.
    pub most: usize,
    /// When the first of those that rest has rested; `None` when none rests.
    pub free_at: Option<Micros>,
}

fn next_free(at: Option<Micros>) -> String {
    at.map_or_else(
        || "none of them is a removed node's".to_owned(),
        |at| format!("the next one is free at {}", utc_text(at)),
    )
}

/// Why a call on the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Not in this network.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Somebody has it.
    #[error("{what} {value} is taken by {holder}")]
    Taken {
        /// `port 7777/udp`-like class: `port`, `hostname`, `domain`, `name`, `public key`.
        what: &'static str,
        /// The wanted value.
        value: String,
        /// Publication, node or group that holds it, by name (`another network` when it is not the caller's).
        holder: String,
    },
    /// The state is not the one that the caller read.
    #[error("{0}")]
    Conflict(String),
    /// No overlay address is left to lease.
    #[error("no overlay address is left in the relay's pool")]
    AddressesExhausted,
    /// The network has its share of the addresses.
    #[error(transparent)]
    ShareTaken(#[from] ShareTaken),
    /// The API key that makes another key was revoked, or expired, since it was authenticated.
    #[error("the API key that asks was revoked or has expired; nothing was made")]
    MakerEnded,
    /// Not with this database.
    #[error("{0}")]
    Unsupported(String),
    /// No disk space: nothing was written.
    #[error("the disk is full; nothing was written")]
    DiskFull,
    /// The file, its disk or the server takes no writes.
    #[error("the database is read-only; nothing was written")]
    ReadOnly,
    /// The database was written by a newer version.
    #[error(
        "the database has schema {found}, this version of bore knows up to {known}: install the newer bore again"
    )]
    Newer {
        /// Schema found.
        found: i64,
        /// Newest schema known.
        known: i64,
    },
    /// There is no database, or an empty one.
    #[error(
        "there is no database, although this relay was set up before: its nodes, keys and publications are not here"
    )]
    Missing,
    /// The file is not a database, or damaged.
    #[error("the database is damaged: {0}; restore the last backup with `bore relay restore`")]
    Corrupt(String),
    /// A sealed secret does not open with the keys that are here. Nothing was changed.
    #[error("{what} {row} cannot be opened")]
    Sealed {
        /// What kind of secret.
        what: &'static str,
        /// Its row.
        row: Uuid,
        /// Why.
        source: SealError,
    },
    /// Another process holds the state folder.
    #[error("another relay uses this database")]
    Locked,
    /// Committed, but the disk did not confirm it.
    #[error(
        "the change was made, but the disk does not confirm it; it may be lost if the relay stops now"
    )]
    Unsettled(#[source] std::io::Error),
    /// The server went away while it committed.
    #[error("the database went away before it confirmed the change; it may have been made")]
    Unconfirmed(#[source] sqlx::Error),
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// What [`Store::verify_audit`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every row follows from the one before, and the last one is signed.
    Intact {
        /// How many rows this look went through.
        rows: i64,
        /// The last row.
        head: AuditPoint,
    },
    /// So far every row follows from the one before.
    Continues {
        /// How many rows this look went through.
        rows: i64,
        /// Where the next look goes on.
        last: AuditPoint,
    },
    /// The chain breaks here.
    Broken {
        /// First row that does not follow.
        sequence: i64,
        /// What is wrong with it.
        why: String,
    },
}

/// How a holder in another network is named.
pub(crate) const ANOTHER_NETWORK: &str = "another network";

/// The holder's name for a caller of the network `callers`.
fn holder(name: String, network: Uuid, callers: Uuid) -> String {
    if network == callers { name } else { ANOTHER_NETWORK.to_owned() }
}
