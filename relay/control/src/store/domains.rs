//! Custom domains: asked for by any network, proved by one, and at rest for a while after they were given back.
//!
//! A domain stands for itself and every name below it. Where domains of several networks lie on one line
//! (`example.com`, `shop.example.com`), nobody gets one below what another has proved; the deeper one decides.

use bore_api::model::{Actor, Domain, Micros};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{Row, Transaction, values};
use super::{StoreError, networks};
use crate::event::{Change, Event, Subject};

/// The table of custom domains.
#[derive(Debug, Clone, Copy)]
pub struct Domains<'a>(pub(super) &'a Database);

impl Domains<'_> {
    /// Adds a domain, or answers the one of the same network and name. `Taken` when the name, or one that it lies below, is another
    /// network's by proof, or rests for it.
    pub async fn add(self, domain: &Domain, by: &Actor) -> Result<Domain, StoreError> {
        write!(self.0, open => add(&mut open, domain, by))
    }

    /// Domains of a network, or of all, by name.
    pub async fn list(self, network: Option<Uuid>) -> Result<Vec<Domain>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Notes that a domain is proved; `Taken` as with [`Self::add`]. Proving it again changes nothing.
    pub async fn verify(
        self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<Domain, StoreError> {
        write!(self.0, open => verify(&mut open, network, id, by, at))
    }

    /// Gives a domain back; one that was proved is refused to other networks for thirty days.
    pub async fn release(
        self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.0, open => release(&mut open, network, id, by, at))
    }
}

/// Adds a domain; that of the same network and name is answered as it is. `Taken` while another network has it, or what it lies
/// below, or it rests for that network.
async fn add(open: &mut Transaction, domain: &Domain, by: &Actor) -> Result<Domain, StoreError> {
    networks::require(open, domain.network).await?;
    if let Some(stored) = find(open, domain.network, &domain.name).await? {
        return Ok(stored);
    }
    if domain.verified_at.is_some() {
        // What is proved from the start is an administrator's to give, also when it rests.
        open.execute(WAKE, values![&domain.name]).await?;
    }
    refuse_held(open, domain.network, &domain.name).await?;
    open.execute(
        "INSERT INTO domains (id, network, name, created_at, verified_at) VALUES ($1, $2, $3, $4, $5)",
        values![domain.id, domain.network, &domain.name, domain.created_at, domain.verified_at],
    )
    .await?;
    append(open, Change::came(domain.clone()), by, domain.created_at).await?;
    Ok(domain.clone())
}

/// Domains of a network, or of all, by name.
async fn list(open: &mut Transaction, network: Option<Uuid>) -> Result<Vec<Domain>, StoreError> {
    let rows = match network {
        Some(network) => open.all(SELECT_OF_NETWORK, values![network]).await?,
        None => open.all(SELECT_ALL, &[]).await?,
    };
    rows.iter().map(domain).collect()
}

