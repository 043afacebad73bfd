//! Whether the audit trail is whole: every row follows from the one before, from the beginning or a signed checkpoint to a signed head.
//!
//! A trail may be long, so that one look is bounded and says where the next one goes on. What cannot be found here is a database that was put back to
//! an earlier state with the head that was signed then: that is what a point kept elsewhere is compared for.

use bore_api::limits::AUDIT_WALK_ROWS_MAX;
use bore_api::model::Micros;

use super::audit::{Audit, checkpoint, head, is_signed, link, rows_after};
use super::chain;
use super::database::read;
use super::sql::{Row, Transaction};
use super::{AuditVerdict, StoreError};
use crate::audit_key::{AuditPoint, Claim};

impl Audit<'_> {
    /// Recomputes the chain, a bounded number of rows at a time.
    pub async fn verify(self, walk: &AuditWalk) -> Result<AuditVerdict, StoreError> {
        read!(self.0, open => verify(&mut open, walk))
    }
}

/// What a look at the trail begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditWalk {
    /// Where the look before ended; the beginning or the checkpoint for `None`.
    pub after: Option<AuditPoint>,
    /// A point that must be in the trail.
    pub expected: Option<AuditPoint>,
    /// Rows to go through, at most [`AUDIT_WALK_ROWS_MAX`].
    pub rows_max: u32,
}

impl Default for AuditWalk {
    fn default() -> Self {
        Self { after: None, expected: None, rows_max: AUDIT_WALK_ROWS_MAX }
    }
}

/// Follows the chain a bounded number of rows.
async fn verify(open: &mut Transaction, walk: &AuditWalk) -> Result<AuditVerdict, StoreError> {
    let kept_from = match kept_from(open).await? {
        Ok(point) => point,
        Err((sequence, why)) => return Ok(broken(sequence, why)),
    };
    if let Some(why) = walk.expected.and_then(|wanted| contradicts_beginning(&kept_from, &wanted)) {
        return Ok(broken(kept_from.sequence, why));
    }
    let first = walk.after.unwrap_or(kept_from);
    let mut last = first;
    let end = first.sequence.saturating_add(walk.rows_max.min(AUDIT_WALK_ROWS_MAX).into());
    while last.sequence < end {
        let page = rows_after(open, last.sequence, end - last.sequence).await?;
        if page.is_empty() {
            return ends_at_head(open, walk, &last, last.sequence - first.sequence).await;
        }
        for row in &page {
            match follows(row, &last, walk)? {
                Ok(next) => last = next,
                Err(why) => return Ok(broken(last.sequence + 1, why)),
            }
        }
    }
    Ok(AuditVerdict::Continues { rows: last.sequence - first.sequence, last })
}

/// The oldest rows and when each was written, at most `rows_max`: what may be removed. Otherwise the row where the trail is broken, and why.
pub(super) async fn oldest(
    open: &mut Transaction,
    rows_max: u32,
) -> Result<Result<Vec<(Micros, AuditPoint)>, Break>, StoreError> {
    let mut last = match kept_from(open).await? {
        Ok(point) => point,
        Err(found) => return Ok(Err(found)),
    };
    let head = head(open).await?;
    if !head.is_some_and(|(head, signature)| is_signed(open, &head, signature.as_ref())) {
        return Ok(Err((last.sequence, NOT_SIGNED.to_owned())));
    }
    let mut oldest = Vec::new();
    for row in rows_after(open, last.sequence, rows_max.into()).await? {
        match follows(&row, &last, &AuditWalk::default())? {
            Ok(next) => last = next,
            Err(why) => return Ok(Err((last.sequence + 1, why))),
        }
        oldest.push((row.get("at")?, last));
    }
    Ok(Ok(oldest))
}

/// The row where the trail is broken, and why.
type Break = (i64, String);

/// The point before the first row that is kept.
async fn kept_from(open: &mut Transaction) -> Result<Result<AuditPoint, Break>, StoreError> {
    let Some((point, signature)) = checkpoint(open).await? else {
        return Ok(Ok(AuditPoint { sequence: 0, hash: chain::GENESIS }));
    };
    if open.audit_key().verifies(Claim::Checkpoint, &point, &signature) {
        return Ok(Ok(point));
    }
    let why = "the checkpoint of the rows before is not signed by this cluster's key";
    Ok(Err((point.sequence, why.to_owned())))
}

