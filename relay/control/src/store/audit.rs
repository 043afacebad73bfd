//! The audit trail: appended in the transaction of the change it tells of, read and searched.
//!
//! Rows are never changed, and removed only by retention behind a checkpoint; the tables refuse anything else. The chain's head is a row of its own,
//! signed with a key that is not in the database: missing rows at the end and a chain that was computed anew are seen.
//!
//! Invariant: only what follows a signed head is signed, so that the next change does not vouch for a trail that was forged before it.

use bore_api::model::{Actor, AuditRow};
use serde_json::Value as Json;
use uuid::Uuid;

use super::StoreError;
use super::chain::{self, Hash, Link};
use super::database::{Database, read, write};
use super::sql::{self, Row, Transaction, values};
use crate::audit_key::{AuditPoint, Claim};
use crate::event::Event;

/// The audit trail.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a>(pub(super) &'a Database);

impl Audit<'_> {
    /// Rows after `after`, oldest first, at most `limit` (≤ 1,000), optionally of one network and containing `text`.
    pub async fn list(
        self,
        network: Option<Uuid>,
        text: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        read!(self.0, open => list(&mut open, network, text, after, limit))
    }

    /// Writes a row about something that changes nothing in the store.
    pub async fn note(self, event: &Event) -> Result<(), StoreError> {
        write!(self.0, open => append(&mut open, event.clone()))
    }
}

/// Appends a row about what this transaction does; followers of the store hear of it when it is committed. Writers take turns, so the head read
/// here is the newest.
pub(super) async fn append(open: &mut Transaction, event: Event) -> Result<(), StoreError> {
    let (head, signature) = head(open).await?.ok_or_else(head_is_missing)?;
    let is_signed = is_signed(open, &head, signature.as_ref());
    if !is_signed {
        tracing::error!(
            row = head.sequence,
            "the audit trail was changed without the cluster's key: bore audit verify"
        );
    }
    let text = event.subject.audit_text();
    let link = Link {
        sequence: head.sequence + 1,
        network: event.network,
        at: event.at,
        actor: actor(&event.actor),
        action: text.action.to_owned(),
        subject: text.subject,
        detail: text.detail.to_string(),
        previous_hash: head.hash,
    };
    let point = AuditPoint { sequence: link.sequence, hash: link.hash() };
    insert(open, &link, &point.hash).await?;
    put_head(open, &point, is_signed).await?;
    open.note_appended(point, event);
    Ok(())
}

/// Returns true if the cluster's key vouches for `head`.
pub(super) fn is_signed(
    open: &Transaction,
    head: &AuditPoint,
    signature: Option<&[u8; 64]>,
) -> bool {
    signature.is_some_and(|signature| open.audit_key().verifies(Claim::Head, head, signature))
}

/// Returns true if the trail has this row.
pub(super) async fn holds(open: &mut Transaction, point: &AuditPoint) -> Result<bool, StoreError> {
    let find = "SELECT sequence FROM audit WHERE sequence = $1 AND hash = $2";
    Ok(open.one(find, values![point.sequence, &point.hash]).await?.is_some())
}

/// Rows after `after`, oldest first.
async fn list(
    open: &mut Transaction,
    network: Option<Uuid>,
    text: Option<&str>,
    after: i64,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let pattern = text.map_or_else(|| "%".to_owned(), containing);
    let limit = limit.min(ROWS_MAX);
    let rows = match network {
        Some(network) => {
            open.all(SELECT_OF_NETWORK, values![after, pattern.as_str(), limit, network]).await?
        }
        None => open.all(SELECT_OF_ALL, values![after, pattern.as_str(), limit]).await?,
    };
    rows.iter().map(shown).collect()
}

/// A page of rows after `sequence`, oldest first.
pub(super) async fn rows_after(
    open: &mut Transaction,
    sequence: i64,
    rows_max: i64,
) -> Result<Vec<Row>, StoreError> {
    open.all(SELECT_OF_ALL, values![sequence, "%", rows_max.min(ROWS_MAX.into())]).await
}

/// The newest row that was appended, and its signature if it has one.
pub(super) async fn head(
    open: &mut Transaction,
) -> Result<Option<(AuditPoint, Option<[u8; 64]>)>, StoreError> {
    let row =
        open.one("SELECT sequence, hash, signature FROM audit_head WHERE id = 1", &[]).await?;
    let read = |row: Row| Ok((point(&row)?, row.maybe_bytes("signature")?));
    row.map(read).transpose()
}

