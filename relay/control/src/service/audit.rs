//! The audit trail: read and verified, never written here; the store writes a row with each change.

use uuid::Uuid;

use crate::control::Control;
use crate::limits::SEARCH_CHARS_MAX;
use crate::model::AuditRow;
use crate::refusal::Refusal;
use crate::store::AuditVerdict;
use crate::text::check_text;
use crate::wire::AuditReport;

/// Which rows.
#[derive(Debug)]
pub(crate) struct AuditQuery<'a> {
    pub(crate) network: Option<Uuid>,
    pub(crate) text: Option<&'a str>,
    pub(crate) after: i64,
    pub(crate) limit: u32,
}

impl Control {
    pub(crate) async fn audit(&self, query: AuditQuery<'_>) -> Result<Vec<AuditRow>, Refusal> {
        if let Some(text) = query.text {
            check_text("text", text, SEARCH_CHARS_MAX)?;
        }
        Ok(self.store().audit(query.network, query.text, query.after, query.limit).await?)
    }

    /// Recomputes the whole chain.
    ///
    /// # Errors
    /// The store's.
    pub async fn verify_audit(&self) -> Result<AuditReport, Refusal> {
        Ok(match self.store().verify_audit().await? {
            AuditVerdict::Intact { rows } => {
                AuditReport { intact: true, rows: Some(rows), sequence: None, why: None }
            }
            AuditVerdict::Broken { sequence, why } => {
                AuditReport { intact: false, rows: None, sequence: Some(sequence), why: Some(why) }
            }
        })
    }
}
