//! API keys: what automation shows. Comparing secrets is the caller's.

use bore_api::model::{Actor, ApiKey, Micros};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use super::{StoreError, join_keys, networks};
use crate::event::{Change, Event, Subject};

/// The table of API keys.
#[derive(Debug, Clone, Copy)]
pub struct ApiKeys<'a>(pub(super) &'a Database);

impl ApiKeys<'_> {
    /// Adds an API key with the SHA-256 of its secret; [`StoreError::MakerEnded`] when its maker holds no more.
    pub async fn create(
        self,
        key: &ApiKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.0, open => create(&mut open, key, &secret_hash, by))
    }

    /// Keys of a network, or the cluster's own for `None`.
    pub async fn list(self, network: Option<Uuid>) -> Result<Vec<ApiKey>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Ids of all keys that are neither revoked nor expired at `at`.
    pub async fn usable(self, at: Micros) -> Result<Vec<Uuid>, StoreError> {
        read!(self.0, open => usable(&mut open, at))
    }

    /// Key and secret hash by id, whatever its state: the caller compares and checks.
    pub async fn find(self, id: Uuid) -> Result<Option<(ApiKey, [u8; 32])>, StoreError> {
        read!(self.0, open => find(&mut open, id))
    }

    /// Revokes a key, and with `with_made` every join key and API key that it made, and those that these made.
    pub async fn revoke(
        self,
        network: Option<Uuid>,
        id: Uuid,
        with_made: bool,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.0, open => revoke(&mut open, network, id, with_made, by, at))
    }
}

/// Adds an API key with the SHA-256 of its secret.
async fn create(
    open: &mut Transaction,
    key: &ApiKey,
    secret_hash: &[u8; 32],
    by: &Actor,
) -> Result<(), StoreError> {
    if let Some(network) = key.network {
        networks::require(open, network).await?;
    }
    require_maker(open, key.maker, key.created_at).await?;
    let scopes = sql::to_json(&key.scopes)?;
    open.execute(
        "INSERT INTO api_keys (id, network, description, secret_hash, scopes, expires_at, created_at, revoked_at, maker) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            key.id,
            key.network,
            &key.description,
            secret_hash,
            &scopes,
            key.expires_at,
            key.created_at,
            key.revoked_at,
            key.maker,
        ],
    )
    .await?;
    let event = Event {
        network: key.network,
        at: key.created_at,
        actor: by.clone(),
        subject: Subject::ApiKey(Change::came(key.clone())),
    };
    audit::append(open, event).await
}

/// Refuses a key whose maker was revoked, or expired, after it had asked: revoking a key with all that it made misses nothing that way.
pub(super) async fn require_maker(
    open: &mut Transaction,
    maker: Option<Uuid>,
    at: Micros,
) -> Result<(), StoreError> {
    let Some(maker) = maker else { return Ok(()) };
    let found = find(open, maker).await?;
    let holds = |key: &ApiKey| key.revoked_at.is_none() && key.expires_at > at;
    if found.is_some_and(|(key, _)| holds(&key)) { Ok(()) } else { Err(StoreError::MakerEnded) }
}

/// Keys of a network, or the cluster's own, newest first.
async fn list(open: &mut Transaction, network: Option<Uuid>) -> Result<Vec<ApiKey>, StoreError> {
    let rows = match network {
        Some(network) => open.all(SELECT_OF_NETWORK, values![network]).await?,
        None => open.all(SELECT_OF_CLUSTER, &[]).await?,
    };
    rows.iter().map(api_key).collect()
}

/// Ids of all keys that are neither revoked nor expired.
async fn usable(open: &mut Transaction, at: Micros) -> Result<Vec<Uuid>, StoreError> {
    let find = "SELECT id FROM api_keys WHERE revoked_at IS NULL AND expires_at > $1";
    open.all(find, values![at]).await?.iter().map(|row| row.get("id")).collect()
}

/// Key and secret hash, whatever its state.
async fn find(open: &mut Transaction, id: Uuid) -> Result<Option<(ApiKey, [u8; 32])>, StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    row.map(|row| Ok((api_key(&row)?, row.bytes("secret_hash")?))).transpose()
}

/// Revokes a key, and with `with_made` every key that it made, and those that these made. Revoking again changes nothing.
async fn revoke(
    open: &mut Transaction,
    network: Option<Uuid>,
    id: Uuid,
    with_made: bool,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let found = find(open, id).await?.filter(|(key, _)| key.network == network);
    let (key, _) = found.ok_or(StoreError::NotFound("API key"))?;
    revoke_one(open, &key, by, at).await?;
    if with_made {
        revoke_made(open, id, by, at).await?;
    }
    Ok(())
}

async fn revoke_one(
    open: &mut Transaction,
    key: &ApiKey,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    if key.revoked_at.is_some() {
        return Ok(());
    }
    open.execute("UPDATE api_keys SET revoked_at = $1 WHERE id = $2", values![at, key.id]).await?;
    let revoked = ApiKey { revoked_at: Some(at), ..key.clone() };
    let event = Event {
        network: key.network,
        at,
        actor: by.clone(),
        subject: Subject::ApiKey(Change::became(Some(key.clone()), revoked)),
    };
    audit::append(open, event).await
}

/// Goes through revoked keys too: what they made may be in use.
async fn revoke_made(
    open: &mut Transaction,
    maker: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let mut makers = vec![maker];
    while let Some(maker) = makers.pop() {
        for (key, network) in join_keys::made_by(open, maker).await? {
            join_keys::revoke(open, network, key, by, at).await?;
        }
        for row in open.all(SELECT_MADE, values![maker]).await? {
            let made = api_key(&row)?;
            revoke_one(open, &made, by, at).await?;
            makers.push(made.id);
        }
    }
    Ok(())
}

fn api_key(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.get("id")?,
        network: row.get("network")?,
        description: row.get("description")?,
        scopes: row.json("scopes")?,
        expires_at: row.get("expires_at")?,
        maker: row.get("maker")?,
        created_at: row.get("created_at")?,
        revoked_at: row.get("revoked_at")?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, description, secret_hash, scopes, expires_at, created_at, revoked_at, maker ",
            "FROM api_keys ",
            $tail
        )
    };
}
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_MADE: &str = select!("WHERE maker = $1");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY created_at DESC, id DESC");
const SELECT_OF_CLUSTER: &str = select!("WHERE network IS NULL ORDER BY created_at DESC, id DESC");
