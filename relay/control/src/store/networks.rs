//! Networks: the tenants.

use bore_api::model::{Actor, Micros, Network};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{Row, Transaction, values};
use super::{StoreError, domains};
use crate::event::{Change, Event, Subject};

/// The table of networks.
#[derive(Debug, Clone, Copy)]
pub struct Networks<'a>(pub(super) &'a Database);

impl Networks<'_> {
    /// Adds a network.
    pub async fn create(self, network: &Network, by: &Actor) -> Result<(), StoreError> {
        write!(self.0, open => create(&mut open, network, by))
    }

    /// All networks, by name.
    pub async fn list(self) -> Result<Vec<Network>, StoreError> {
        read!(self.0, open => list(&mut open))
    }

    /// Removes a network with its keys, groups, policies and domains; `Conflict` while it has nodes. Its audit rows stay.
    pub async fn delete(self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, id, by, at))
    }
}

/// Adds a network.
async fn create(open: &mut Transaction, network: &Network, by: &Actor) -> Result<(), StoreError> {
    refuse_taken_name(open, &network.name).await?;
    open.execute(
        "INSERT INTO networks (id, name, created_at) VALUES ($1, $2, $3)",
        values![network.id, &network.name, network.created_at],
    )
    .await?;
    let event = Event {
        network: Some(network.id),
        at: network.created_at,
        actor: by.clone(),
        subject: Subject::Network(Change::came(network.clone())),
    };
    audit::append(open, event).await
}

/// All networks, by name.
async fn list(open: &mut Transaction) -> Result<Vec<Network>, StoreError> {
    let rows = open.all("SELECT id, name, created_at FROM networks ORDER BY name", &[]).await?;
    rows.iter().map(network).collect()
}

/// Removes a network that has no nodes, with its keys, groups, policies and domains. Its audit rows stay.
async fn delete(
    open: &mut Transaction,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let gone = require(open, id).await?;
    refuse_nodes(open, id, &gone.name).await?;
    domains::release_all(open, id, at).await?;
    open.execute("DELETE FROM networks WHERE id = $1", values![id]).await?;
    let event = Event {
        network: Some(id),
        at,
        actor: by.clone(),
        subject: Subject::Network(Change::went(gone)),
    };
    audit::append(open, event).await
}

/// A network that must exist.
pub(super) async fn require(open: &mut Transaction, id: Uuid) -> Result<Network, StoreError> {
    let find = "SELECT id, name, created_at FROM networks WHERE id = $1";
    network(&open.one(find, values![id]).await?.ok_or(StoreError::NotFound("network"))?)
}

async fn refuse_taken_name(open: &mut Transaction, name: &str) -> Result<(), StoreError> {
    match open.one("SELECT id FROM networks WHERE name = $1", values![name]).await? {
        None => Ok(()),
        Some(_) => Err(StoreError::Taken {
            what: "name",
            value: name.to_owned(),
            holder: super::ANOTHER_NETWORK.to_owned(),
        }),
    }
}

async fn refuse_nodes(open: &mut Transaction, id: Uuid, name: &str) -> Result<(), StoreError> {
    let count = "SELECT COUNT(*) AS nodes FROM nodes WHERE network = $1";
    let nodes: i64 = open.one(count, values![id]).await?.map_or(Ok(0), |row| row.get("nodes"))?;
    if nodes == 0 {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("network {name} has {nodes} nodes; remove them first")))
}

fn network(row: &Row) -> Result<Network, StoreError> {
    Ok(Network { id: row.get("id")?, name: row.get("name")?, created_at: row.get("created_at")? })
}
