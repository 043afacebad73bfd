//! The audit trail: appended in the transaction of the change it tells of, read, searched and verified.
//!
//! Rows are never changed or removed; the tables refuse it. The chain's head is a row of its own, so that missing rows at the
//! end are seen. The chain shows tampering by whoever cannot also rewrite every later row and the head.

use serde_json::Value as Json;
use uuid::Uuid;

use super::chain::{self, Hash, Link};
use super::sql::{self, Row, Transaction, values};
use super::{AuditVerdict, StoreError};
use crate::model::{Actor, AuditRow, Micros};

/// What is told of a change.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The network concerned; `None` for the cluster.
    pub(super) network: Option<Uuid>,
    /// When.
    pub(super) at: Micros,
    /// Who.
    pub(super) by: &'a Actor,
    /// What, as `resource.verb`.
    pub(super) action: &'static str,
    /// Which thing: its id or name.
    pub(super) subject: String,
    /// More. Never a secret.
    pub(super) detail: Json,
}

/// Appends a row. Writers take turns, so the head read here is the newest.
pub(super) async fn append(open: &mut Transaction, entry: Entry<'_>) -> Result<(), StoreError> {
    let head = head(open).await?.ok_or_else(head_is_missing)?;
    let link = Link {
        sequence: head.sequence + 1,
        network: entry.network,
        at: entry.at,
        actor: actor(entry.by),
        action: entry.action.to_owned(),
        subject: entry.subject,
        detail: entry.detail.to_string(),
        previous_hash: head.hash,
    };
    insert(open, &link, &link.hash()).await
}

/// Rows after `after`, oldest first.
pub(super) async fn list(
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

/// Follows the chain from its first row to its head, a page at a time.
pub(super) async fn verify(open: &mut Transaction) -> Result<AuditVerdict, StoreError> {
    let mut sequence = 0;
    let mut hash = chain::GENESIS;
    loop {
        let page = open.all(SELECT_OF_ALL, values![sequence, "%", ROWS_MAX]).await?;
        for row in &page {
            match follows(row, sequence, &hash)? {
                Ok(next) => hash = next,
                Err(why) => return Ok(AuditVerdict::Broken { sequence: sequence + 1, why }),
            }
            sequence += 1;
        }
        if page.is_empty() {
            return Ok(ends_at_head(head(open).await?, sequence, &hash));
        }
    }
}

/// The hash of `row` if it follows the row `sequence` with `hash`; otherwise why not.
fn follows(row: &Row, sequence: i64, hash: &Hash) -> Result<Result<Hash, String>, StoreError> {
    let (link, stored) = link(row)?;
    let wanted = sequence + 1;
    Ok(if link.sequence != wanted {
        Err(format!("row {wanted} is missing; the next is {}", link.sequence))
    } else if link.previous_hash != *hash {
        Err("it does not name the hash of the row before".to_owned())
    } else if link.hash() != stored {
        Err("its content does not match its hash".to_owned())
    } else {
        Ok(stored)
    })
}

fn ends_at_head(head: Option<Head>, rows: i64, hash: &Hash) -> AuditVerdict {
    let broken = |sequence, why| AuditVerdict::Broken { sequence, why };
    match head {
        None => broken(rows + 1, "the head of the chain is missing".to_owned()),
        Some(head) if head.sequence > rows => broken(
            rows + 1,
            format!("the chain ends at row {rows}, its head is row {}", head.sequence),
        ),
        Some(head) if head.sequence < rows => {
            broken(head.sequence + 1, format!("it comes after the head, row {}", head.sequence))
        }
        Some(head) if head.hash != *hash => {
            broken(rows, "the head of the chain has another hash".to_owned())
        }
        Some(_) => AuditVerdict::Intact { rows },
    }
}

struct Head {
    sequence: i64,
    hash: Hash,
}

async fn head(open: &mut Transaction) -> Result<Option<Head>, StoreError> {
    let row = open.one("SELECT sequence, hash FROM audit_head WHERE id = 1", &[]).await?;
    row.map(|row| Ok(Head { sequence: row.get("sequence")?, hash: row.bytes("hash")? })).transpose()
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
    .await?;
    open.execute(
        "UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1",
        values![link.sequence, hash],
    )
    .await?;
    Ok(())
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
fn link(row: &Row) -> Result<(Link, Hash), StoreError> {
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

/// Rows of one answer, and of one page of a verification.
const ROWS_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_plain_text() {
        assert_eq!(containing("100%_Sure!"), "%100!%!_sure!!%");
    }

    #[test]
    fn the_head_must_be_the_last_row() {
        let head = |sequence| Some(Head { sequence, hash: [7; 32] });
        assert_eq!(ends_at_head(head(3), 3, &[7; 32]), AuditVerdict::Intact { rows: 3 });
        for (head, rows, hash, sequence) in [
            (None, 3, [7; 32], 4),
            (head(5), 3, [7; 32], 4),
            (head(2), 3, [7; 32], 3),
            (head(3), 3, [8; 32], 3),
        ] {
            let verdict = ends_at_head(head, rows, &hash);
            assert!(matches!(verdict, AuditVerdict::Broken { sequence: at, .. } if at == sequence));
        }
    }
}
