//! Old rows of the audit trail are removed from its beginning, and the last of them stays as a signed checkpoint: the rest is verified from there.
//!
//! Invariant: only rows that were verified just before are removed. A trail that was changed is kept, and no forged row gets a signature.

use bore_api::model::{Actor, Micros};

use super::StoreError;
use super::audit::{self, Audit};
use super::audit_verify::oldest;
use super::database::write;
use super::sql::{Transaction, values};
use crate::audit_key::{AuditPoint, Claim};
use crate::event::{Event, Subject, Trimmed};

impl Audit<'_> {
    /// Removes rows from before `before`, a bounded number of the oldest ones, behind a signed checkpoint; returns how many.
    pub async fn trim(self, before: Micros, at: Micros) -> Result<usize, StoreError> {
        write!(self.0, open => trim(&mut open, before, at))
    }
}

/// Removes rows from before `before`, at most [`TRIM_ROWS_MAX`], once the oldest is a day older than that; the removal has a row of its own. Returns
/// how many were removed.
async fn trim(open: &mut Transaction, before: Micros, at: Micros) -> Result<usize, StoreError> {
    let old = match oldest(open, TRIM_ROWS_MAX).await? {
        Ok(old) => old,
        Err((row, why)) => {
            let text = format!("the audit trail is broken at row {row}, and kept as it is: {why}");
            return Err(StoreError::Conflict(text));
        }
    };
    let is_due = old.first().is_some_and(|(at, _)| *at < before.saturating_sub(SLACK));
    let removed: Vec<_> = old.iter().take_while(|(at, _)| is_due && *at < before).collect();
    let Some((_, last)) = removed.last() else { return Ok(0) };
    put_checkpoint(open, last).await?;
    open.execute("DELETE FROM audit WHERE sequence <= $1", values![last.sequence]).await?;
    let event = Event {
        network: None,
        at,
        actor: Actor::System,
        subject: Subject::AuditTrail(Trimmed { last: last.to_string(), rows: removed.len() }),
    };
    audit::append(open, event).await?;
    Ok(removed.len())
}

async fn put_checkpoint(open: &mut Transaction, point: &AuditPoint) -> Result<(), StoreError> {
    let signature = open.audit_key().sign(Claim::Checkpoint, point);
    open.execute(
        "INSERT INTO audit_checkpoint (id, sequence, hash, signature) VALUES (1, $1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, signature = excluded.signature",
        values![point.sequence, &point.hash, &signature],
    )
    .await?;
    Ok(())
}

/// Rows of one removal. It also bounds what a clock that is wrong for a while can do.
const TRIM_ROWS_MAX: u32 = 1_000;

/// Without it a trail would lose and gain a row at a time.
const SLACK: Micros = 24 * 60 * 60 * 1_000_000;
