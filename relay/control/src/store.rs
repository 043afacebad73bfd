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
mod sqlite;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bore_api::model::Micros;
use bore_api::{AuditPoint, utc_text};
use uuid::Uuid;

pub use acme_accounts::AcmeAccounts;
pub use api_keys::ApiKeys;
pub use audit::Audit;
pub use audit_verify::AuditWalk;
pub use certificate_orders::CertificateOrders;
pub use certificates::Certificates;
pub use domains::Domains;
pub use groups::Groups;
pub use join_keys::JoinKeys;
pub use networks::Networks;
pub use nodes::Nodes;
pub use orders::{OrderClaim, OrderClaimed, OrderFailure};
pub use policies::Policies;
pub use publications::Publications;
pub use sealed_columns::SealedSecrets;

pub use crate::audit_key::AuditKey;

use crate::event::Event;
use crate::sealing::SealError;
use database::{Database, Engine, Follower, read, write};
use sql::values;

/// Opens the store of `url` and brings it to the newest schema. `audit_key` signs the audit trail.
///
/// `sqlite:///var/lib/bore/bore.db` is a file; `sqlite://bore.db` one in `state_dir`; `postgres://…` a server.
///
/// # Errors
/// [`StoreError::Missing`] when there is nothing: a relay with keys and without its database must not start as an empty one.
/// [`StoreError::Newer`], [`StoreError::Corrupt`], [`StoreError::DiskFull`], [`StoreError::ReadOnly`] and [`StoreError::Locked`] by name;
/// [`StoreError::Unsupported`] for any other URL.
pub async fn open(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
) -> Result<Arc<Store>, StoreError> {
    open_or_create(url, state_dir, audit_key, Presence::Required).await
}

/// As [`open`], and makes the store where there is none.
///
/// # Errors
/// As [`open`], but for [`StoreError::Missing`].
pub async fn create(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
) -> Result<Arc<Store>, StoreError> {
    open_or_create(url, state_dir, audit_key, Presence::Optional).await
}

async fn open_or_create(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
    presence: Presence,
) -> Result<Arc<Store>, StoreError> {
    let (engine, found) = if let Some(file) = url.strip_prefix("sqlite://") {
        sqlite::open(&state_dir.join(file), presence).await?
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgres::open(url, presence).await?
    } else {
        let text = "the store's URL must begin with sqlite:// or postgres://".to_owned();
        return Err(StoreError::Unsupported(text));
    };
    let database = Database { engine, audit_key, followers: Mutex::default() };
    if found <= migrations::AUDIT_SIGNATURES {
        sign_audit_head(&database).await?;
        finish_schema(&database, url).await?;
    }
    Ok(Arc::new(Store { database }))
}

/// Only a schema from before signatures, or a new one, may have an unsigned head.
async fn sign_audit_head(database: &Database) -> Result<(), StoreError> {
    tracing::info!("the audit trail is signed from now on");
    write!(database, open => audit::sign_head(&mut open))?;
    database.settle().await
}

async fn finish_schema(database: &Database, url: &str) -> Result<(), StoreError> {
    match &database.engine {
        Engine::Sqlite { writer, .. } => sqlite::finish_schema(writer).await,
        Engine::Postgres { .. } => postgres::finish_schema(url).await,
    }
}

/// The store of one cluster: each of its tables has the methods that read and change it.
#[derive(Debug)]
pub struct Store {
    database: Database,
}

impl Store {
    /// `sqlite` or `postgresql`, for logs and `doctor`.
    pub fn kind(&self) -> &'static str {
        match self.database.engine {
            Engine::Sqlite { .. } => "sqlite",
            Engine::Postgres { .. } => "postgresql",
        }
    }

    /// Has `follow` hear of every event from now on until it returns false, before the call that made it returns. Changes that are made one after the
    /// other are heard in their order. It must not wait.
    pub fn follow(&self, follow: impl Fn(&Arc<Event>) -> bool + Send + Sync + 'static) {
        let followers = &self.database.followers;
        followers.lock().unwrap_or_else(PoisonError::into_inner).push(Follower(Box::new(follow)));
    }

    /// Waits until everything committed so far is on disk. Whoever tells anybody of a change waits for this first.
    ///
    /// # Errors
    /// [`StoreError::Unsettled`]: the changes were made and may be lost. The next call tries again.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.database.settle().await
    }

    /// Makes a change like any other, brings it to the disk, finds room for another one, and reads the first back: what this answers is what
    /// changes meet.
    pub async fn probe(&self, at: Micros) -> Result<(), StoreError> {
        let written: Result<u64, StoreError> =
            async { write!(self.database, open => open.execute(WRITE_PROBE, values![at])) }.await;
        written?;
        self.database.settle().await?;
        self.database.probe_room().await?;
        read!(self.database, open => open.one("SELECT at FROM write_probe WHERE id = 1", &[]))
            .map(|_: Option<_>| ())
    }

    /// Forgets hostnames, domains and addresses that were given back thirty days before `at`, a bounded number of each, and returns how many. They rest
    /// until then, and only a clock that is known to be steady may say that they have.
    pub async fn end_rests(&self, at: Micros) -> Result<u64, StoreError> {
        write!(self.database, open => rest::end(&mut open, at))
    }

    /// Writes a consistent copy to a new file (SQLite); `Unsupported` elsewhere, naming the database's own tool.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        match &self.database.engine {
            Engine::Sqlite { readers, .. } => sqlite::backup(readers, to).await,
            Engine::Postgres { .. } => {
                let text = "PostgreSQL is backed up with its own tool: pg_dump".to_owned();
                Err(StoreError::Unsupported(text))
            }
        }
    }

    /// The table of networks.
    pub fn networks(&self) -> Networks<'_> {
        Networks(&self.database)
    }

    /// The table of join keys.
    pub fn join_keys(&self) -> JoinKeys<'_> {
        JoinKeys(&self.database)
    }

    /// The table of nodes.
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes(&self.database)
    }

    /// The table of API keys.
    pub fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys(&self.database)
    }

    /// The table of publications.
    pub fn publications(&self) -> Publications<'_> {
        Publications(&self.database)
    }

    /// The table of custom domains.
    pub fn domains(&self) -> Domains<'_> {
        Domains(&self.database)
    }

    /// The table of groups.
    pub fn groups(&self) -> Groups<'_> {
        Groups(&self.database)
    }

    /// The table of policies.
    pub fn policies(&self) -> Policies<'_> {
        Policies(&self.database)
    }

    /// The table of certificates.
    pub fn certificates(&self) -> Certificates<'_> {
        Certificates(&self.database)
    }

    /// The table of certificate orders.
    pub fn certificate_orders(&self) -> CertificateOrders<'_> {
        CertificateOrders(&self.database)
    }

    /// The table of accounts at CAs.
    pub fn acme_accounts(&self) -> AcmeAccounts<'_> {
        AcmeAccounts(&self.database)
    }

    /// The sealed secrets of all tables.
    pub fn sealed_secrets(&self) -> SealedSecrets<'_> {
        SealedSecrets(&self.database)
    }

    /// The audit trail.
    pub fn audit(&self) -> Audit<'_> {
        Audit(&self.database)
    }
}

const WRITE_PROBE: &str = "UPDATE write_probe SET at = $1 WHERE id = 1";
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

/// What [`Audit::verify`] found.
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
