//! Stored policy documents: replaced only by a writer that read the newest revision.

use bore_api::model::{Actor, Micros, Policy};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use super::{StoreError, networks};
use crate::event::{Change, Event, Subject};

/// The table of policies.
#[derive(Debug, Clone, Copy)]
pub struct Policies<'a>(pub(super) &'a Database);

impl Policies<'_> {
    /// Adds (`expected_revision` 0) or replaces a policy; `Conflict` when the stored revision is another.
    pub async fn put(
        self,
        policy: &Policy,
        expected_revision: i64,
        by: &Actor,
    ) -> Result<Policy, StoreError> {
        write!(self.0, open => put(&mut open, policy, expected_revision, by))
    }

    /// Policies of a network, by name.
    pub async fn list(self, network: Uuid) -> Result<Vec<Policy>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Removes a policy.
    pub async fn delete(
        self,
        network: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.0, open => delete(&mut open, network, name, by, at))
    }
}

/// Adds or replaces a policy and answers what is stored.
async fn put(
    open: &mut Transaction,
    policy: &Policy,
    expected_revision: i64,
    by: &Actor,
) -> Result<Policy, StoreError> {
    networks::require(open, policy.network).await?;
    let stored = find(open, policy.network, &policy.name).await?;
    refuse_other_revision(stored.as_ref(), &policy.name, expected_revision)?;

    let id = stored.as_ref().map_or(policy.id, |stored| stored.id);
    let policy = Policy { id, revision: expected_revision + 1, ..policy.clone() };
    let document = sql::to_json(&policy.document)?;
    open.execute(
        "INSERT INTO policies (id, network, name, revision, document, updated_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (network, name) DO UPDATE SET revision = $4, document = $5, updated_at = $6",
        values![policy.id, policy.network, &policy.name, policy.revision, &document, policy.updated_at],
    )
    .await?;
    append(open, Change::became(stored, policy.clone()), by, policy.updated_at).await?;
    Ok(policy)
}

/// Policies of a network, by name.
async fn list(open: &mut Transaction, network: Uuid) -> Result<Vec<Policy>, StoreError> {
    let rows = open.all(SELECT_OF_NETWORK, values![network]).await?;
    rows.iter().map(policy).collect()
}

/// Removes a policy.
async fn delete(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let stored = find(open, network, name).await?.ok_or(StoreError::NotFound("policy"))?;
    open.execute("DELETE FROM policies WHERE id = $1", values![stored.id]).await?;
    append(open, Change::went(stored), by, at).await
}

fn refuse_other_revision(
    stored: Option<&Policy>,
    name: &str,
    expected: i64,
) -> Result<(), StoreError> {
    match stored {
        None if expected == 0 => Ok(()),
        None => Err(StoreError::NotFound("policy")),
        Some(stored) if stored.revision == expected => Ok(()),
        Some(stored) => Err(StoreError::Conflict(format!(
            "policy {name} is at revision {}, not {expected}",
            stored.revision
        ))),
    }
}

async fn find(
    open: &mut Transaction,
    network: Uuid,
    name: &str,
) -> Result<Option<Policy>, StoreError> {
    open.one(SELECT_ONE, values![network, name]).await?.as_ref().map(policy).transpose()
}

fn policy(row: &Row) -> Result<Policy, StoreError> {
    Ok(Policy {
        id: row.get("id")?,
        network: row.get("network")?,
        name: row.get("name")?,
        revision: row.get("revision")?,
        document: row.json("document")?,
        updated_at: row.get("updated_at")?,
    })
}

async fn append(
    open: &mut Transaction,
    change: Change<Policy>,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let network = Some(change.newest().network);
    let subject = Subject::Policy(change);
    audit::append(open, Event { network, at, actor: by.clone(), subject }).await
}

macro_rules! select {
    ($tail:literal) => {
        concat!("SELECT id, network, name, revision, document, updated_at FROM policies ", $tail)
    };
}
const SELECT_ONE: &str = select!("WHERE network = $1 AND name = $2");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY name");