fn contradicts_beginning(kept_from: &AuditPoint, wanted: &AuditPoint) -> Option<String> {
    if wanted.sequence < kept_from.sequence {
        Some(format!("row {} was removed by retention: expect a newer one", wanted.sequence))
    } else if wanted.sequence == kept_from.sequence && wanted.hash != kept_from.hash {
        Some(OTHER_THAN_EXPECTED.to_owned())
    } else {
        None
    }
}

/// The point of `row` if it follows `last`; otherwise why not.
fn follows(
    row: &Row,
    last: &AuditPoint,
    walk: &AuditWalk,
) -> Result<Result<AuditPoint, String>, StoreError> {
    let (link, hash) = link(row)?;
    let point = AuditPoint { sequence: last.sequence + 1, hash };
    let is_expected =
        walk.expected.is_none_or(|wanted| wanted.sequence != point.sequence || wanted == point);
    Ok(if link.sequence != point.sequence {
        Err(format!("row {} is missing; the next is {}", point.sequence, link.sequence))
    } else if link.previous_hash != last.hash {
        Err("it does not name the hash of the row before".to_owned())
    } else if link.hash() != hash {
        Err("its content does not match its hash".to_owned())
    } else if !is_expected {
        Err(OTHER_THAN_EXPECTED.to_owned())
    } else {
        Ok(point)
    })
}

/// The verdict on a trail whose last row is `last`.
async fn ends_at_head(
    open: &mut Transaction,
    walk: &AuditWalk,
    last: &AuditPoint,
    rows: i64,
) -> Result<AuditVerdict, StoreError> {
    let Some((head, signature)) = head(open).await? else {
        return Ok(broken(last.sequence + 1, "the head of the chain is missing".to_owned()));
    };
    if let Some(verdict) = differs_from_head(last, &head) {
        return Ok(verdict);
    }
    if !is_signed(open, &head, signature.as_ref()) {
        return Ok(broken(head.sequence, NOT_SIGNED.to_owned()));
    }
    Ok(match walk.expected {
        Some(wanted) if wanted.sequence > head.sequence => broken(
            head.sequence + 1,
            format!(
                "row {} was expected, the trail ends at row {}",
                wanted.sequence, head.sequence
            ),
        ),
        Some(_) | None => AuditVerdict::Intact { rows, head },
    })
}

fn differs_from_head(last: &AuditPoint, head: &AuditPoint) -> Option<AuditVerdict> {
    if head.sequence > last.sequence {
        let why =
            format!("the chain ends at row {}, its head is row {}", last.sequence, head.sequence);
        Some(broken(last.sequence + 1, why))
    } else if head.sequence < last.sequence {
        let why = format!("it comes after the head, row {}", head.sequence);
        Some(broken(head.sequence + 1, why))
    } else if head.hash != last.hash {
        Some(broken(last.sequence, "the head of the chain has another hash".to_owned()))
    } else {
        None
    }
}

fn broken(sequence: i64, why: String) -> AuditVerdict {
    AuditVerdict::Broken { sequence, why }
}

const NOT_SIGNED: &str = "the head of the chain is not signed by this cluster's key: here or earlier rows were removed, or the chain was computed anew";
const OTHER_THAN_EXPECTED: &str = "it has another hash than the one that was expected";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_must_be_the_last_row() {
        let point = |sequence, byte| AuditPoint { sequence, hash: [byte; 32] };
        assert_eq!(differs_from_head(&point(3, 7), &point(3, 7)), None);
        for (head, sequence) in [(point(5, 7), 4), (point(2, 7), 3), (point(3, 8), 3)] {
            let verdict = differs_from_head(&point(3, 7), &head).unwrap();
            assert!(matches!(verdict, AuditVerdict::Broken { sequence: at, .. } if at == sequence));
        }
    }

    #[test]
    fn what_is_expected_of_removed_rows_is_the_checkpoint_or_nothing() {
        let point = |sequence, byte| AuditPoint { sequence, hash: [byte; 32] };
        let kept_from = point(5, 1);
        assert_eq!(contradicts_beginning(&kept_from, &point(5, 1)), None);
        assert_eq!(contradicts_beginning(&kept_from, &point(6, 9)), None);
        assert!(contradicts_beginning(&kept_from, &point(5, 2)).is_some());
        assert!(contradicts_beginning(&kept_from, &point(4, 1)).unwrap().contains("retention"));
    }
}
