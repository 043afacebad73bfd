//! Publications: put, listed, removed. Who holds which port is in `ports`, which hostname in `hostnames`.

use bore_api::model::{
    Actor, Lifetime, Micros, NodeKind, Protocol, Publication, PublicationOptions, PublishedHost,
};
use serde::Deserialize;
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::ports::{self, protocol_text};
use super::sql::{self, Row, Transaction, values};
use super::{StoreError, hostnames, nodes};
use crate::event::{Change, Event, Subject};

/// The table of publications.
#[derive(Debug, Clone, Copy)]
pub struct Publications<'a>(pub(super) &'a Database);

impl Publications<'_> {
    /// Adds a publication, or replaces the one of the same network, node and name (keeping its id, ports and hostnames unless the new one
    /// names others, and when it was made). `created_at` is now. Allocates the overlay port when `overlay_port` is 0. `Taken` names the holder of a port,
    /// hostname or name; a hostname that rests for another network is taken too, unless it lies below a domain that the
    /// network has proved. Quotas are the caller's.
    pub async fn put(
        self,
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError> {
        write!(self.0, open => put(&mut open, publication, by))
    }

    /// As [`Self::put`], once the publications `gone` of the same network are removed.
    pub async fn replace(
        self,
        gone: &[Uuid],
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError> {
        write!(self.0, open => replace(&mut open, gone, publication, by))
    }

    /// Publications of a network, or of all, by name.
    pub async fn list(self, network: Option<Uuid>) -> Result<Vec<Publication>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Removes a publication.
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

/// Adds a publication, or replaces the one of the same network, node and name, and answers what is stored.
async fn put(
    open: &mut Transaction,
    wanted: &Publication,
    by: &Actor,
) -> Result<Publication, StoreError> {
    let node = nodes::require(open, wanted.network, wanted.node).await?;
    let stored = find(open, wanted.network, &wanted.name).await?;
    refuse_other_node(open, stored.as_ref(), wanted).await?;

    let mut publication = merged(wanted, stored.as_ref());
    ports::refuse_taken(open, &publication).await?;
    hostnames::refuse_taken(open, &publication).await?;
    hostnames::refuse_resting(open, &publication).await?;
    publication.overlay_port = overlay_port(open, &publication, node.kind).await?;
    store(open, &publication).await?;
    ports::hold(open, &publication).await?;
    hostnames::hold(open, &publication).await?;
    if let Some(stored) = &stored {
        let is_left = |name: &&PublishedHost| !publication.hostnames.contains(name);
        let left: Vec<PublishedHost> = stored.hostnames.iter().filter(is_left).cloned().collect();
        hostnames::rest(open, stored, &left, wanted.created_at).await?;
    }

    let change = Change::became(stored, publication.clone());
    append(open, change, by, wanted.created_at).await?;
    Ok(publication)
}

/// Removes the publications `gone`, and puts another one.
async fn replace(
    open: &mut Transaction,
    gone: &[Uuid],
    wanted: &Publication,
    by: &Actor,
) -> Result<Publication, StoreError> {
    for id in gone {
        delete(open, wanted.network, *id, by, wanted.created_at).await?;
    }
    put(open, wanted, by).await
}

/// Publications of a network, or of all, by name.
async fn list(
    open: &mut Transaction,
    network: Option<Uuid>,
) -> Result<Vec<Publication>, StoreError> {
    let rows = match network {
        Some(network) => open.all(SELECT_OF_NETWORK, values![network]).await?,
        None => open.all(SELECT_ALL, &[]).await?,
    };
    let mut hostnames = hostnames::by_publication(open, network).await?;
    let listed = rows.iter().map(|row| {
        let stored = publication(row)?;
        let hostnames = hostnames.remove(&stored.id).unwrap_or_default();
        Ok(Publication { hostnames, ..stored })
    });
    listed.collect()
}

/// Removes a publication.
async fn delete(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let row = open.one(SELECT_ONE, values![network, id]).await?;
    let gone = complete(open, row).await?.ok_or(StoreError::NotFound("publication"))?;
    open.execute("DELETE FROM publications WHERE id = $1", values![id]).await?;
    hostnames::rest(open, &gone, &gone.hostnames, at).await?;
    append(open, Change::went(gone), by, at).await
}

/// What `wanted` becomes when it replaces `stored`: identity stays, and so do ports and hostnames that it leaves open.
fn merged(wanted: &Publication, stored: Option<&Publication>) -> Publication {
    let mut publication = wanted.clone();
    if let Some(stored) = stored {
        publication.id = stored.id;
        publication.created_at = stored.created_at;
        publication.public_port = wanted.public_port.or(stored.public_port);
        if wanted.hostnames.is_empty() {
            publication.hostnames.clone_from(&stored.hostnames);
        }
        if wanted.overlay_port == 0 && wanted.port_count <= stored.port_count {
            publication.overlay_port = stored.overlay_port;
        }
    }
    if publication.protocol.has_port() {
        publication.hostnames.clear();
    } else {
        publication.public_port = None;
    }
    publication
}

async fn refuse_other_node(
    open: &mut Transaction,
    stored: Option<&Publication>,
    wanted: &Publication,
) -> Result<(), StoreError> {
    let Some(stored) = stored.filter(|stored| stored.node != wanted.node) else {
        return Ok(());
    };
    let holder = nodes::require(open, stored.network, stored.node).await?.name;
    Err(StoreError::Taken { what: "name", value: wanted.name.clone(), holder })
}

/// The overlay port to store. A stock WireGuard node names its own, which several publications may share; on an agent each has
/// its own, since the agent tells publications apart by it.
async fn overlay_port(
    open: &mut Transaction,
    publication: &Publication,
    kind: NodeKind,
) -> Result<u16, StoreError> {
    let used = ports::used_on_node(open, publication.node, publication.id).await?;
    if publication.overlay_port == 0 {
        return ports::free_run(&used, publication.port_count);
    }
    let (first, last) = ports::range(publication.overlay_port, publication.port_count)?;
    let overlaps = used.iter().any(|(from, to)| *from <= last && first <= *to);
    if kind == NodeKind::Agent && overlaps {
        return Err(StoreError::Conflict(format!("overlay port {first} is in use on the node")));
    }
    Ok(first)
}

async fn store(open: &mut Transaction, publication: &Publication) -> Result<(), StoreError> {
    let access = sql::to_json(&publication.access)?;
    let options = sql::to_json(&publication.options)?;
    open.execute(
        "INSERT INTO publications (id, network, node, name, protocol, public_port, port_count, overlay_port, \
         target, access, lifetime, created_at, options) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (network, name) DO UPDATE SET protocol = $5, public_port = $6, port_count = $7, \
         overlay_port = $8, target = $9, access = $10, lifetime = $11, options = $13",
        values![
            publication.id,
            publication.network,
            publication.node,
            &publication.name,
            protocol_text(publication.protocol),
            publication.public_port,
            publication.port_count,
            publication.overlay_port,
            &publication.target,
            &access,
            lifetime_text(publication.lifetime),
            publication.created_at,
            &options,
        ],
    )
    .await?;
    Ok(())
}

async fn append(
    open: &mut Transaction,
    change: Change<Publication>,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let network = Some(change.newest().network);
    let subject = Subject::Publication(change);
    audit::append(open, Event { network, at, actor: by.clone(), subject }).await
}

async fn find(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<Option<Publication>, StoreError> {
    let row = open.one(SELECT_BY_NAME, values![network, name]).await?;
    complete(open, row).await
}

/// A row with the hostnames that belong to it.
async fn complete(
    open: &mut Transaction,
    row: Option<Row>,
) -> Result<Option<Publication>, StoreError> {
    let Some(stored) = row.as_ref().map(publication).transpose()? else { return Ok(None) };
    let hostnames = hostnames::of(open, stored.id).await?;
    Ok(Some(Publication { hostnames, ..stored }))
}

/// A row without its hostnames.
fn publication(row: &Row) -> Result<Publication, StoreError> {
    Ok(Publication {
        id: row.get("id")?,
        network: row.get("network")?,
        node: row.get("node")?,
        name: row.get("name")?,
        protocol: protocol(row)?,
        public_port: row.maybe_number("public_port")?,
        port_count: row.number("port_count")?,
        hostnames: Vec::new(),
        overlay_port: row.number("overlay_port")?,
        target: row.get("target")?,
        access: row.json("access")?,
        options: row.json::<StoredOptions>("options")?.options,
        lifetime: lifetime(row)?,
        created_at: row.get("created_at")?,
    })
}

/// Options that are not known here are of a newer version: a publication without one of them is another one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOptions {
    #[serde(flatten)]
    options: PublicationOptions,
}

fn protocol(row: &Row) -> Result<Protocol, StoreError> {
    let text: String = row.get("protocol")?;
    [Protocol::Tcp, Protocol::Udp, Protocol::Tls, Protocol::Http]
        .into_iter()
        .find(|protocol| protocol_text(*protocol) == text)
        .ok_or_else(|| StoreError::Corrupt(format!("protocol {text}")))
}

fn lifetime_text(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Session => "session",
        Lifetime::Persistent => "persistent",
    }
}

fn lifetime(row: &Row) -> Result<Lifetime, StoreError> {
    let text: String = row.get("lifetime")?;
    [Lifetime::Session, Lifetime::Persistent]
        .into_iter()
        .find(|lifetime| lifetime_text(*lifetime) == text)
        .ok_or_else(|| StoreError::Corrupt(format!("lifetime {text}")))
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, node, name, protocol, public_port, port_count, overlay_port, ",
            "target, access, lifetime, created_at, options FROM publications ",
            $tail
        )
    };
}
const SELECT_ONE: &str = select!("WHERE network = $1 AND id = $2");
const SELECT_BY_NAME: &str = select!("WHERE network = $1 AND name = $2");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY name");
const SELECT_ALL: &str = select!("ORDER BY name, id");
