//! The audit trail: read, verified and kept short. The store writes a row with each change; what changes nothing in the store is noted here.

use bore_api::model::{Actor, AuditRow, Micros};
use bore_api::wire::AuditReport;
use uuid::Uuid;

use crate::core::Core;
use crate::event::{Event, Subject};
use crate::limits::SEARCH_CHARS_MAX;
use crate::refusal::Refusal;
use crate::store::{AuditVerdict, AuditWalk};
use crate::text::check_text;

/// Which rows.
#[derive(Debug)]
pub(crate) struct AuditQuery<'a> {
    pub(crate) network: Option<Uuid>,
    pub(crate) text: Option<&'a str>,
    pub(crate) after: i64,
    pub(crate) limit: u32,
}

/// The audit trail.
#[derive(Debug)]
pub struct Audit {
    core: Core,
}

impl Audit {
    pub(crate) fn new(core: Core) -> Self {
        Self { core }
    }

    pub(crate) async fn list(&self, query: AuditQuery<'_>) -> Result<Vec<AuditRow>, Refusal> {
        if let Some(text) = query.text {
            check_text("text", text, SEARCH_CHARS_MAX)?;
        }
        Ok(self
            .core
            .store
            .audit()
            .list(query.network, query.text, query.after, query.limit)
            .await?)
    }

    /// Recomputes the chain, a bounded number of rows at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn verify(&self, walk: &AuditWalk) -> Result<AuditReport, Refusal> {
        Ok(match self.core.store.audit().verify(walk).await? {
            AuditVerdict::Intact { rows, head } => AuditReport {
                intact: true,
                rows: Some(rows),
                head: Some(head.to_string()),
                ..AuditReport::default()
            },
            AuditVerdict::Continues { rows, last } => AuditReport {
                intact: true,
                rows: Some(rows),
                next: Some(last.to_string()),
                ..AuditReport::default()
            },
            AuditVerdict::Broken { sequence, why } => {
                AuditReport { sequence: Some(sequence), why: Some(why), ..AuditReport::default() }
            }
        })
    }

    /// Removes rows that are older than the trail is kept.
    pub(super) async fn trim(&self) {
        let Some(kept) = self.core.settings.audit_retention else { return };
        let now = self.core.now();
        let kept = Micros::try_from(kept.as_micros()).unwrap_or(Micros::MAX);
        match self.core.store.audit().trim(now.saturating_sub(kept), now).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old audit rows removed"),
            Err(error) => tracing::warn!(%error, "old audit rows could not be removed"),
        }
    }

    /// Writes down what an administrator does to the relay itself. It is done meanwhile, and even when it cannot be written: a relay whose disk is full or
    /// whose database does not answer can be drained.
    pub(crate) async fn note(&self, action: &'static str, subject: String, by: &Actor) {
        let event = Event {
            at: self.core.now(),
            network: None,
            actor: by.clone(),
            subject: Subject::Act { action, subject },
        };
        if let Err(error) = self.core.store.audit().note(&event).await {
            tracing::error!(action, actor = ?by, %error, "this is not in the audit trail");
        }
    }
}