/// Notes that DNS has shown a domain to be its network's.
async fn verify(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<Domain, StoreError> {
    let stored = require(open, network, id).await?;
    if stored.verified_at.is_some() {
        return Ok(stored);
    }
    refuse_held(open, network, &stored.name).await?;
    let verified = Domain { verified_at: Some(at), ..stored.clone() };
    open.execute("UPDATE domains SET verified_at = $1 WHERE id = $2", values![at, id]).await?;
    open.execute(WAKE, values![&verified.name]).await?;
    append(open, Change::became(Some(stored), verified.clone()), by, at).await?;
    Ok(verified)
}

/// Gives a domain back. One that was proved rests: its last owner may have it again at once, others after [`super::rest::REST`].
async fn release(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let gone = require(open, network, id).await?;
    open.execute("DELETE FROM domains WHERE id = $1", values![id]).await?;
    if gone.verified_at.is_some() {
        hold(open, &gone, at).await?;
    }
    append(open, Change::went(gone), by, at).await
}

/// Lets all domains of a network rest that is about to go.
pub(super) async fn release_all(
    open: &mut Transaction,
    network: Uuid,
    at: Micros,
) -> Result<(), StoreError> {
    for gone in list(open, Some(network)).await?.iter().filter(|gone| gone.verified_at.is_some()) {
        hold(open, gone, at).await?;
    }
    Ok(())
}

/// Forgets domains that were released until then, those longest at rest first, and returns how many.
pub(super) async fn forget(
    open: &mut Transaction,
    released_until: Micros,
    most: u32,
) -> Result<u64, StoreError> {
    let forget = "DELETE FROM domain_holds WHERE name IN \
                  (SELECT name FROM domain_holds WHERE released_at <= $1 ORDER BY released_at LIMIT $2)";
    open.execute(forget, values![released_until, most]).await
}

async fn hold(open: &mut Transaction, gone: &Domain, at: Micros) -> Result<(), StoreError> {
    let insert = "INSERT INTO domain_holds (name, network, released_at) VALUES ($1, $2, $3) \
                  ON CONFLICT (name) DO UPDATE SET network = $2, released_at = $3";
    open.execute(insert, values![&gone.name, gone.network, at]).await?;
    Ok(())
}

/// Refuses a name that is another network's, or lies below such a one.
async fn refuse_held(open: &mut Transaction, network: Uuid, name: &str) -> Result<(), StoreError> {
    for domain in ancestry(name) {
        let held = open.one(SELECT_HELD, values![domain, network]).await?;
        if held.is_some() {
            return Err(StoreError::Taken {
                what: "domain",
                value: domain.to_owned(),
                holder: super::ANOTHER_NETWORK.to_owned(),
            });
        }
    }
    Ok(())
}

/// Returns true if a published name is a network's because of a domain that it has proved.
pub(super) async fn covers(
    open: &mut Transaction,
    network: Uuid,
    hostname: &str,
) -> Result<bool, StoreError> {
    let proved =
        "SELECT name FROM domains WHERE name = $1 AND network = $2 AND verified_at IS NOT NULL";
    for domain in ancestry(hostname) {
        if open.one(proved, values![domain, network]).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `a.b.c`, `b.c`, `c`.
fn ancestry(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

async fn find(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<Option<Domain>, StoreError> {
    open.one(SELECT_BY_NAME, values![network, name]).await?.as_ref().map(domain).transpose()
}

async fn require(open: &mut Transaction, network: Uuid, id: Uuid) -> Result<Domain, StoreError> {
    let row = open.one(SELECT_ONE, values![network, id]).await?;
    row.as_ref().map(domain).transpose()?.ok_or(StoreError::NotFound("domain"))
}

async fn append(
    open: &mut Transaction,
    change: Change<Domain>,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let network = Some(change.newest().network);
    let subject = Subject::Domain(change);
    audit::append(open, Event { network, at, actor: by.clone(), subject }).await
}

fn domain(row: &Row) -> Result<Domain, StoreError> {
    Ok(Domain {
        id: row.get("id")?,
        network: row.get("network")?,
        name: row.get("name")?,
        created_at: row.get("created_at")?,
        verified_at: row.get("verified_at")?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT id, network, name, created_at, verified_at FROM domains ", $tail)
    };
}
const SELECT_ONE: &str = select!("WHERE network = $1 AND id = $2");
const SELECT_BY_NAME: &str = select!("WHERE network = $1 AND name = $2");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY name");
const SELECT_ALL: &str = select!("ORDER BY name, id");
const SELECT_HELD: &str = "SELECT name FROM domains WHERE name = $1 AND network <> $2 AND verified_at IS NOT NULL \
                           UNION ALL SELECT name FROM domain_holds WHERE name = $1 AND network <> $2 LIMIT 1";

const WAKE: &str = "DELETE FROM domain_holds WHERE name = $1";
