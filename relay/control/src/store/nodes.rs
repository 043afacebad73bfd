//! Nodes: added, listed, renamed, removed. How an agent adds itself is in `join`.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use bore_api::model::{Actor, Micros, Node, NodeKind};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use super::{NewNode, StoreError, groups, hostnames, leases, networks};
use crate::event::{Change, Event, GonePublication, NodeChange, Subject};

/// The table of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Nodes<'a>(pub(super) &'a Database);

impl Nodes<'_> {
    /// Adds a node without a join key (a stock WireGuard client), leasing its address.
    pub async fn add(self, node: &NewNode, by: &Actor) -> Result<Node, StoreError> {
        write!(self.0, open => add(&mut open, node, by))
    }

    /// Nodes of a network, or of all, by name.
    pub async fn list(self, network: Option<Uuid>) -> Result<Vec<Node>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Renames a node.
    pub async fn rename(
        self,
        network: Uuid,
        id: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<Node, StoreError> {
        write!(self.0, open => rename(&mut open, network, id, name, by, at))
    }

    /// Removes a node and its publications; its IPv4 address rests for 30 days, an ephemeral node's for one.
    pub async fn delete(
        self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, network, id, by, at))
    }
}

/// Adds a node without a join key.
async fn add(open: &mut Transaction, new: &NewNode, by: &Actor) -> Result<Node, StoreError> {
    networks::require(open, new.network).await?;
    let groups = groups::require_all(open, new.network, &new.groups).await?;
    refuse_taken_name(open, new.network, &new.name).await?;
    refuse_known_key(open, new.network, &new.public_key).await?;
    if let Some(taken) = leases::share_taken(open, new.network, new.addresses_max).await? {
        return Err(taken.into());
    }
    let address = leases::take(open, new.network, new.id).await?;
    let node = Node {
        id: new.id,
        network: new.network,
        name: new.name.clone(),
        kind: new.kind,
        public_key: new.public_key.clone(),
        overlay_v4: address.ok_or(StoreError::AddressesExhausted)?,
        overlay_v6: new.overlay_v6,
        groups: sorted(&new.groups),
        ephemeral: false,
        join_key: None,
        created_at: new.at,
    };
    insert(open, &node, &groups).await?;
    append(open, changed(Change::came(node.clone())), by, new.at).await?;
    Ok(node)
}

/// Nodes of a network, or of all, by name.
async fn list(open: &mut Transaction, network: Option<Uuid>) -> Result<Vec<Node>, StoreError> {
    let (rows, members) = match network {
        Some(network) => (
            open.all(SELECT_OF_NETWORK, values![network]).await?,
            open.all(GROUPS_OF_NETWORK, values![network]).await?,
        ),
        None => (open.all(SELECT_ALL, &[]).await?, open.all(GROUPS_OF_ALL, &[]).await?),
    };
    let mut groups: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in &members {
        groups.entry(row.get("node")?).or_default().push(row.get("name")?);
    }
    rows.iter().map(|row| node(row, &mut groups)).collect()
}

/// Renames a node.
async fn rename(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    name: &str,
    by: &Actor,
    at: Micros,
) -> Result<Node, StoreError> {
    let old = require(open, network, id).await?;
    if old.name == name {
        return Ok(old);
    }
    refuse_taken_name(open, network, name).await?;
    open.execute("UPDATE nodes SET name = $1 WHERE id = $2", values![name, id]).await?;
    let renamed = Node { name: name.to_owned(), ..old.clone() };
    append(open, changed(Change::became(Some(old), renamed.clone())), by, at).await?;
    Ok(renamed)
}

/// Removes a node and its publications; its address and its hostnames rest.
async fn delete(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let gone = require(open, network, id).await?;
    let names = "SELECT id, name FROM publications WHERE node = $1 ORDER BY name";
    let rows = open.all(names, values![id]).await?;
    let publications =
        rows.iter().map(|row| Ok(GonePublication { id: row.get("id")?, name: row.get("name")? }));
    let publications = publications.collect::<Result<_, StoreError>>()?;
    leases::release(open, &gone, at).await?;
    hostnames::rest_of_node(open, network, id, at).await?;
    open.execute("DELETE FROM nodes WHERE id = $1", values![id]).await?;
    let change = NodeChange { change: Change::went(gone), publications, wanted_name: None };
    append(open, change, by, at).await
}

/// How many nodes a network has.
pub(super) async fn count(open: &mut Transaction, network: Uuid) -> Result<usize, StoreError> {
    let count = "SELECT COUNT(*) AS nodes FROM nodes WHERE network = $1";
    let row = open.one(count, values![network]).await?;
    let nodes: i64 = row.map_or(Ok(0), |row| row.get("nodes"))?;
    Ok(usize::try_from(nodes).unwrap_or(usize::MAX))
}

/// A node that must be in this network.
pub(super) async fn require(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
) -> Result<Node, StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    let found = with_groups(open, row).await?;
    found.filter(|node| node.network == network).ok_or(StoreError::NotFound("node"))
}

