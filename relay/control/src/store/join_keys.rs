//! Join keys: made, listed, revoked. What they open is in `join`.

use std::collections::HashMap;

use bore_api::model::{Actor, JoinKey, Micros};
use uuid::Uuid;

use super::audit;
use super::database::{Database, read, write};
use super::sql::{Row, Transaction, values};
use super::{StoreError, api_keys, groups, networks};
use crate::event::{Change, Event, Subject};

/// The table of join keys.
#[derive(Debug, Clone, Copy)]
pub struct JoinKeys<'a>(pub(super) &'a Database);

impl JoinKeys<'_> {
    /// Adds a join key with the SHA-256 of its secret; [`StoreError::MakerEnded`] when its maker holds no more.
    pub async fn create(
        self,
        key: &JoinKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.0, open => create(&mut open, key, &secret_hash, by))
    }

    /// Join keys of a network, newest first.
    pub async fn list(self, network: Uuid) -> Result<Vec<JoinKey>, StoreError> {
        read!(self.0, open => list(&mut open, network))
    }

    /// Revokes a join key; its nodes stay. Revoking it again changes nothing.
    pub async fn revoke(
        self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.0, open => revoke(&mut open, network, id, by, at))
    }
}

/// Adds a join key with the SHA-256 of its secret.
async fn create(
    open: &mut Transaction,
    key: &JoinKey,
    secret_hash: &[u8; 32],
    by: &Actor,
) -> Result<(), StoreError> {
    networks::require(open, key.network).await?;
    api_keys::require_maker(open, key.maker, key.created_at).await?;
    let groups = groups::require_all(open, key.network, &key.groups).await?;
    open.execute(
        "INSERT INTO join_keys (id, network, description, secret_hash, uses_max, uses, expires_at, ephemeral, created_at, \
         revoked_at, maker) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        values![
            key.id,
            key.network,
            &key.description,
            secret_hash,
            key.uses_max,
            key.uses,
            key.expires_at,
            key.ephemeral,
            key.created_at,
            key.revoked_at,
            key.maker,
        ],
    )
    .await?;
    for group in groups {
        let insert = "INSERT INTO join_key_groups (join_key, group_id) VALUES ($1, $2)";
        open.execute(insert, values![key.id, group]).await?;
    }
    let event = Event {
        network: Some(key.network),
        at: key.created_at,
        actor: by.clone(),
        subject: Subject::JoinKey(Change::came(key.clone())),
    };
    audit::append(open, event).await
}

/// Join keys of a network, newest first.
async fn list(open: &mut Transaction, network: Uuid) -> Result<Vec<JoinKey>, StoreError> {
    let find = "SELECT k.join_key, g.name FROM join_key_groups k JOIN node_groups g ON g.id = k.group_id \
                WHERE g.network = $1 ORDER BY g.name";
    let mut groups: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in open.all(find, values![network]).await? {
        groups.entry(row.get("join_key")?).or_default().push(row.get("name")?);
    }
    let rows = open.all(SELECT_OF_NETWORK, values![network]).await?;
    rows.iter().map(|row| join_key(row, &mut groups)).collect()
}

/// Revokes a join key; its nodes stay. Revoking it again changes nothing.
pub(super) async fn revoke(
    open: &mut Transaction,
    network: Uuid,
    id: Uuid,
    by: &Actor,
    at: Micros,
) -> Result<(), StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    let key = row.map(|row| join_key(&row, &mut HashMap::new())).transpose()?;
    let key = key.filter(|key| key.network == network).ok_or(StoreError::NotFound("join key"))?;
    if key.revoked_at.is_some() {
        return Ok(());
    }
    open.execute("UPDATE join_keys SET revoked_at = $1 WHERE id = $2", values![at, id]).await?;
    let revoked = JoinKey { revoked_at: Some(at), ..key.clone() };
    let event = Event {
        network: Some(network),
        at,
        actor: by.clone(),
        subject: Subject::JoinKey(Change::became(Some(key), revoked)),
    };
    audit::append(open, event).await
}

/// Ids and networks of the keys in use that an API key made.
pub(super) async fn made_by(
    open: &mut Transaction,
    maker: Uuid,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let find = "SELECT id, network FROM join_keys WHERE maker = $1 AND revoked_at IS NULL";
    let rows = open.all(find, values![maker]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("network")?))).collect()
}

/// A key without its groups, whatever its state, and the hash of its secret.
pub(super) async fn find(
    open: &mut Transaction,
    id: Uuid,
) -> Result<Option<(JoinKey, [u8; 32])>, StoreError> {
    let row = open.one(SELECT_ONE, values![id]).await?;
    row.map(|row| Ok((join_key(&row, &mut HashMap::new())?, row.bytes("secret_hash")?))).transpose()
}

/// The groups that the nodes of a key are put in: id and name.
pub(super) async fn groups_of(
    open: &mut Transaction,
    id: Uuid,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let find = "SELECT g.id, g.name FROM join_key_groups k JOIN node_groups g ON g.id = k.group_id \
                WHERE k.join_key = $1 ORDER BY g.name";
    let rows = open.all(find, values![id]).await?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("name")?))).collect()
}

fn join_key(row: &Row, groups: &mut HashMap<Uuid, Vec<String>>) -> Result<JoinKey, StoreError> {
    let id = row.get("id")?;
    Ok(JoinKey {
        id,
        network: row.get("network")?,
        description: row.get("description")?,
        uses_max: row.maybe_number("uses_max")?,
        uses: row.number("uses")?,
        expires_at: row.get("expires_at")?,
        groups: groups.remove(&id).unwrap_or_default(),
        ephemeral: row.get("ephemeral")?,
        maker: row.get("maker")?,
        created_at: row.get("created_at")?,
        revoked_at: row.get("revoked_at")?,
    })
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, network, description, secret_hash, uses_max, uses, expires_at, ephemeral, ",
            "created_at, revoked_at, maker FROM join_keys ",
            $tail
        )
    };
}
const SELECT_ONE: &str = select!("WHERE id = $1");
const SELECT_OF_NETWORK: &str = select!("WHERE network = $1 ORDER BY created_at DESC, id DESC");
