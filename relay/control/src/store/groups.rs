//! Groups: named sets of a network's nodes.

use std::collections::{BTreeSet, HashMap};

use bore_api::model::{Actor, Group, Micros};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{Row, Transaction, values};
use super::{StoreError, networks};
use crate::event::{Change, Event, Subject};

/// The table of groups.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a>(pub(super) &'a Database);

impl Groups<'_> {
    /// Adds a group.
    pub async fn create(self, group: &Group, by: &Actor) -> Result<(), StoreError> {
        write!(self.0, open => create(&mut open, group, by))
    }

    /// Groups of a network with their nodes.
    pub async fn list(self, network: Uuid) -> Result<Vec<Group>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Replaces the nodes of a group.
    pub async fn set_nodes(
        self,
        network: Uuid,
        id: Uuid,
        nodes: &[Uuid],
        by: &Actor,
        at: Micros,
    ) -> Result<Group, StoreError> {
        write!(self.0, open => set_nodes(&mut open, network, id, nodes, by, at))
    }

    /// Removes a group; join keys that name it lose it.
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

/// Adds a group.
async fn create(open: &mut Transaction, group: &Group, by: &Actor) -> Result<(), StoreError> {
    networks::require(open, group.network).await?;
    if id_of(open, group.network, &group.name).await?.is_some() {
        return Err(StoreError::Taken {
            what: "name",
            value: group.name.clone(),
            holder: group.name.clone(),
        });
    }
    open.execute(
        "INSERT INTO node_groups (id, network, name, created_at) VALUES ($1, $2, $3, $4)",
        values![group.id, group.network, &group.name, group.created_at],
    )
    .await?;
    let nodes = insert_nodes(open, group.network, group.id, &group.nodes).await?;
    let change = Change::came(Group { nodes, ..group.clone() });
    append(open, change, by, group.created_at).await
}

/// Groups of a network with their nodes, by name.
async fn list(open: &mut Transaction, network: Uuid) -> Result<Vec<Group>, StoreError> {
    let groups =
        "SELECT id, network, name, created_at FROM node_groups WHERE network = $1 ORDER BY name";
    let groups = open.all(groups, values![network]).await?;
    let members = "SELECT m.group_id, m.node FROM group_nodes m JOIN node_groups g ON g.id = m.group_id \
                   WHERE g.network = $1 ORDER BY m.node";
    let mut nodes: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for row in open.all(members, values![network]).await? {
        nodes.entry(row.get("group_id")?).or_default().push(row.get("node")?);
    }
    groups.iter().map(|row| group(row, &mut nodes)).collect()
}

/// Replaces the nodes of a group.
async fn set_nodes(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    nodes: &[Uuid],
    by: &Actor,
    at: Micros,
) -> Result<Group, StoreError> {
    let found = require(open, network, id).await?;
    open.execute("DELETE FROM group_nodes WHERE group_id = $1", values![id]).await?;
    let nodes = insert_nodes(open, network, id, nodes).await?;
    let filled = Group { nodes, ..found.clone() };
    append(open, Change::became(Some(found), filled.clone()), by, at).await?;
    Ok(filled)
}

/// Removes a group; join keys lose it too.
async fn delete(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let found = require(open, network, id).await?;
    open.execute("DELETE FROM node_groups WHERE id = $1", values![id]).await?;
    append(open, Change::went(found), by, at).await
}

/// The ids of groups that must exist, without doubles.
pub(super) async fn require_all(
    open: &mut Transaction,
    network: Uuid,
    names: &[String],
) -> Result<Vec<Uuid>, StoreError> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names.iter().collect::<BTreeSet<_>>() {
        ids.push(id_of(open, network, name).await?.ok_or(StoreError::NotFound("group"))?);
    }
    Ok(ids)
}

/// Puts a node into groups of its network.
pub(super) async fn add_node(
    open: &mut Transaction,
    groups: &[Uuid],
    node: Uuid,
) -> Result<(), StoreError> {
    for group in groups {
        open.execute(INSERT_NODE, values![*group, node]).await?;
    }
    Ok(())
}

async fn id_of(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<Option<Uuid>, StoreError> {
    let find = "SELECT id FROM node_groups WHERE network = $1 AND name = $2";
    open.one(find, values![network, name]).await?.map(|row| row.get("id")).transpose()
}

async fn require(open: &mut Transaction, network: Uuid, id: Uuid) -> Result<Group, StoreError> {
    let find =
        "SELECT id, network, name, created_at FROM node_groups WHERE network = $1 AND id = $2";
    let row = open.one(find, values![network, id]).await?.ok_or(StoreError::NotFound("group"))?;
    let members = "SELECT node FROM group_nodes WHERE group_id = $1 ORDER BY node";
    let nodes = open.all(members, values![id]).await?;
    let nodes = nodes.iter().map(|row| row.get("node")).collect::<Result<_, _>>()?;
    group(&row, &mut HashMap::from([(id, nodes)]))
}

/// Adds nodes of the same network, without doubles, and tells which.
async fn insert_nodes(
    open: &mut Transaction,
    network: Uuid,
    group: Uuid,
    nodes: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let nodes: Vec<Uuid> = nodes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    for node in &nodes {
        let find = "SELECT id FROM nodes WHERE network = $1 AND id = $2";
        open.one(find, values![network, *node]).await?.ok_or(StoreError::NotFound("node"))?;
        open.execute(INSERT_NODE, values![group, *node]).await?;
    }
    Ok(nodes)
}

fn group(row: &Row, nodes: &mut HashMap<Uuid, Vec<Uuid>>) -> Result<Group, StoreError> {
    let id = row.get("id")?;
    Ok(Group {
        id,
        network: row.get("network")?,
        name: row.get("name")?,
        nodes: nodes.remove(&id).unwrap_or_default(),
        created_at: row.get("created_at")?,
    })
}

async fn append(
    open: &mut Transaction,
    change: Change<Group>,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let network = Some(change.newest().network);
    let subject = Subject::Group(change);
    audit::append(open, Event { network, at, actor: by.clone(), subject }).await
}

const INSERT_NODE: &str = "INSERT INTO group_nodes (group_id, node) VALUES ($1, $2)";