/// The node with this public key, in whichever network.
pub(super) async fn by_public_key(
    open: &mut Transaction,
    public_key: &str,
) -> Result<Option<Node>, StoreError> {
    let row = open.one(SELECT_BY_KEY, values![public_key]).await?;
    with_groups(open, row).await
}

/// Stores a node and its memberships.
pub(super) async fn insert(
    open: &mut Transaction,
    node: &Node,
    groups: &[Uuid],
) -> Result<(), StoreError> {
    open.execute(
        "INSERT INTO nodes (id, network, name, kind, public_key, overlay_v4, overlay_v6, ephemeral, join_key, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        values![
            node.id,
            node.network,
            &node.name,
            kind_text(node.kind),
            &node.public_key,
            node.overlay_v4.to_bits(),
            &node.overlay_v6.octets(),
            node.ephemeral,
            node.join_key,
            node.created_at,
        ],
    )
    .await?;
    groups::add_node(open, groups, node.id).await
}

fn changed(change: Change<Node>) -> NodeChange {
    NodeChange { change, publications: Vec::new(), wanted_name: None }
}

/// Writes the audit row of a change of a node.
pub(super) async fn append(
    open: &mut Transaction,
    change: NodeChange,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let network = Some(change.change.newest().network);
    let subject = Subject::Node(change);
    audit::append(open, Event { network, at, actor: by.clone(), subject }).await
}

/// Whether a node of the network has this name.
pub(super) async fn has_name(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<bool, StoreError> {
    let find = "SELECT id FROM nodes WHERE network = $1 AND name = $2";
    Ok(open.one(find, values![network, name]).await?.is_some())
}

/// Names of the network's nodes that begin so.
pub(super) async fn names_beginning_with(
    open: &mut Transaction,
    network: Uuid,
    beginning: &str,
) -> Result<HashSet<String>, StoreError> {
    let pattern = format!("{}%", sql::escaped(beginning));
    let find = "SELECT name FROM nodes WHERE network = $1 AND name LIKE $2 ESCAPE '!'";
    let rows = open.all(find, values![network, pattern.as_str()]).await?;
    rows.iter().map(|row| row.get("name")).collect()
}

async fn refuse_taken_name(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<(), StoreError> {
    if !has_name(open, network, name).await? {
        return Ok(());
    }
    Err(StoreError::Taken { what: "name", value: name.to_owned(), holder: name.to_owned() })
}

async fn refuse_known_key(
    open: &mut Transaction,
    network: Uuid,
    public_key: &str,
) -> Result<(), StoreError> {
    match by_public_key(open, public_key).await? {
        None => Ok(()),
        Some(node) => Err(StoreError::Taken {
            what: "public key",
            value: public_key.to_owned(),
            holder: super::holder(node.name, node.network, network),
        }),
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

async fn with_groups(open: &mut Transaction, row: Option<Row>) -> Result<Option<Node>, StoreError> {
    let Some(row) = row else {
        return Ok(None);
    };
    let id: Uuid = row.get("id")?;
    let rows = open.all(GROUPS_OF_NODE, values![id]).await?;
    let names = rows.iter().map(|row| row.get("name")).collect::<Result<_, _>>()?;
    node(&row, &mut HashMap::from([(id, names)])).map(Some)
}

fn node(row: &Row, groups: &mut HashMap<Uuid, Vec<String>>) -> Result<Node, StoreError> {
    let id = row.get("id")?;
    Ok(Node {
        id,
        network: row.get("network")?,
        name: row.get("name")?,
        kind: kind(row)?,
        public_key: row.get("public_key")?,
        overlay_v4: Ipv4Addr::from_bits(row.number("overlay_v4")?),
        overlay_v6: Ipv6Addr::from(row.bytes::<16>("overlay_v6")?),
        groups: groups.remove(&id).unwrap_or_default(),
        ephemeral: row.get("ephemeral")?,
        join_key: row.get("join_key")?,
        created_at: row.get("created_at")?,
    })
}

fn kind_text(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Agent => "agent",
        NodeKind::Wireguard => "wireguard",
    }
}

fn kind(row: &Row) -> Result<NodeKind, StoreError> {
    let text: String = row.get("kind")?;
    [NodeKind::Agent, NodeKind::Wireguard]
        .into_iter()
        .find(|kind| kind_text(*kind) == text)
        .ok_or_else(|| StoreError::Corrupt(format!("node kind {text}")))
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, name, kind, public_key, overlay_v4, overlay_v6, ephemeral, join_key, ",
            "created_at FROM nodes ",
            $tail
        )
    };
}
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_BY_KEY: &str = select!("WHERE public_key = $1");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY name");
const SELECT_ALL: &str = select!("ORDER BY name, id");

macro_rules! select_groups {
    ($condition:literal) => {
        concat!(
            "SELECT m.node, g.name FROM group_nodes m JOIN node_groups g ON g.id = m.group_id ",
            $condition,
            " ORDER BY g.name"
        )
    };
}
const GROUPS_OF_NODE: &str = select_groups!("WHERE m.node = $1");
const GROUPS_OF_NETWORK: &str = select_groups!("WHERE g.network = $1");
const GROUPS_OF_ALL: &str = select_groups!("");