/// The last row that retention removed, and its signature.
pub(super) async fn checkpoint(
    open: &mut Transaction,
) -> Result<Option<(AuditPoint, [u8; 64])>, StoreError> {
    let row = open.one("SELECT sequence, hash, signature FROM audit_checkpoint", &[]).await?;
    row.map(|row| Ok((point(&row)?, row.bytes("signature")?))).transpose()
}

/// Signs the head of a trail that is older than signatures.
pub(super) async fn sign_head(open: &mut Transaction) -> Result<(), StoreError> {
    match head(open).await?.ok_or_else(head_is_missing)? {
        (head, None) => put_head(open, &head, true).await,
        (_, Some(_)) => Ok(()),
    }
}

async fn put_head(
    open: &mut Transaction,
    head: &AuditPoint,
    is_vouched_for: bool,
) -> Result<(), StoreError> {
    let signature = is_vouched_for.then(|| open.audit_key().sign(Claim::Head, head));
    open.execute(
        "UPDATE audit_head SET sequence = $1, hash = $2, signature = $3 WHERE id = 1",
        values![head.sequence, &head.hash, signature.as_ref()],
    )
    .await?;
    Ok(())
}

fn point(row: &Row) -> Result<AuditPoint, StoreError> {
    Ok(AuditPoint { sequence: row.get("sequence")?, hash: row.bytes("hash")? })
}

fn head_is_missing() -> StoreError {
    StoreError::Corrupt("the head of the audit chain is missing".to_owned())
}

async fn insert(open: &mut Transaction, link: &Link, hash: &Hash) -> Result<(), StoreError> {
    open.execute(
        "INSERT INTO audit (sequence, network, at, actor, action, subject, detail, previous_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            link.sequence,
            link.network,
            link.at,
            &link.actor,
            &link.action,
            &link.subject,
            &link.detail,
            &link.previous_hash,
            hash,
        ],
    )
    .await
    .map(drop)
}

/// How the trail names who did it.
fn actor(by: &Actor) -> String {
    match by {
        Actor::Node(id) => format!("node:{id}"),
        Actor::ApiKey(id) => format!("key:{id}"),
        Actor::JoinKey(id) => format!("join-key:{id}"),
        Actor::System => "system".to_owned(),
    }
}

/// The row as it is stored, and the hash stored with it.
pub(super) fn link(row: &Row) -> Result<(Link, Hash), StoreError> {
    let link = Link {
        sequence: row.get("sequence")?,
        network: row.get("network")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
        previous_hash: row.bytes("previous_hash")?,
    };
    Ok((link, row.bytes("hash")?))
}

/// The row as it is shown. Detail that is not JSON, which only tampering leaves, is shown as text: `verify` says what is wrong.
fn shown(row: &Row) -> Result<AuditRow, StoreError> {
    let (link, hash) = link(row)?;
    Ok(AuditRow {
        sequence: link.sequence,
        network: link.network,
        at: link.at,
        actor: link.actor,
        action: link.action,
        subject: link.subject,
        detail: serde_json::from_str(&link.detail).unwrap_or(Json::String(link.detail)),
        previous_hash: chain::hex(&link.previous_hash),
        hash: chain::hex(&hash),
    })
}

/// A LIKE pattern for rows that contain `text`, in lower case.
fn containing(text: &str) -> String {
    format!("%{}%", sql::escaped(&text.to_ascii_lowercase()))
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT sequence, network, at, actor, action, subject, detail, previous_hash, hash ",
            "FROM audit WHERE sequence > $1 ",
            $condition,
            "AND ($2 = '%' OR LOWER(actor) LIKE $2 ESCAPE '!' OR LOWER(action) LIKE $2 ESCAPE '!' ",
            "OR LOWER(subject) LIKE $2 ESCAPE '!' OR LOWER(detail) LIKE $2 ESCAPE '!') ",
            "ORDER BY sequence LIMIT $3"
        )
    };
}
const SELECT_OF_ALL: &str = select!("");
const SELECT_OF_NETWORK: &str = select!("AND network = $4 ");

/// Rows of one answer, and of one page.
const ROWS_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_plain_text() {
        assert_eq!(containing("100%_Sure!"), "%100!%!_sure!!%");
    }
}
